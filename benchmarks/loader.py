"""How fast the loader feeds augmented images, next to how fast the notes' CNN trains on them.

    make bench-loader     or: python -m benchmarks.loader [REPEATS] [STEPS]

32x32 grey images in batches of 128, `augmentation=affine`. Everything is measured in this process, one after the
other and that REPEATS times, since the machine's speed drifts; shown are medians of images/s. "albumentations" is
the same augmentation spelled out, and so drawn and applied by its own Compose. Workers are started before the clock.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from pipeline import architecture, environment
from pipeline.architecture import SCHEMAS
from pipeline.augmentation import Augmentation, build
from pipeline.data.loader import Shuffled, loader
from pipeline.training.allocator import keep_buffers
from pipeline.training.module import Classifier

BATCH = 128
SPELLED: list[Any] = [{"Affine": {"rotate": [-30, 30], "scale": [0.8, 1.25], "translate_percent": [-0.2, 0.2], "p": 1}}]


def batches(found: DataLoader) -> Iterator[Any]:
    """Without end, epoch after epoch."""
    epoch = 0
    while True:
        found.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        yield from found
        epoch += 1


def speed(step: Callable[[], object], steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * BATCH / (time.perf_counter() - began)


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    keep_buffers()
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20_000, 32, 32, 1), dtype=np.uint8), rng.integers(0, 10, 20_000)

    def feed(transforms: list[Any], num_workers: int = 0) -> Iterator[Any]:
        sampler = Shuffled(np.arange(len(images)), BATCH, seed=0)
        return batches(loader(images, labels, sampler, num_workers, build(Augmentation(transforms), 0)))

    torch.manual_seed(0)
    section = vars(SCHEMAS["cnn"](filters=[32, 64, 128]))
    module = Classifier(architecture.build(section, (1, 32, 32), 10), torch.zeros(1), torch.ones(1), 10)
    adam = torch.optim.Adam(module.parameters(), fused=True)
    bf16 = environment.native_bf16("cpu")

    def train(source: Iterator[Any]) -> None:
        x_BCHW, y, _ = next(source)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(module(x_BCHW), y)
        adam.zero_grad()
        loss.backward()
        adam.step()

    affine = ["rotate", "scale", "translate"]
    plain, here, two, own = feed([]), feed(affine), feed(affine, 2), feed(SPELLED)
    rows: dict[str, tuple[Callable[[], object], int]] = {
        "CNN trains, no augmentation": (lambda: train(plain), steps),
        "CNN trains, affine": (lambda: train(here), steps),
        "loader alone, affine": (lambda: next(here), 4 * steps),
        "loader alone, affine, 2 workers": (lambda: next(two), 4 * steps),
        "loader alone, affine by albumentations": (lambda: next(own), max(1, steps // 10)),
    }
    for step, _ in rows.values():  # warm up; workers start
        list(islice(iter(step, object()), 3))
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(repeats):
        for name, (step, many) in rows.items():
            found[name].append(speed(step, many))
    base = found["CNN trains, no augmentation"]
    print(f"{'images/s, median of ' + str(repeats):40}           times the CNN's own (least to most)")
    for name, values in found.items():
        ratios = [value / cnn for value, cnn in zip(values, base, strict=True)]
        print(f"{name:40} {statistics.median(values):8,.0f}  {statistics.median(ratios):6.2f}"
              f"  ({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
