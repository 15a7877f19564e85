"""How fast the pipeline is, next to what a careful person would write by hand and to plain Lightning.

    make bench            or: python -m benchmarks.speed [REPEATS] [FOLDER [PART ...]]

Each command runs in a process of its own, and what is compared alternates, since the machine's speed drifts. Prints a
table of medians with their range; with FOLDER speed.json and speed.md are written there, of which PARTs that are named
are made anew and the others kept. 40 minutes with 5 repeats.

| what  | how                                                                                                        |
|-------|------------------------------------------------------------------------------------------------------------|
| cnn   | one epoch of the notes' CNN on 20,000 + 10,000 grey images, made on the spot: images/s with validation and |
|       | checkpoints, from the first batch to the end of the epoch, and of training alone; peak memory; by DDP      |
| demo  | `make demo` in a new folder, to the verdict; its runs' own loops by hand, on one core                      |
| stack | eight seeds of a CNN of 8 and 16 filters on the embedded digits, 20 epochs, in one process: seconds of all |
|       | runs with `trainer.stack` to those without, imports aside                                                  |
| mlp   | a sweep of two MLPs on the same images, 2 epochs, to the verdict                                           |
"""

import datetime
import gzip
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.environment import describe

HERE = Path(__file__).resolve().parents[1]
SIZES = (28, 32)
STACK_SIZES = (8, 16)
Numbers = dict[str, float]


def make_set(folder: Path, n_train: int = 20_000) -> None:
    """IDX files of smooth random 28x28 images whose class shows in where the bright blob is."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:28, 0:28]
    folder.mkdir()
    for part, n in (("train", n_train), ("t10k", 10_000)):
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


def run(work: Path, *words: str) -> tuple[Any, float, float]:
    """The JSON document that `python -m WORDS` prints, the seconds it took and the peak of its memory in MB."""
    out, began = work / "out", time.perf_counter()
    with open(out, "w") as file:
        process = subprocess.Popen([sys.executable, "-m", *words], stdout=file, stderr=subprocess.DEVNULL, cwd=work)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed with {status}")
    return json.loads(out.read_text()), time.perf_counter() - began, usage.ru_maxrss / 1024


def cnn(work: Path, size: int, seed: int) -> Numbers:
    """The notes' CNN by the pipeline, by hand, by plain Lightning and by two processes of the pipeline's."""
    data = ["data=idx", f"data.root={work / 'set'}", f"data.size={size}", "output=json"]
    prepared = work / run(work, "pipeline.prepare", *data)[0]["dataset"]
    document, _, ours_mb = run(work, "pipeline.train", *data, "trainer.max_epochs=1", f"seed={seed}")
    hand, _, hand_mb = run(work, "benchmarks.by_hand", str(prepared), "1", str(seed))
    plain, _, _ = run(work, "benchmarks.plain_lightning", str(prepared), "1", str(seed))
    ours = epochs_of(work / document["run"])
    ddp, _, _ = run(work, "pipeline.train", *data, "trainer.max_epochs=1", "trainer=ddp_cpu", f"seed={seed}")
    two = epochs_of(work / ddp["run"])
    return {
        "pipeline": ours["images_per_s"],
        "by hand": hand["images_per_s"],
        "plain Lightning": plain["images_per_s"],
        "to by hand": ours["images_per_s"] / hand["images_per_s"],
        "to by hand, training alone": ours["training_images_per_s"] / hand["training_images_per_s"],
        "to plain Lightning": ours["images_per_s"] / plain["images_per_s"],
        "two DDP processes to one": two["images_per_s"] / ours["images_per_s"],
        "two DDP processes to one, training alone": two["training_images_per_s"] / ours["training_images_per_s"],
        "memory to by hand": ours_mb / hand_mb,
    }


def epochs_of(path: Path) -> Numbers:
    """Images per second of a run from its own record: from the first batch to the end of the last epoch."""
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    epochs = [row for row in rows if "time/epoch_s" in row["metrics"]]
    seconds = (epochs[-1]["time_ms"] - epochs[0]["time_ms"]) / 1000 + epochs[0]["metrics"]["time/epoch_s"]
    record = json.loads((path / "run.json").read_text())
    images = record["dataset"]["counts"]["train"] // record["config"]["data"]["batch_size"]
    images *= record["config"]["data"]["batch_size"] * len(epochs)
    return {
        "images_per_s": images / seconds,
        "training_images_per_s": statistics.mean(row["metrics"]["time/images_per_s"] for row in epochs),
        "seconds": seconds,
    }


def demo(work: Path, seed: int) -> Numbers:
    """`make demo`, and the same networks trained by bare loops, one after the other on one core."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        document, wall, _ = run(folder, "pipeline.train", "-m", "experiment=demo", "output=json")
        bare, _, _ = run(folder, "benchmarks.bare", document["sweep"])
        runs = [json.loads((folder / one["run"] / "status.json").read_text()) for one in document["runs"]]
        fixed = [
            status["seconds"] - epochs_of(folder / one["run"])["seconds"] / status["together"]
            for status, one in zip(runs, document["runs"], strict=True)
        ]
        began = min(status["started"] for status in runs)
        ended = max(status["ended"] for status in runs)
    cores = len(os.sched_getaffinity(0))
    return {
        "seconds": wall,
        "seconds to bare loops on one core": wall / bare["seconds"],
        "seconds from the first run to the last": ended - began,
        "bare loops on one core, seconds": bare["seconds"],
        "runs to bare loops over the cores": (ended - began) * cores / bare["seconds"],
        "a run's fixed cost, seconds": statistics.median(fixed),
    }


def stack(work: Path, size: int, seed: int) -> Numbers:
    """Eight seeds one after the other, and at once."""
    line = [f"data.size={size}", "architecture.filters=[8,16]", "trainer.max_epochs=20", "trainer.threads=1"]
    line += ["tracking=none", "hydra/launcher=basic", "output=json", f"seed=range({8 * seed},{8 * seed + 8})"]
    seconds = {}
    for members in ("off", "2", "4", "8"):
        # Each with runs of its own: a stack of four would take those of a stack of two.
        own = [f"trainer.stack={members}", f"runs_dir=runs-{members}"]
        document, _, _ = run(work, "pipeline.train", "-m", *line, *own)
        seconds[members] = sum(one["seconds"] for one in document["runs"])
    alone = seconds.pop("off")
    return {"alone, seconds": alone, **{f"of that, {n} at once": value / alone for n, value in seconds.items()}}


def mlp(work: Path, seed: int) -> Numbers:
    """A sweep of two MLPs as a user waits for it."""
    line = ["data=idx", f"data.root={work / 'set'}", "architecture=mlp", "trainer.max_epochs=2", "output=json"]
    line += [f"seed={10 * seed},{10 * seed + 1}"]
    _, wall, _ = run(work, "pipeline.train", "-m", *line)
    _, stacked, _ = run(work, "pipeline.train", "-m", *line, "trainer.stack=2")
    return {"seconds": wall, "seconds, trainer.stack=2": stacked}


def main() -> None:
    """Measure all, or the parts that are named, alternating."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    asked = sys.argv[3:] or list(PARTS)
    os.environ["PYTHONPATH"] = str(HERE)
    found: dict[str, list[Numbers]] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_set(work / "set")
        for seed in range(repeats):
            for part in asked:
                for name, numbers in PARTS[part](work, seed).items():
                    found.setdefault(name, []).append(numbers)
            print(f"{seed + 1} of {repeats}", file=sys.stderr, flush=True)
    print(table(found))
    if folder:
        file = folder / "speed.json"
        before = json.loads(file.read_text())["measured"] if file.exists() else {}
        about = {"date": str(datetime.date.today()), "machine": platform.machine(), **describe()}
        now = {name: {"about": about, "repeats": some} for name, some in found.items()}
        measured = before | now
        file.write_text(json.dumps({"measured": measured}, indent=1) + "\n")
        (folder / "speed.md").write_text(page(measured))


PARTS: dict[str, Callable[[Path, int], dict[str, Numbers]]] = {
    "cnn": lambda work, seed: {f"cnn, {size} pixels": cnn(work, size, seed) for size in SIZES},
    "demo": lambda work, seed: {"demo": demo(work, seed)},
    "mlp": lambda work, seed: {"two MLPs": mlp(work, seed)},
    "stack": lambda work, seed: {f"eight seeds, {size} pixels": stack(work, size, seed) for size in STACK_SIZES},
}


def table(found: dict[str, list[Numbers]]) -> str:
    """Medians with their range."""
    lines = ["| | | median | range |", "|---|---|---|---|"]
    for what, repeats in found.items():
        for name in repeats[0]:
            values = [one[name] for one in repeats]
            digits = 0 if min(values) > 100 else 2
            middle, low, high = (f"{v:,.{digits}f}" for v in (statistics.median(values), min(values), max(values)))
            lines.append(f"| {what} | {name} | {middle} | {low} to {high} |")
    return "\n".join(lines)


def page(measured: dict[str, Any]) -> str:
    """docs/speed.md."""
    made: dict[str, list[str]] = {}
    for name, one in measured.items():
        about = one["about"]
        packages = ", ".join(f"{package} {version}" for package, version in about["packages"].items())
        where = f"{about['date']}, {about['processor']}, {about['cores']} cores, {packages}"
        made.setdefault(f"{where}; {len(one['repeats'])} alternations", []).append(name)
    whole = "\n".join(f"- {'; '.join(names)}: {where}." for where, names in made.items())
    text = table({name: one["repeats"] for name, one in measured.items()})
    return f"""# How fast it is

`python -m benchmarks.speed 5 docs` wrote this; medians of what alternates, images/s where no unit is named.
benchmarks/speed.py says how.

{whole}

{text}

No GPU was at hand. Where there is one, these give the figures that are missing here; runs end with their images/s in
`metrics.jsonl` and on MLflow:

    python -m pipeline.train -m data=cifar10 trainer=gpu seed="range(16)" trainer.stack=off
    python -m pipeline.train -m data=cifar10 trainer=gpu seed="range(16)" trainer.stack=16
    python -m pipeline.train data=cifar10 trainer=gpu augmentation=affine data.num_workers=8
    python -m pipeline.train data=cifar10 trainer=ddp trainer.devices=2
"""


if __name__ == "__main__":
    main()
