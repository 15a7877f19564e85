"""What a run costs besides import and training: `python -m benchmarks.bookkeeping [RUNS]`, in an empty folder.

A sweep of RUNS runs (1,000 by default) is started by the command itself, with its default tracking; in place of
training each run only writes down what a trained one would. Prints the seconds from one run to the next, for the
first and the last tenth, by the clock and of CPU time, and what the sweep needed before and after its runs.
"""

import contextlib
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from pipeline import rundir

reached: list[tuple[float, float]] = []  # the clock and the CPU time when each run would be trained


def untrained(path: Path) -> str:
    """Leave what a run of two epochs leaves, without training."""
    reached.append((time.time(), time.process_time()))
    asked = rundir.read_json(path / "run.json")
    test, classes = asked["dataset"]["counts"]["test"], len(asked["dataset"]["classes"])
    for epoch in (1, 2):
        rundir.append_metrics(path, epoch, {"train/loss": 1 / epoch, "val/loss": 1 / epoch, "val/acc": 1 - 1 / epoch})
    rundir.append_metrics(path, 2, {"test/acc": 0.5, "test/loss": 1.0})
    logits = np.random.default_rng(asked["config"]["seed"]).normal(size=(test, classes)).astype(np.float32)
    np.savez(path / "predictions.npz", index=np.arange(test), label=np.zeros(test, np.int64), logits=logits)
    for name in ("best", "last"):
        (path / "checkpoints" / f"{name}.ckpt").write_bytes(bytes(100_000))
    acc = float((logits.argmax(1) == 0).mean())
    rundir.set_status(path, "finished", ended=time.time(), metrics={"test/acc": acc, "val/acc": acc}, seconds=0.0,
                      parameters={"total": asked["parameters"], "trainable": asked["parameters"]})  # fmt: skip
    return "finished"


def main() -> None:
    """Run the sweep, print the table."""
    from pipeline import train
    from pipeline.run import launch

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    launch.train = untrained  # type: ignore[assignment]
    line = f"-m architecture.kernel_size=3,5 seed=range({runs // 2}) dir=bookkeeping"
    sys.argv = ["train", *line.split()]
    began = time.time()
    with contextlib.suppress(SystemExit):
        train.main()
    ended = time.time()
    clock, cpu = (np.diff(column) for column in np.transpose(reached))
    tenth = runs // 10
    rows = [
        ("seconds a run, median of the first tenth", statistics.median(clock[:tenth])),
        ("seconds a run, median of the last tenth", statistics.median(clock[-tenth:])),
        ("CPU seconds a run, median of the first tenth", statistics.median(cpu[:tenth])),
        ("CPU seconds a run, median of the last tenth", statistics.median(cpu[-tenth:])),
        ("seconds before the first run", reached[0][0] - began),
        ("seconds after the last one began", ended - reached[-1][0]),
    ]
    for name, value in rows:
        print(f"{name:46} {value:.3f}")


if __name__ == "__main__":
    main()
