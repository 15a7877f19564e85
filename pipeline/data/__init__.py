"""From any labelled images to one prepared form: uint8 squares, labels, splits by seed, a content digest.

    prepared = prepare(config, seed)              # once per (source files, size, policy); then only opened
    splits = split(prepared, config, seed)        # {"train": indices, "val": indices, "test": indices}
    mean, std = prepared.kind.normalisation(prepared.images, splits["train"])

A new format is one short file beside `digits.py`, and a line in `formats.py`: see `reading.py` for its two functions.
Importing this package imports numpy, and neither torch, scikit-learn, OpenCV nor Pillow.
"""

from pipeline.data.card import Description, card_of, class_counts, describe, is_card
from pipeline.data.config import Data
from pipeline.data.findings import apart, doubts
from pipeline.data.grouping import column_of
from pipeline.data.opening import open_prepared
from pipeline.data.overlap import overlap
from pipeline.data.prepared import Prepared
from pipeline.data.preparing import prepare
from pipeline.data.reading import declared
from pipeline.data.soundness import states, trust_command, unchanged
from pipeline.data.splitting import redrawn, split

__all__ = [
    "Data",
    "Description",
    "Prepared",
    "apart",
    "card_of",
    "class_counts",
    "column_of",
    "declared",
    "describe",
    "doubts",
    "is_card",
    "open_prepared",
    "overlap",
    "prepare",
    "redrawn",
    "split",
    "states",
    "trust_command",
    "unchanged",
]
