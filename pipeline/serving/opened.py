"""The trained network that a user names, by its directory or on MLflow, with all that its input has to be."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import config, rundir, terminal
from pipeline.beginning import importing
from pipeline.config import Config
from pipeline.config.tracking import Tracking
from pipeline.data.vocabulary import unpacked
from pipeline.errors import InputError
from pipeline.records import RunRecord
from pipeline.tracking import download

if TYPE_CHECKING:
    from pipeline.training.module import Classifier


@dataclass(frozen=True)
class Opened:
    """A network of a run, ready to predict, and what it was trained on. The data itself need not be there any more."""

    named: str  # as the user did
    record: RunRecord
    settings: Config
    module: "Classifier"  # in eval mode, on the CPU

    @property
    def classes(self) -> list[str]:
        """What its outputs are called."""
        return [str(name) for name in self.record.dataset.classes]

    @property
    def words(self) -> list[str] | None:
        """The vocabulary that it was trained with; None where it is not for text."""
        packed = getattr(self.module, "words", None)
        return None if packed is None else unpacked(packed.numpy())

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what it takes."""
        channels, height, width = self.record.dataset.input_shape
        return channels, height, width


def find(named: str | None, uri: str | None, folder: Path) -> Path:
    """The directory of the run that `named` says; what is on MLflow at `uri` is fetched into `folder`.

    Raises InputError where there is none.
    """
    if named is None:
        raise InputError(
            "run=null: name a run directory, as in run=runs/train/..., an MLflow run or models:/NAME@ALIAS."
        )
    if not Path(named).exists() and download.is_on_mlflow(named):
        tracking = Tracking() if uri is None else tracking_at(uri)
        return download.fetch(tracking, named, folder, weights=True, key="run")
    return rundir.find_run(named)


def tracking_at(uri: str) -> Tracking:
    """The MLflow that `uri=` says; a new database keeps its files in artifacts, beside it."""
    try:
        found = Tracking(uri=uri, artifacts=None)
    except InputError as error:
        raise InputError(str(error).removeprefix("tracking.")) from None
    if not found.remote:
        found.artifacts = str(Path(uri.removeprefix("sqlite:///")).absolute().parent / "artifacts")
    return found


@contextlib.contextmanager
def opened(named: str | None, uri: str | None) -> Iterator[Opened]:
    """The network that `named` says, with the weights of its best checkpoint, read without unpickling.

    `uri`: the MLflow that it is looked up on where it is no directory; None: the one of tracking=local.
    Raises InputError where it cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="convtrial-") as folder:
        run = find(named, uri, Path(folder))
        status = rundir.get_status(run).status
        if status not in ("finished", "missing"):  # what was fetched has finished, and has no status.json
            terminal.mind([f"run={named}: its status is {status}; its best checkpoint so far is used"])
        yield of_run(run, str(named))


def of_run(run: Path, named: str) -> Opened:
    """The network of a run directory."""
    with importing():
        from pipeline.evaluation.predict import load

    return Opened(named, rundir.read_run(run), config.of_run(run), load(run))
