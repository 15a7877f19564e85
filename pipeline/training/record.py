"""The run's own record, written as training goes; everything shown elsewhere is read from it."""

import time
from pathlib import Path

import psutil
import pytorch_lightning as pl
import torch

from pipeline import rundir

BEAT_EVERY_S = 1.0


class Record(pl.Callback):
    """One row per epoch in metrics.jsonl, and a heartbeat for whoever watches the run."""

    def __init__(self, path: Path, batch_size: int) -> None:
        self.path, self.batch_size = path, batch_size
        self.last_beat = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_begins()  # of a run that goes on within an epoch, whose start is long past

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_begins()

    def _epoch_begins(self) -> None:
        self.epoch_began, self.batches = time.perf_counter(), 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        self.batches += 1
        now = time.monotonic()
        if trainer.is_global_zero and now - self.last_beat > BEAT_EVERY_S:
            self.last_beat = now
            rundir.beat(self.path, trainer.global_step, int(trainer.estimated_stepping_batches))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.trained_s = time.perf_counter() - self.epoch_began

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        row = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["time/epoch_s"] = time.perf_counter() - self.epoch_began
        row["time/images_per_s"] = self.batches * self.batch_size / self.trained_s
        rundir.append_metrics(self.path, trainer.current_epoch + 1, {**row, **system()})
        rundir.beat(self.path, trainer.global_step, int(trainer.estimated_stepping_batches))


def system() -> dict[str, float]:
    """This machine's load at this moment, under the names that MLflow shows as system metrics."""
    memory = psutil.virtual_memory()
    row = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / 1e6,
    }
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        row["system/gpu_0_memory_usage_megabytes"] = (total - free) / 1e6
        row["system/gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
    return row
