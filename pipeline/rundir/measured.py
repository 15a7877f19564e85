"""What was measured of a trained run: predictions.npz and invariance.json."""

from pathlib import Path
from typing import Any

from pipeline import folders, records
from pipeline.perturbations import PERTURBATIONS
from pipeline.records import Invariance
from pipeline.rundir.documents import DamagedError, read_json, write_checked


def write_invariance(run: Path, curves: dict[str, Any], checkpoint: str, key: str) -> None:
    """invariance.json: the curves of a checkpoint of the run of that key, as `evaluation.invariance` gives them."""
    document = {"version": records.VERSION, "checkpoint": checkpoint, "key": key} | curves
    write_checked(run / "invariance.json", document)


def read_invariance(run: Path) -> Invariance:
    """invariance.json. Raises DamagedError where it is not whole."""
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


def write_predictions(run: Path, index: Any, label: Any, logits: Any) -> None:
    """predictions.npz, per test example: int [N], int [N], float [N, classes]."""
    import numpy as np

    with folders.replacing(run / "predictions.npz") as file:
        np.savez(file, index=index, label=label, logits=logits)


def read_predictions(run: Path) -> dict[str, Any]:
    """The arrays of predictions.npz by name. Raises DamagedError where they are not whole or do not fit each other."""
    import numpy as np

    path = run / "predictions.npz"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            found = {name: saved[name] for name in ("index", "label", "logits")}
        count, classes = found["logits"].shape
        fits = count > 0 and found["index"].shape == found["label"].shape == (count,)
        fits = fits and all(found[name].dtype.kind in "iu" for name in ("index", "label"))
        if not fits or not ((found["label"] >= 0) & (found["label"] < classes)).all():
            raise ValueError("its arrays do not fit each other")
    except FileNotFoundError:
        raise DamagedError(f"{path}: no such file.") from None
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds over bytes that are not theirs
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DamagedError(f"{path}: is damaged ({said}).") from None
    return found
