"""What a source of images is: a module of two functions, named in SOURCES.

    find(config: Data) -> list[Path]             the raw files; fetches what may be fetched; [] where embedded
    read(config: Data, files: list[Path]) -> Raw

A module may also have KNOWN, {data.name: (channels, classes)} of the sets it knows, so that a network can be
checked against its input before a file is touched.

Both raise InputError for what the user can mend. `find` is called on every use and must be cheap: its files'
paths, sizes and times decide whether a prepared form still fits. `read` is called once.
"""

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.data.config import Data

# Modules by name, so that a source's own imports wait until it is used.
SOURCES = {
    "digits": "pipeline.data.digits",
    "idx": "pipeline.data.idx",
}

TRAIN, VAL, TEST = 0, 1, 2
SPLITS = ("train", "val", "test")  # by code


@dataclass
class Raw:
    """What a source has read.

    `blocks` yields the images in order as uint8 [n, H, W, C]: one shape within a block, any H and W from one
    block to the next, always `channels` channels. A source of many files yields them one by one, so a set
    larger than memory can be prepared.
    """

    blocks: Iterator[np.ndarray]
    channels: int
    labels: np.ndarray  # int64 [N], positions in `classes`
    classes: list[str]
    own_split: np.ndarray | None = None  # int8 [N] of TRAIN, VAL, TEST; None: the set has no split of its own


class Source(Protocol):
    """The two functions of a source module."""

    def find(self, config: "Data") -> list[Path]:
        """The raw files."""

    def read(self, config: "Data", files: list[Path]) -> Raw:
        """Their images and labels."""


def declared(config: "Data") -> tuple[tuple[int, int, int], int] | None:
    """((C, H, W), classes) of a set that is known before it is read; None for a set of the user's own."""
    known = getattr(source_of(config), "KNOWN", {}).get(config.name)
    return ((known[0], config.size, config.size), known[1]) if known else None


def source_of(config: "Data") -> Source:
    """The module that reads `config.source`."""
    return cast(Source, importlib.import_module(SOURCES[config.source]))


def existing_root(config: "Data") -> Path | None:
    """The folder that the user gave, or None. InputError where it is no folder."""
    if config.root is None:
        return None
    root = Path(config.root).expanduser()
    if not os.path.exists(root):  # unlike Path.exists, False where it may not even be looked for
        raise InputError(f"data.root={config.root}: no such folder.")
    if not os.path.isdir(root):
        raise InputError(f"data.root={config.root}: is a file, not a folder.")
    return root
