"""The `optimizer` and `trainer` sections. Trainer keys carry Lightning's own flag names."""

import os
from dataclasses import dataclass

from pipeline.errors import InputError, at_least, one_of, seconds, within

SMALL_MACS = 30_000_000
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


def granted_cores() -> int:
    """How many cores this process may use: what its launcher says, else what the kernel lets it run on.

    joblib and Ray set OMP_NUM_THREADS for their workers; SLURM and containers narrow the affinity.
    """
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if said.isdigit() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Optimizer:
    """How weights are updated. `weight_decay` is decoupled for adamw, an L2 penalty for adam and sgd."""

    type: str = "adam"  # adam | adamw | sgd
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9  # sgd only
    schedule: str = "constant"  # constant | cosine (to zero over the whole training, by step)
    warmup_epochs: float = 0.0  # linear from zero

    def __post_init__(self) -> None:
        one_of("optimizer.type", self.type, ("adam", "adamw", "sgd"))
        one_of("optimizer.schedule", self.schedule, ("constant", "cosine"))
        if not self.lr > 0:
            raise InputError(f"optimizer.lr={self.lr}: must be greater than 0.")
        at_least("optimizer.weight_decay", self.weight_decay, 0)
        within("optimizer.momentum", self.momentum, 0, 1)
        at_least("optimizer.warmup_epochs", self.warmup_epochs, 0)


@dataclass
class Trainer:
    """Where and how long to train.

    `devices` processes on each of `num_nodes` hosts share one run by DDP; `data.batch_size` stays the global batch.
    """

    accelerator: str = "cpu"  # cpu | gpu
    devices: int = 1  # processes on each host
    num_nodes: int = 1  # hosts; each is given the same command, with dir= in a folder that all of them see
    rdzv_endpoint: str | None = None  # host:port, one of the hosts and a free port of it, where they meet
    strategy: str = "auto"  # auto | ddp
    precision: str = "auto"  # auto: bf16-mixed where the hardware has it, 32-true elsewhere
    max_epochs: int = 20
    gradient_clip_val: float | None = None
    deterministic: bool = True
    early_stopping_patience: int | None = None  # epochs without a better val metric; null: never stop early
    monitor: str = "val/acc"  # what "best checkpoint" means; val/loss is minimised
    threads: int | None = None  # CPU threads per process; null: one for small networks, else all cores
    checkpoint_every_s: float = 600  # within an epoch; there is one after each epoch anyway
    max_restarts: int = 0  # how often a run that lost one of its processes starts again from its checkpoint
    sync_timeout_s: float = 300  # a process that the others wait longer for is lost, and maybe its host
    loader_timeout_s: float = 300  # a loader worker that needs longer for a batch hangs (data.num_workers > 0)

    def __post_init__(self) -> None:
        one_of("trainer.accelerator", self.accelerator, ("cpu", "gpu"))
        one_of("trainer.strategy", self.strategy, ("auto", "ddp"))
        one_of("trainer.precision", self.precision, PRECISIONS)
        one_of("trainer.monitor", self.monitor, ("val/acc", "val/loss"))
        for name in ("devices", "num_nodes", "max_epochs"):
            at_least(f"trainer.{name}", getattr(self, name), 1)
        for name in ("early_stopping_patience", "threads"):
            if getattr(self, name) is not None:
                at_least(f"trainer.{name}", getattr(self, name), 1)
        at_least("trainer.max_restarts", self.max_restarts, 0)
        for name in ("checkpoint_every_s", "sync_timeout_s", "loader_timeout_s"):
            seconds(f"trainer.{name}", getattr(self, name))
        if self.gradient_clip_val is not None and not self.gradient_clip_val > 0:
            raise InputError(f"trainer.gradient_clip_val={self.gradient_clip_val}: must be greater than 0, or null.")
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise InputError("trainer.precision=16-mixed: needs trainer.accelerator=gpu; on a CPU use bf16-mixed.")
        host, _, port = (self.rdzv_endpoint or "").rpartition(":")
        if self.num_nodes > 1 and not (host and port.isdigit() and 0 < int(port) < 65536):
            raise InputError(
                f"trainer.rdzv_endpoint={self.rdzv_endpoint}: must be HOST:PORT, where the hosts of "
                f"trainer.num_nodes={self.num_nodes} meet: one of them, and a free port of it."
            )
        if self.processes > 1 and self.strategy == "auto":
            self.strategy = "ddp"

    @property
    def processes(self) -> int:
        """How many train the run together, over all hosts."""
        return self.devices * self.num_nodes

    def cpu_threads(self, macs_per_batch: int) -> int:
        """How many CPU threads each process computes with; the same on an idle and on a busy machine.

        Below 30 million multiply-accumulates a batch, a second thread gains nothing (8x8 digits: 2.6 ms a step
        with one, 3.2 ms with two), and when other processes want the cores, two that wait for each other at every
        layer cost 5 to 20 times as much (35 ms against 6 ms).
        """
        if self.threads:
            return self.threads
        return 1 if macs_per_batch < SMALL_MACS else max(1, granted_cores() // self.devices)
