"""From any labelled images to one prepared form: uint8 squares, labels, splits by seed, a content digest.

    prepared = prepare(config, seed)              # once per (source files, size, policy); then only opened
    splits = split(prepared, config, seed)        # {"train": indices, "val": indices, "test": indices}
    mean, std = normalisation(prepared.images, splits["train"])

A new source is one short file beside `digits.py`: see `sources.py` for its two functions.
Importing this package imports numpy, and neither torch, scikit-learn, OpenCV nor Pillow.
"""

from pipeline.data.config import Data
from pipeline.data.grouping import column_of
from pipeline.data.normalise import normalisation
from pipeline.data.prepared import Prepared, prepare, trust_command
from pipeline.data.report import card_of, class_counts, describe, is_card, sentences
from pipeline.data.sources import declared
from pipeline.data.splitting import split

__all__ = [
    "Data",
    "Prepared",
    "card_of",
    "class_counts",
    "column_of",
    "declared",
    "describe",
    "is_card",
    "normalisation",
    "prepare",
    "sentences",
    "split",
    "trust_command",
]
