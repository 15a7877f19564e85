"""Training from a network that was trained before: which of its layers are kept, frozen, trained on, made new.

    source = of_run(run, named) or of_timm(section, weights)
    network = outline(section, transfer, input_shape, classes, source)    # plans: no torch, no weights
    network = settle(section, transfer, prepared, data, seed, source)     # the same, where auto looks at the data
    record(network, source)                                               # reads the weights; goes into run.json

and, from run.json alone (`pipeline.transfer.network`, which imports torch):

    network = of_run(run); load(network, run)

Importing this package imports no torch.
"""

from pipeline.transfer.config import Transfer
from pipeline.transfer.outline import Outline, outline
from pipeline.transfer.plan import deciding, record, settle
from pipeline.transfer.record import numbers, seen_sentences, sentences
from pipeline.transfer.source import Source, of_run, of_timm
from pipeline.transfer.strategies import Tuning

__all__ = [
    "Outline",
    "Source",
    "Transfer",
    "Tuning",
    "deciding",
    "numbers",
    "of_run",
    "of_timm",
    "outline",
    "record",
    "seen_sentences",
    "sentences",
    "settle",
]
