"""Checkpoints that outlive a kill at any moment: written beside, synced, renamed; read back with their checksums.

checkpoints/last.ckpt      the newest state of training, at the end of an epoch or where it was stopped
checkpoints/previous.ckpt  the one before it, for when the newest turns out damaged
checkpoints/best.ckpt      the one with the best `trainer.monitor`; a link, not a copy
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from pipeline import folders, rundir
from pipeline.errors import InputError

log = logging.getLogger(__name__)


class Durable(TorchCheckpointIO):
    """Writes a checkpoint so that a reader finds the old file or the new one, whole, even after a power cut.

    It holds the key of its run: another run's file would be as whole.
    """

    def __init__(self, run_key: str) -> None:
        super().__init__()
        self.run_key = run_key

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        with folders.replacing(path) as file:
            torch.save({**checkpoint, "run_key": self.run_key}, file)
            file.flush()
            os.fsync(file.fileno())  # before the one that is there is put aside
            if path.exists():
                os.replace(path, path.with_name("previous.ckpt"))
        folders.sync(path.parent)


def check_finite(state: Mapping[str, torch.Tensor], step: int) -> None:
    """Raise FloatingPointError where a weight is no number: the loss was one before the step, which can overflow."""
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise FloatingPointError(f"{name} is not finite after step {step}: training diverged")


def link_best(checkpoint: Path) -> None:
    """Make best.ckpt this checkpoint beside it. Made again if a power cut undoes it, see restore_best."""
    beside = checkpoint.with_name(f".best.{os.getpid()}")
    beside.unlink(missing_ok=True)
    os.link(checkpoint, beside)
    os.replace(beside, checkpoint.with_name("best.ckpt"))
    beside.unlink(missing_ok=True)  # it stays where best.ckpt is that very file already: then POSIX renames nothing


class Keep(Checkpoint):
    """Saves last.ckpt at the end of each epoch, and links best.ckpt to it where the monitored metric is best.

    A link to the checkpoint that is saved anyway: half the bytes, and no moment between two files. What it knows
    travels in the checkpoint, so that a run that is taken up again keeps the same best one.
    """

    def __init__(self, path: Path, monitor: str) -> None:
        self.folder = path / "checkpoints"
        self.monitor, self.sign = monitor, -1 if monitor.endswith("loss") else 1
        self.best_score: float | None = None
        self.best_epoch = -1
        self.stopped = False  # early stopping ended it; Lightning forgets that it did

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        score = self.sign * float(trainer.callback_metrics[self.monitor])
        # Of equals the later one, as 180 validation images leave many: the first of them cost 0.003 to 0.005 of test
        # accuracy against the last epoch, the later one 0.001 (docs/lab-notes.md).
        if self.best_score is None or score >= self.best_score:
            self.best_score, self.best_epoch = score, trainer.current_epoch
        self.stopped = trainer.should_stop
        self.save(trainer)
        self.link(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Save the state as it is; every process of the run calls this."""
        check_finite(trainer.lightning_module.state_dict(), trainer.global_step)
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def link(self, trainer: pl.Trainer) -> None:
        """Make best.ckpt the checkpoint of this epoch, where this epoch is the best."""
        if trainer.is_global_zero and self.best_epoch == trainer.current_epoch:
            link_best(self.folder / "last.ckpt")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopped:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "best_epoch": self.best_epoch, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score, self.best_epoch = state_dict["best_score"], state_dict["best_epoch"]
        self.stopped = state_dict["stopped"]


def read(run: Path, name: str) -> dict[str, Any]:
    """The contents of checkpoints/<name>.ckpt of a run, on the CPU, without unpickling code (weights_only).

    Raises InputError where it is missing, damaged or another run's.
    """
    path, key = run / "checkpoints" / f"{name}.ckpt", rundir.read_run(run).key
    if not path.exists():
        raise InputError(f"{path}: no such checkpoint.")
    try:
        folders.check_parts(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found["state_dict"], dict):
            raise TypeError("no state_dict")
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}).") from None
    if found.get("run_key", key) != key:
        raise InputError(f"{path}: is a checkpoint of another run.")
    return found


def newest(run: Path) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint that training goes on from, and what it holds; None: from the start.

    A damaged last.ckpt is put aside for previous.ckpt. So is one whose best.ckpt, made at an earlier epoch, is
    damaged: what training would end with could not be had from there.
    """
    for name in ("last", "previous"):
        path = run / "checkpoints" / f"{name}.ckpt"
        if not path.exists():
            continue
        try:
            found = read(run, name)
            place = position(found)
            best = found["callbacks"]["Keep"]["best_epoch"]
            if best >= 0 and (place["epoch"], place["batch"]) != (best + 1, 0):
                read(run, "best")
            return path, found
        except (InputError, KeyError) as error:
            log.warning("%s: %s is put aside, what was before it is taken", run, error)
    return None


def position(checkpoint: dict[str, Any]) -> dict[str, int]:
    """Where training goes on: the epoch, and how many batches of it are done."""
    if place := checkpoint.get("position"):  # of a stack's
        return {"epoch": place["epoch"], "batch": place["batch"]}
    fit = checkpoint["loops"]["fit_loop"]
    epoch, batch = fit["epoch_progress"]["current"], fit["epoch_loop.batch_progress"]["current"]
    within = epoch["ready"] != epoch["processed"]
    return {"epoch": epoch["processed"], "batch": batch["processed"] if within else 0}


def restore_best(run: Path, checkpoint: Path, found: dict[str, Any]) -> None:
    """Link best.ckpt anew where the kill came between the save of the best checkpoint and its link."""
    place = position(found)
    if found["callbacks"]["Keep"]["best_epoch"] + 1 == place["epoch"] and place["batch"] == 0:
        link_best(checkpoint)
