"""The one prepared form: written once, atomically, and memory-mapped from then on.

    <prepared_dir>/<name>-<size>-<resize>-<key>/
        images.npy     uint8 [N, size, size, C]; of text, int32 [N, 1, size, 1]: numbers of words.json from 1, 0: none
        words.json     [words], only of text
        labels.npy     int64 [N]
        hashes.npy     uint64 [N]: equal where images are, to the last bit, before they were made messy
        split.npy      int8 [N], only where the set has a split of its own: 0 train, 1 val, 2 test
        groups.npy     int32 [columns, N], only where more is known of an example: positions in groups.json, -1: none
        groups.json    {column: [value, ...]}
        boxes.npy      float32 [N, 4], only where there are boxes: xmin, ymin, xmax, ymax on the square, NaN: none
        paths.json     [N], only where each example is a file
        manifest.json  classes, counts, digest, the raw files, what was put aside, size and hash of each file above, and
                       a hash of all this
        card-*.html    all of it for people, for each way to split it that was looked at
        checked.json   the files' times when their content was last compared with the manifest

The key tells raw files, size and policy apart; the digest tells contents apart, wherever they came from.
"""

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.kinds import KINDS, Kind

FORMAT = 7  # raise it when what is written, or how it is resized, changes


@dataclass(frozen=True)
class Prepared:
    """A prepared set, open for reading."""

    dir: Path
    images: np.ndarray  # [N, H, W, C] of the kind's dtype, memory-mapped
    labels: np.ndarray  # int64 [N], positions in `classes`; -1: of no class that is used, see halves.py
    classes: list[str]
    digest: str  # of images, labels, classes and own split; the same on every machine
    own_split: np.ndarray | None  # int8 [N], see raw.SPLITS
    manifest: dict[str, Any]
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # name: int32 [N], positions in its values
    boxes: np.ndarray | None = None  # float32 [N, 4] on the square, NaN where an example has none
    hashes: np.ndarray | None = None  # uint64 [N], equal where images are, before they were made messy
    words: list[str] | None = None  # of text, the run's vocabulary: the token numbers 2, 3, ...
    vocabulary: int = 0  # of text, how many token numbers there may be: data.vocabulary

    @functools.cached_property
    def same(self) -> np.ndarray | None:
        """int64 [N]: the first example with the same image; None of a set whose hashes are not known."""
        if self.hashes is None:
            return None
        _, first, which = np.unique(self.hashes, return_index=True, return_inverse=True)
        return first[which]

    @property
    def paths(self) -> list[str] | None:
        """The file of each example below data.root; None where examples are not files."""
        written = "paths.json" in self.manifest.get("files", ())
        return json.loads((self.dir / "paths.json").read_text()) if written else None

    @property
    def kind(self) -> Kind:
        """What its examples are."""
        return KINDS[self.manifest.get("kind", "image")]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one example."""
        return self.kind.input_shape(self)


def per_class(labels: np.ndarray, classes: list[str]) -> dict[str, int]:
    """{class: number of labels}."""
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
