"""`python -m pipeline.train` with runs that fail: `python faulty.py LINE`, FAULTS='{"DIRECTORY": "nan", ...}'."""

import json
import os

import torch

from pipeline import train
from pipeline.training.guard import Guard

KINDS = ("nan", "exception", "memory")
FAULTS = json.loads(os.environ.get("FAULTS", "{}"))

watch = Guard.on_before_backward


def fails(self, trainer, pl_module, loss):
    """In the second epoch: what is done by then has to be kept."""
    kind = FAULTS.get(self.path.name) if trainer.current_epoch == 1 else None
    if kind == "exception":
        raise ZeroDivisionError("made to fail")
    if kind == "memory":
        torch.empty(2**50)  # 4 PB: the allocator's own error
    watch(self, trainer, pl_module, loss * float("nan") if kind == "nan" else loss)


if __name__ == "__main__":
    Guard.on_before_backward = fails
    train.main()
