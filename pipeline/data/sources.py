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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.data.config import Data

# Modules by name, so that a source's own imports wait until it is used.
SOURCES = {
    "digits": "pipeline.data.digits",
    "photo_patches": "pipeline.data.photo_patches",
    "idx": "pipeline.data.idx",
    "image_folder": "pipeline.data.image_folder",
    "manifest": "pipeline.data.manifest",
    "npz": "pipeline.data.npz",
    "cifar": "pipeline.data.cifar",
}

GROUPED = ("image_folder", "manifest", "npz")  # sources that may know more of an example than its label

BOX = ("xmin", "ymin", "xmax", "ymax")
ROLES = ("path", "label", "split", "group", *BOX)  # of a manifest's columns, which data.columns may say by other names

TRAIN, VAL, TEST = 0, 1, 2
SPLITS = ("train", "val", "test")  # by code
PART_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VAL),
    **dict.fromkeys(("test", "testing"), TEST),
}


@dataclass
class Photo:
    """One image out of a file of its own, resized already."""

    image: np.ndarray  # uint8 [size, size, 1 or 3]
    height: int  # as it was
    width: int


@dataclass
class Refused:
    """In place of an image that cannot be used."""

    reason: str


@dataclass
class Raw:
    """What a source has read.

    `blocks` yields the images in order: as uint8 [n, H, W, C], one shape within a block, any H and W from one
    block to the next; or one by one as a Photo; or a Refused, and the example is left out. A set larger than
    memory can be prepared, since nothing but `blocks` holds pixels. Everything by example is in their order.
    """

    blocks: Iterator[np.ndarray | Photo | Refused]
    channels: int | None  # None: 1 where all images turn out grey, 3 where any has colour
    labels: np.ndarray  # int64 [N], positions in `classes`
    classes: list[str]
    own_split: np.ndarray | None = None  # int8 [N] of TRAIN, VAL, TEST; None: the set has no split of its own
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # name: [N] values; what data.group may name
    boxes: np.ndarray | None = None  # float32 [N, 4], xmin ymin xmax ymax in pixels; NaN where there is none
    paths: list[str] | None = None  # [N] below data.root, where each example is a file of its own
    quarantined: list[dict[str, str]] = field(default_factory=list)  # path and reason of what is no example


class Source(Protocol):
    """The two functions of a source module."""

    def find(self, config: "Data") -> list[Path]:
        """The raw files."""

    def read(self, config: "Data", files: list[Path]) -> Raw:
        """Their images and labels."""


def declared(config: "Data") -> tuple[tuple[int, int, int], int] | None:
    """((C, H, W), classes) of a set that is known before it is read; None for a set of the user's own."""
    known = getattr(source_of(config), "KNOWN", {}).get(config.name)
    if not known:
        return None
    from pipeline.data.halves import size  # which reads what is prepared from what is declared here

    return (known[0], config.size, config.size), size(config, known[1])


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


def required_root(config: "Data") -> Path:
    """The folder that the user gave. InputError where none was, or it is none."""
    root = existing_root(config)
    if root is None:
        raise InputError(
            f"data.root=null: data.source={config.source} needs the folder of the files: data.root=FOLDER."
        )
    return root


def own_parts(parts: np.ndarray, where: str) -> np.ndarray | None:
    """The set's own split from each example's part, int8 [N]; None where all of it is for training.

    A set without a test part has its val part for one: its publisher kept the test labels (ImageNet), or named
    its only held-out part so. InputError where nothing is to train on.
    """
    present = set(np.unique(parts).tolist())
    if TRAIN not in present:
        raise InputError(f"{where}: nothing is in its train part, only in {', '.join(SPLITS[p] for p in present)}.")
    if present == {TRAIN}:
        return None
    if TEST not in present:
        parts = np.where(parts == VAL, TEST, parts)
    return parts.astype(np.int8)


def shown(path: str) -> str:
    """A file's name as text that can be printed and encoded: names on disk need be neither."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
