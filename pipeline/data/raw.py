"""What a format's module gives of a set: labels and parts by example, and a stream of pixels; see reading.py."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.errors import InputError, nearest

BOX = ("xmin", "ymin", "xmax", "ymax")

TRAIN, VAL, TEST = 0, 1, 2
SPLITS = ("train", "val", "test")  # by code
PART_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VAL),
    **dict.fromkeys(("test", "testing"), TEST),
}


@dataclass
class Photo:
    """One example out of a file of its own, as it is written."""

    image: np.ndarray  # [H, W, C], of an image uint8 [size, size, 1 or 3]
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
    words: list[str] | None = None  # of text, in the order of their numbers from 1; grows while blocks are read


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


def split_by_names(names: Iterable[str], where: Callable[[int], str]) -> np.ndarray | None:
    """The set's own split from the name of each example's part; `where` says where the i-th one stands.

    InputError for a name that is none of a part.
    """
    parts = []
    for i, name in enumerate(names):
        part = PART_NAMES.get(name.strip().lower())
        if part is None:
            raise InputError(
                f"{where(i)}: split={name}: must be one of train, val, test.{nearest(name.lower(), PART_NAMES)}"
            )
        parts.append(part)
    return own_parts(np.array(parts), where(0).partition(",")[0])


def looks_like_split(values: Iterable[str]) -> bool:
    """Whether a column, which nobody called so, names parts of a set: train and another; some may be empty."""
    names = {value.strip().lower() for value in values} - {""}
    return names <= PART_NAMES.keys() and len(parts := {PART_NAMES[name] for name in names}) > 1 and TRAIN in parts


def printable(path: str) -> str:
    """A file's name as text that can be printed and encoded: names on disk need be neither."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
