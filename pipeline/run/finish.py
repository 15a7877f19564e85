"""Train a run in this process, and what is done when it is trained: metrics, what shows them, the status."""

import time
from pathlib import Path

from pipeline import config, rundir, stopping
from pipeline.evaluation.plots import draw
from pipeline.evaluation.predict import evaluate
from pipeline.training.fit import fit


def train_here(path: Path, gpu: int | None = None) -> None:
    """Train the run at `path` as its run.json says, and leave its checkpoints, predictions and results there.

    In this process alone, on the GPU of index `gpu`, or as one of several that torchrun's agent started.
    Raises Stopped where a signal asked for it, after a checkpoint.
    """
    began = time.perf_counter()
    fitted = fit(path, gpu)
    if fitted is None:  # the first of the processes does the rest
        return
    if stopping.asked():  # too late for training to notice; what is left is done when it is taken up
        raise stopping.Stopped
    metrics = evaluate(path, save=True, invariant=config.of_run(path).experiment.invariance)["metrics"]
    # Validation has its own row for each epoch.
    ended = {name: value for name, value in metrics.items() if not name.startswith("val/")}
    rundir.append_metrics(path, fitted.epochs, ended)
    draw(path)
    (path / "checkpoints" / "previous.ckpt").unlink(missing_ok=True)  # for a run that goes on
    rundir.set_status(
        path,
        "finished",
        ended=time.time(),
        metrics=metrics,
        parameters=fitted.parameters,
        key=rundir.read_run(path).key,
        files=rundir.seals(path),
        seconds=rundir.get_status(path).spent + time.perf_counter() - began,
    )
