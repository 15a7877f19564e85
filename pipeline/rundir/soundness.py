"""Whether a run is whole and its files are its own: the one judgement, for all who read them."""

import os
from pathlib import Path

from pipeline import artifacts, folders
from pipeline.rundir.documents import DamagedError
from pipeline.rundir.finding import read_run
from pipeline.rundir.measured import read_invariance, read_predictions
from pipeline.rundir.rows import metric_rows
from pipeline.rundir.status import get_status


def damage(run: Path, key: str | None = None, weights: bool = False) -> str | None:
    """What of the run cannot be read or does not belong there, and what mends it; None where it is whole.

    `key` is the one that the run has to have. A run that never began is whole. `weights` are looked at where that is
    asked for, as with retry=true: they take a second per GB, and whoever uses them looks by themselves.
    """
    if run.is_symlink():  # to a directory of somebody else's, say
        return f"{run}: is a link, and a run lies in its own folder. Put that in its place."
    try:
        status = get_status(run)
        if status.status == "damaged":
            raise DamagedError(status.error)
        finished = status.status == "finished"
        if not finished and not os.path.lexists(run / "run.json"):
            return None
        if status.status == "missing":
            raise DamagedError(f"{run / 'status.json'}: no such file.")
        record = read_run(run)
        if key and record.key != key:
            raise DamagedError(f"{run / 'run.json'}: is of another run than belongs there.")
        rows = list(metric_rows(run))
        if not finished:
            return None
        if lacking := [one for one in ("metrics", "parameters", "seconds") if getattr(status, one) in (None, {})]:
            raise DamagedError(f"{run / 'status.json'}: is damaged: it lacks {lacking[0]}.")
        if not rows or not (run / "metrics.jsonl").read_bytes().endswith(b"\n"):
            raise DamagedError(f"{run / 'metrics.jsonl'}: its end is missing.")
        check_sealed(run, "metrics.jsonl")
        if weights:
            check_sealed(run, "checkpoints/best.ckpt")
    except DamagedError as error:
        return f"{error} To train the run again: the same command with retry=true."
    try:
        if os.path.lexists(run / "predictions.npz"):  # no number was made of it; what is made of it later says it lacks
            counts, classes = record.dataset.counts, len(record.dataset.classes)
            made_of = {"logits": (counts.test, classes), "val_logits": (counts.val, classes)}
            found = read_predictions(run)
            if any(name in found and found[name].shape != shape for name, shape in made_of.items()):
                raise DamagedError(f"{run / 'predictions.npz'}: is of another data set than the run.")
            check_sealed(run, "predictions.npz")
        measured = record.config["experiment"].get("invariance") or os.path.lexists(run / "invariance.json")
        if measured and read_invariance(run).key not in (None, record.key):
            raise DamagedError(f"{run / 'invariance.json'}: is of another run.")
    except DamagedError as error:
        return f"{error} To have it written again: python -m pipeline.evaluate run={run}"
    return None


def seals(run: Path) -> dict[str, str]:
    """File -> digest of what a run ends with, for status.json: another run's file would be as whole as its own."""
    return {name: folders.sha256(run / name) for name in artifacts.sealed_names() if (run / name).exists()}


def check_sealed(run: Path, name: str) -> None:
    """Raise DamagedError where a file of a finished run is not the one that it ended with."""
    status = get_status(run)
    wanted = status.files.get(name) if status.status == "finished" else None
    if wanted and (not (run / name).is_file() or folders.sha256(run / name) != wanted):
        raise DamagedError(f"{run / name}: is not what the run ended with.")
