"""How fast `python -m pipeline.train` trains, next to a hand-written loop of the same settings.

    make bench            or: python benchmarks/throughput.py [REPEATS] [EPOCHS]

Both train the notes' CNN on a set the size of Fashion-MNIST (60,000 + 10,000 grey 28x28, made on the spot), each
in a process of its own, in alternation, since the machine's speed drifts. The pipeline runs with its default
tracking. Timed is training with its validation and checkpoints, from the first batch to the end of the last
epoch; imports are not. Peak memory is that of the whole process.
"""

import gzip
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def make_set(folder: Path) -> None:
    """IDX files of smooth random images whose class shows in where the bright blob is."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:28, 0:28]
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        row = 7 + 14 * (labels // 5) + rng.normal(0, 2, n)
        column = 3 + 5.5 * (labels % 5) + rng.normal(0, 2, n)
        images = np.empty((n, 28, 28), np.uint8)
        for start in range(0, n, 1000):
            some = slice(start, start + 1000)
            far = (rows - row[some, None, None]) ** 2 + (columns - column[some, None, None]) ** 2
            images[some] = 255 * np.exp(-far / 18)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb", compresslevel=1) as file:
                file.write(header + array.tobytes())


def run(command: list[str], cwd: Path) -> tuple[str, float]:
    """Standard output of `command` and the peak of its memory in MB."""
    out = cwd / "out"
    with open(out, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL, cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with {status}")
    return out.read_text(), usage.ru_maxrss / 1024


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    os.environ["PYTHONPATH"] = str(HERE.parent)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_set(work)
        data = ["data=idx", f"data.root={work}", "output=json"]
        prepared = json.loads(run([sys.executable, "-m", "pipeline.prepare", *data], work)[0])["dataset"]
        ratios, rows = [], []
        print("            pipeline          by hand        ratio   memory")
        for repeat in range(repeats):
            asked = [sys.executable, "-m", "pipeline.train", *data, f"trainer.max_epochs={epochs}", f"seed={repeat}"]
            text, ours_mb = run(asked, work)
            ours = pipeline_speed(work / json.loads(text)["run"])
            by_hand = [sys.executable, str(HERE / "by_hand.py"), str(work / prepared), str(epochs), str(repeat)]
            text, hand_mb = run(by_hand, work)
            hand = json.loads(text)["images_per_s"]
            ratios.append(ours / hand)
            rows.append(ours_mb / hand_mb)
            print(
                f"run {repeat + 1}  {ours:6.0f} img/s {ours_mb:4.0f} MB  {hand:6.0f} img/s {hand_mb:4.0f} MB"
                f"  {ratios[-1]:5.2f}  {rows[-1]:6.2f}",
                flush=True,
            )
        print(f"median of {repeats}: {statistics.median(ratios):.2f} of the hand-written loop's images/s, "
              f"{statistics.median(rows):.2f} times its peak memory")  # fmt: skip


def pipeline_speed(path: Path) -> float:
    """Images per second of a run, from its own record: first batch to the end of the last epoch."""
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    epochs = [row for row in rows if "time/epoch_s" in row["metrics"]]
    seconds = (epochs[-1]["time_ms"] - epochs[0]["time_ms"]) / 1000 + epochs[0]["metrics"]["time/epoch_s"]
    n_train = json.loads((path / "run.json").read_text())["dataset"]["counts"]["train"]
    return len(epochs) * (n_train // 128) * 128 / seconds


if __name__ == "__main__":
    main()
