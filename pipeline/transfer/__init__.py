"""Training from a network that was trained before: which of its layers are kept, frozen, trained on, made new.

    source = of_run(run, named) or of_timm(section, weights)
    made = outline(section, transfer, input_shape, classes, source)    # plans: no torch, no weights
    record(made, source)                                               # reads the weights; goes into run.json

and, from run.json alone (`pipeline.transfer.network`, which imports torch):

    network = of_run(asked); load(network, asked)

Importing this package imports no torch.
"""

from pipeline.transfer.config import Transfer
from pipeline.transfer.outline import Outline, deciding, outline, record
from pipeline.transfer.source import Source, of_run, of_timm
from pipeline.transfer.strategies import NETWORKS, STRATEGIES, Part, Tuning

__all__ = [
    "NETWORKS",
    "STRATEGIES",
    "Outline",
    "Part",
    "Source",
    "Transfer",
    "Tuning",
    "deciding",
    "of_run",
    "of_timm",
    "outline",
    "record",
]
