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


class Guard(pl.Callback):
    """Agrees before each step: all processes take it, or none does.

    One reduction of three flags a batch: this process's loss is not finite, it was asked to stop, the time for a
    checkpoint within the epoch has come (the first process's clock decides). It also names the draws of each batch
    by (seed, process, step), so that dropout is the same whether or not training was interrupted before.
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
        bad = not math.isfinite(float(loss.detach()))
        due = trainer.is_global_zero and time.monotonic() - self.saved > self.every_s
        flags = torch.tensor([bad, stopping.asked(), due], dtype=torch.float32, device=loss.device)
        if trainer.world_size > 1:
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        anyone_bad, self.stop, self.due = (bool(flag) for flag in flags.tolist())
        if anyone_bad:
            self._diverged(trainer, float(loss.detach()), bad)

    def _diverged(self, trainer: pl.Trainer, loss: float, mine: bool) -> None:
        where = f"epoch {trainer.current_epoch + 1}, batch {self.batch + 1}"
        if mine:
            rundir.write_json(
                self.path / "diverged.json",
                {
                    "epoch": trainer.current_epoch + 1,
                    "batch": self.batch + 1,
                    "process": trainer.global_rank,
                    "loss": str(loss),
                    "examples": self.ids.tolist(),
                },
            )
        raise FloatingPointError(
            f"train/loss is {loss if mine else 'not finite in another process'} in {where}: training diverged. "
            "diverged.json lists the examples of that batch; the last good checkpoint is kept"
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
