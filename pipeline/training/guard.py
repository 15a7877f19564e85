"""What every batch is watched for, by all processes of a run together: a loss that is no number, a wish to stop."""

import math
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from pipeline import rundir, stopping
from pipeline.data.loader import Batch
from pipeline.training.checkpoints import Keep
from pipeline.training.together import Together

DIVERGED = "training diverged. diverged.json lists the examples of that batch; the last good checkpoint is kept"


def diverged(path: Path, epoch: int, batch: int, loss: float, examples: list[int], process: int = 0) -> Exception:
    """What to raise of a loss that is no number, once diverged.json says where it came from."""
    rundir.write_json(
        path / "diverged.json",
        {"epoch": epoch, "batch": batch, "process": process, "loss": str(loss), "examples": examples},
    )
    return FloatingPointError(f"train/loss is {loss} in epoch {epoch}, batch {batch}: {DIVERGED}")


class Guard(pl.Callback):
    """Agrees before each step: all processes take it, or none does.

    One reduction of three flags a batch, on its way during the backward pass: this process's loss is not finite, it was
    asked to stop, the time for a checkpoint within the epoch has come (the first process's clock decides). It also
    names the draws of each batch by (seed, process, step), so that dropout is the same whether or not training was
    interrupted before.
    """

    def __init__(self, path: Path, keep: Keep, seed: int, every_s: float) -> None:
        self.path, self.keep, self.seed, self.every_s = path, keep, seed, every_s
        self.saved = time.monotonic()
        self.stop = self.due = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        names = np.random.SeedSequence([self.seed, trainer.global_rank, trainer.global_step])
        # torch.manual_seed seeds every kind of accelerator too; where one is not there it formats the stack, to say
        # later who asked: 0.4 ms a batch, in place of 0.001.
        torch.default_generator.manual_seed(seed := int(names.generate_state(1)[0]))
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        self.ids, self.batch = batch[2], batch_idx

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: torch.Tensor) -> None:
        self.loss = float(loss.detach())
        bad = not math.isfinite(self.loss)
        due = trainer.is_global_zero and time.monotonic() - self.saved > self.every_s
        self.flags = [bad, stopping.asked(), due]
        strategy = trainer.strategy
        self.anyones = strategy.anyone(self.flags) if isinstance(strategy, Together) else None

    def on_before_optimizer_step(self, trainer: pl.Trainer, *_: object) -> None:
        mine = self.flags[0]
        anyone_bad, self.stop, self.due = self.anyones() if self.anyones else self.flags
        if anyone_bad:
            where = f"epoch {trainer.current_epoch + 1}, batch {self.batch + 1}"
            if not mine:
                raise FloatingPointError(f"train/loss is not finite in another process in {where}: {DIVERGED}")
            raise diverged(
                self.path, trainer.current_epoch + 1, self.batch + 1, self.loss, self.ids.tolist(), trainer.global_rank
            )

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if not (self.stop or self.due) or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return  # after the last batch come validation and a checkpoint of the whole epoch
        self.keep.save(trainer)
        self.saved = time.monotonic()
        if self.stop:
            raise stopping.Stopped

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved = time.monotonic()  # the epoch before ended with a checkpoint
        if self.stop:
            raise stopping.Stopped
