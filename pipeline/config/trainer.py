"""The `optimizer` and `trainer` sections. Trainer keys carry Lightning's own flag names."""

import math
from dataclasses import dataclass
from typing import Any

from pipeline.errors import InputError, at_least, one_of, seconds, within
from pipeline.key import aside, deciding_by, newer

SMALL_MACS = 300_000_000  # a batch
LARGE_THREADS = 2
MOST_STACKED = 8  # by stack=auto: what more would save is little, see Trainer.stacked
TUNED = "tuned"  # in place of a learning rate
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass
class Optimizer:
    """How weights are updated. `weight_decay` is decoupled for adamw, an L2 penalty for adam and sgd."""

    type: str = "adam"  # the rule by which weights are updated
    lr: Any = 1e-3  # the learning rate; with -m, tuned: each arm's own, from lr_grid
    weight_decay: float = 0.0  # decoupled for adamw, an L2 penalty for adam and sgd
    momentum: float = 0.9  # of sgd
    schedule: str = "constant"  # the rate over time; cosine: to zero over the whole training, by step
    warmup_epochs: float = 0.0  # epochs in which the rate rises from zero, linearly
    lr_grid: list[float] = aside([0.0003, 0.001, 0.003, 0.01])  # of lr=tuned: the rates that are tried
    tuning_seeds: int = aside(2)  # of lr=tuned: at how many seeds, none of which the arms are compared at

    def __post_init__(self) -> None:
        one_of("optimizer.type", self.type, ("adam", "adamw", "sgd"))
        one_of("optimizer.schedule", self.schedule, ("constant", "cosine"))
        if self.lr != TUNED and (isinstance(self.lr, bool) or not isinstance(self.lr, int | float) or not self.lr > 0):
            raise InputError(f"optimizer.lr={self.lr}: must be greater than 0, or {TUNED}.", [TUNED])
        self.lr = self.lr if self.lr == TUNED else float(self.lr)
        if not self.lr_grid or not all(rate > 0 for rate in self.lr_grid):
            raise InputError(f"optimizer.lr_grid={self.lr_grid}: must be rates greater than 0.")
        at_least("optimizer.tuning_seeds", self.tuning_seeds, 1)
        at_least("optimizer.weight_decay", self.weight_decay, 0)
        within("optimizer.momentum", self.momentum, 0, 1)
        at_least("optimizer.warmup_epochs", self.warmup_epochs, 0)


@dataclass
class Trainer:
    """Where and how long to train.

    `devices` processes on each of `num_nodes` hosts share one run by DDP; `data.batch_size` stays the global batch.
    """

    accelerator: str = "cpu"  # what computes
    devices: int = 1  # processes on each host
    num_nodes: int = 1  # hosts; each is given the same command, with dir= in a folder that all of them see
    rdzv_endpoint: str | None = aside(None)  # host:port, one of the hosts and a free port of it, where they meet
    strategy: str = "auto"  # how the processes of a run share it; auto: by ddp where there are several
    precision: str = "auto"  # of numbers; auto: bf16-mixed where the hardware has it, 32-true elsewhere
    max_epochs: int = 20  # passes over the training images
    gradient_clip_val: float | None = None  # the longest that a gradient may be
    deterministic: bool = True  # the same numbers each time on the same machine
    early_stopping_patience: int | None = None  # epochs without a better `monitor` that end a training; null: none do
    early_stopping_min_delta: float = newer(0.0)  # to that patience, what is better by no more is no better
    monitor: str = "val/acc"  # what the best checkpoint is best in
    threads: int | None = None  # CPU threads of each process; null: by the size of the network
    stack: str = deciding_by("off", lambda stack: stack != "off")  # seeds of an arm at once, as one network
    checkpoint_every_s: float = aside(600.0)  # seconds from one checkpoint to the next; each epoch ends with one too
    max_restarts: int = aside(0)  # how often a run that lost a process goes on from its checkpoint by itself
    sync_timeout_s: float = aside(300.0)  # seconds: a process that the others wait longer for is lost
    loader_timeout_s: float = aside(300.0)  # seconds: a loader worker that takes longer for a batch hangs

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
        if not 0 <= self.early_stopping_min_delta < math.inf:
            raise InputError(
                f"trainer.early_stopping_min_delta={self.early_stopping_min_delta}: must be 0 or more, in "
                f"{self.monitor}."
            )
        if self.stack in ("False", "false"):  # what YAML makes of off
            self.stack = "off"
        if self.stack not in ("off", "auto") and not (self.stack.isdecimal() and int(self.stack) > 0):
            raise InputError(
                f"trainer.stack={self.stack}: must be off, auto, or how many seeds of an arm train at once.",
                ("off", "auto"),
            )
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
        """How many CPU threads each process computes with, for `macs_per_batch` multiply-accumulates of its own.

        It decides the last bits of sums, and through them accuracies, so it follows from the configuration alone: the
        same under every launcher, on every machine, idle or busy. Two cores, images/s of one run with one thread and
        with two, then of two runs at once, added up:

        | MACs a batch |    1 |    2 | two runs of 1 | two runs of 2 |
        |--------------|------|------|---------------|---------------|
        | 24 million   | 11,600 | 14,600 |           |               |
        | 275 million  |  3,800 |  6,300 |     7,100 |         3,500 |
        | 954 million  |  3,100 |  4,900 |     6,000 |         4,800 |
        | 39 billion   |     54 |    104 |           |               |

        More threads than there are cores cost 5 to 20 times as much (4 on two cores: 330 in place of 4,900), so no
        more than two are taken unasked: every machine has two cores.
        """
        if self.threads:
            return self.threads
        return 1 if macs_per_batch < SMALL_MACS else max(1, LARGE_THREADS // self.devices)

    def stacked(self, macs_per_batch: int, obstacle: str | None) -> str:
        """How many seeds of an arm train at once, as one network: a number, or off.

        `obstacle` says why such a run cannot be stacked. By auto, those are stacked that compute on one thread. One
        core, bf16, milliseconds of a step of each seed, batch 32, by how many are stacked:

        | network, pixels | alone | 2 | 3 | 4 | 8 |
        |---|---|---|---|---|---|
        | 8-16 filters, 8x8 | 1.28 | 0.72 | 0.58 | 0.47 | 0.36 |
        | 8-16 filters, 16x16 | 2.27 | 1.09 | 1.00 | 1.01 | 0.90 |
        | 8-8-16-16 filters, 32x32 | 8.7 | 5.2 | 4.9 | 4.8 | 4.7 |
        | 32-64 filters, 28x28 | 14.8 | 8.6 | 8.2 | 9.0 | 8.6 |
        """
        if self.stack == "off" or (self.stack == "auto" and (obstacle or macs_per_batch >= SMALL_MACS)):
            return "off"
        if obstacle:
            raise InputError(
                f"trainer.stack={self.stack}: {obstacle}. Use trainer.stack=off, or auto: where it can be."
            )
        return str(MOST_STACKED) if self.stack == "auto" else self.stack

    @property
    def stack_obstacle(self) -> str | None:
        """What of this section does not go with a stack."""
        if self.processes > 1:
            return f"is for one process, and trainer.devices={self.devices} makes {self.processes}"
        if (self.threads or 1) > 1:
            return f"computes on one thread, not trainer.threads={self.threads}: so a seed's result is its own"
        if self.gradient_clip_val is not None:
            return f"does not clip gradients (trainer.gradient_clip_val={self.gradient_clip_val})"
        if self.precision == "16-mixed":
            return "does not scale losses as trainer.precision=16-mixed needs"
        return None
