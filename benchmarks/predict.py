"""Images/s of `predict` on image files, next to the network alone on decoded arrays and the decoder alone.

python -m benchmarks.predict run=DIR n=10000 side=96
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pipeline.data.images import to_batch
from pipeline.data.photos import photos
from pipeline.serving import stream
from pipeline.serving.answers import answer
from pipeline.serving.inputs import find_inputs
from pipeline.serving.opened import of_run


def made(folder: Path, n: int, side: int, channels: int, ending: str) -> None:
    """Files of smooth noise, n of them."""
    import cv2

    draws = np.random.default_rng(0)
    for i in range(n):
        small = draws.integers(0, 256, (side // 8 + 1, side // 8 + 1, channels), np.uint8)
        cv2.imwrite(str(folder / f"{i:06}.{ending}"), cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC))


def main() -> None:
    """Each way over all files, three times in turn; the medians."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    n, side, ending = int(given.get("n", 10_000)), int(given.get("side", 96)), given.get("ending", "jpg")
    opened = of_run(Path(given["run"]), given["run"])
    channels, size, _ = opened.input_shape
    images = opened.settings.data
    found: dict[str, list[float]] = {"decoder alone": [], "network alone": [], "predict": []}
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), n, side, channels, ending)
        inputs = find_inputs(folder, None)
        paths = [one.path for one in inputs]
        batch = stream.batch_size(size, channels)
        some = [one.image for one in itertools.islice(photos(folder, paths, size, images.resize, 10**8), batch)]
        arrays = to_batch(np.stack(some))  # type: ignore[arg-type]
        for _ in range(int(given.get("times", 3))):
            began = time.perf_counter()
            for _one in photos(folder, paths, size, images.resize, images.max_pixels):
                pass
            found["decoder alone"].append(n / (time.perf_counter() - began))
            began = time.perf_counter()
            with torch.inference_mode():
                for _ in range(-(-n // batch)):
                    opened.module(arrays).softmax(1).numpy()
            found["network alone"].append(n / (time.perf_counter() - began))
            began = time.perf_counter()
            assert sum(len(one.probabilities) for one in answer(opened, inputs)) == n
            found["predict"].append(n / (time.perf_counter() - began))
    rates = {name: float(np.median(each)) for name, each in found.items()}
    print(", ".join(f"{name} {rate:,.0f} images/s" for name, rate in rates.items()))
    slower = min(rates["decoder alone"], rates["network alone"])
    both = 1 / (1 / rates["decoder alone"] + 1 / rates["network alone"])
    print(
        f"predict reaches {rates['predict'] / slower:.2f} of the slower one, {rates['predict'] / both:.2f} of one "
        "after the other, which is all there is where both want all cores"
    )


if __name__ == "__main__":
    main()
