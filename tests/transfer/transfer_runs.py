"""The runs that the tests of transfer start from, and what they ask of the commands."""

import torch
from running import TINY

from pipeline import rundir

# Two blocks of 4 and 8 filters with batch norm on 8x8 grey images: parameters
#   block1: conv 4*(9+1) = 40, norm 8; block2: conv 8*(9*4+1) = 296, norm 16; head: 10*(2*2*8+1) = 330
SOURCE = f"{TINY} architecture.block=CNAP trainer.max_epochs=2 trainer.precision=32-true"
# The same without the architecture, which is the source's.
# Lightning writes last.ckpt only after an epoch that was the best so far: val/loss falls in each of these.
TARGET = (
    "data.limit_train=64 trainer.max_epochs=2 trainer.threads=1 trainer.precision=32-true trainer.monitor=val/loss "
    "tracking=none"
)
FROZEN = ("block1", "block2")


def state(run, checkpoint="last"):
    """The state dict of a run's checkpoint; the last one is that of the last epoch."""
    saved = torch.load(run / "checkpoints" / f"{checkpoint}.ckpt", weights_only=True)
    epochs = rundir.read_json(run / "run.json")["config"]["trainer"]["max_epochs"]
    assert checkpoint == "best" or saved["epoch"] + 1 == epochs
    return saved["state_dict"]


def of_layers(tensors, *prefixes):
    """Those of a state dict that belong to layers whose names begin so: weights and buffers."""
    return {k: v for k, v in tensors.items() if k.startswith(tuple(f"network.{p}" for p in prefixes))}


def same(ours, theirs):
    """The names of what is equal to the last bit."""
    return sorted(name for name, tensor in ours.items() if name in theirs and torch.equal(tensor, theirs[name]))
