"""Train runs in this process, and what is done when one is trained: metrics, what shows them, the status."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline import config, data, rundir, stopping
from pipeline.evaluation.plots import draw
from pipeline.evaluation.predict import evaluate
from pipeline.spinning import considerate
from pipeline.training.fit import Fitted, fit
from pipeline.training.stack import fit_stack


def train_here(path: Path, gpu: int | None = None) -> None:
    """Train the run at `path` as its run.json says, and leave its checkpoints, predictions and results there.

    In this process alone, on the GPU of index `gpu`, or as one of several that torchrun's agent started.
    Raises Stopped where a signal asked for it, after a checkpoint.
    """
    considerate()  # a launcher's process, or torchrun's, began without `begin`
    began = time.perf_counter()
    with _same_data([path]):
        fitted = fit(path, gpu)
    if fitted is None:  # the first of the processes does the rest
        return
    _finish(path, fitted, time.perf_counter() - began)


def train_stack_here(paths: Sequence[Path], failed: Callable[[Path, Exception], None], gpu: int | None = None) -> None:
    """The same for runs that train at once. One that fails is told to `failed`, and the others go on."""
    considerate()
    began = time.perf_counter()
    with _same_data(paths):
        fitted = fit_stack(paths, failed, gpu)
    share = (time.perf_counter() - began) / len(paths)
    for path, one in fitted.items():
        try:
            _finish(path, one, share)
        except Exception as error:
            failed(path, error)


@contextlib.contextmanager
def _same_data(paths: Sequence[Path]) -> Iterator[None]:
    """Raise ChangedDataError where the runs' set is not as it was when the body began to train on it.

    Also where that was stopped: what it came to so far is taken away, or it would go on from there.
    """
    directory = Path(rundir.read_run(paths[0]).dataset.dir)
    before = data.states(directory)
    try:
        yield
    finally:
        if not data.unchanged(directory, before):
            for path in paths:
                rundir.clear(path)
            raise ChangedDataError(
                f"{directory}: was changed by something else while it was trained on, so what came of it is no result "
                "and was taken away; retry=true trains again"
            )


class ChangedDataError(RuntimeError):
    """The data of a run was changed under its hands."""


def _finish(path: Path, fitted: Fitted, trained_s: float) -> None:
    """Evaluate a run whose training took so long, or its share of that."""
    began = time.perf_counter()
    if stopping.asked():  # too late for training to notice; what is left is done when it is taken up
        raise stopping.Stopped
    asked = config.of_run(path).experiment
    metrics = evaluate(path, save=True, invariant=asked.invariance, localizing=asked.localization)["metrics"]
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
        seconds=rundir.get_status(path).spent + trained_s + time.perf_counter() - began,
    )
