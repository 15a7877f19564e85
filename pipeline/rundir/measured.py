"""What was measured of a trained run: predictions.npz and invariance.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import folders, records
from pipeline.records import Invariance
from pipeline.rundir.documents import DamagedError, read_json, write_checked


def write_invariance(run: Path, curves: dict[str, Any], checkpoint: str, key: str) -> None:
    """invariance.json: the curves of a checkpoint of the run of that key, as `evaluation.invariance` gives them."""
    document = {"version": records.VERSION, "checkpoint": checkpoint, "key": key} | curves
    write_checked(run / "invariance.json", document)


def read_invariance(run: Path) -> Invariance:
    """invariance.json. Raises DamagedError where it is not whole."""
    from pipeline.perturbations import PERTURBATIONS  # numpy, which planning does without

    path = run / "invariance.json"
    document = read_json(path)
    try:
        if not isinstance(document, dict) or not isinstance(document.get("agreement"), dict):
            raise ValueError("it lacks agreement")
        kinds = [kind for kind in PERTURBATIONS if kind in document]  # one that is newer than the run is not there
        if not kinds or set(kinds) != set(document["agreement"]) & set(PERTURBATIONS):
            raise ValueError("its curves do not fit each other")
        return records.parse(Invariance, {**document, "accuracy": {kind: document[kind] for kind in kinds}})
    except ValueError as error:
        raise DamagedError(f"{path}: is damaged, or was written by another version: {error}.") from None


ARRAYS = ("index", "label", "logits")


def write_predictions(run: Path, test: Sequence[Any], val: Sequence[Any]) -> None:
    """predictions.npz: per test example index int [N], label int [N], logits float [N, classes].

    The same of validation are called val_index and so on: thresholds are chosen by these.
    """
    import numpy as np

    with folders.replacing(run / "predictions.npz") as file:
        named = dict(zip(ARRAYS, test, strict=True))
        np.savez(file, **named, **{f"val_{name}": one for name, one in zip(ARRAYS, val, strict=True)})


def read_predictions(run: Path) -> dict[str, Any]:
    """The arrays of predictions.npz by name; earlier runs have none of validation.

    Raises DamagedError where they are not whole or do not fit each other.
    """
    import numpy as np

    path = run / "predictions.npz"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            splits = [prefix for prefix in ("", "val_") if not prefix or f"{prefix}index" in saved]
            found = {f"{prefix}{name}": saved[f"{prefix}{name}"] for prefix in splits for name in ARRAYS}
        classes = found["logits"].shape[1]
        if not all(_fit([found[f"{prefix}{name}"] for name in ARRAYS], classes) for prefix in splits):
            raise ValueError("its arrays do not fit each other")
    except FileNotFoundError:
        raise DamagedError(f"{path}: no such file.") from None
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds over bytes that are not theirs
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DamagedError(f"{path}: is damaged ({said}).") from None
    return found


def _fit(arrays: Sequence[Any], classes: int) -> bool:
    """Whether index, label and logits are of the same examples, and there are some."""
    index, label, logits = arrays
    count = len(logits)
    fits = count > 0 and logits.shape == (count, classes) and index.shape == label.shape == (count,)
    fits = fits and all(one.dtype.kind in "iu" for one in (index, label))
    return fits and bool(((label >= 0) & (label < classes)).all())
