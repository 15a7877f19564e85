"""From `data.source` to the module that reads it: one of FORMATS, of two functions.

    find(config: Data) -> list[Path]             the raw files; fetches what may be fetched; [] where embedded
    read(config: Data, files: list[Path]) -> Raw

A module may also have KNOWN, {data.name: (channels, classes)} of the sets it knows, so that a network can be
checked against its input before a file is touched.

Both raise InputError for what the user can mend. `find` is called on every use and must be cheap: its files'
paths, sizes and times decide whether a prepared form still fits. `read` is called once.
"""

import importlib
from pathlib import Path
from typing import Protocol, cast

from pipeline.data.config import Data
from pipeline.data.formats import FORMATS
from pipeline.data.halves import class_count
from pipeline.data.raw import Raw


class Reader(Protocol):
    """The two functions of a format's module."""

    def find(self, config: Data) -> list[Path]:
        """The raw files."""

    def read(self, config: Data, files: list[Path]) -> Raw:
        """Their images and labels."""


def reader_of(config: Data) -> Reader:
    """The module that reads `config.source`."""
    return cast(Reader, importlib.import_module(FORMATS[config.source].module))


def declared(config: Data) -> tuple[tuple[int, int, int], int] | None:
    """((C, H, W), classes) of a set that is known before it is read; None for a set of the user's own."""
    known = getattr(reader_of(config), "KNOWN", {}).get(config.name)
    if not known:
        return None
    return config.kind.declared_shape(config, known[0]), class_count(config, known[1])
