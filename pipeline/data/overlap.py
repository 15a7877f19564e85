"""Whether images that one set tests on are among those that another was trained on."""

import functools
import hashlib
from pathlib import Path

import numpy as np

from pipeline.data.prepared import Prepared


def overlap(mine: Prepared, tested: np.ndarray, theirs: Prepared, trained: np.ndarray) -> int | None:
    """How many of my examples `tested` show an image of their examples `trained`; None where that cannot be told.

    Of images prepared alike the pixels are compared. Of others (of another size, cut otherwise, made messy) the places:
    the same set has the same name, and the same labels in the same order. What has another name as well is taken for
    another set.
    """
    way = ("resize", "messy", "messy_seed")
    ways = [(*one.images.shape[1:], *map(one.manifest.get, way)) for one in (mine, theirs)]
    if ways[0] == ways[1]:
        here, there = _image_hashes(mine.dir), _image_hashes(theirs.dir)
        return int(np.isin(here[tested], np.unique(there[trained])).sum())
    names = [one.manifest.get("name") for one in (mine, theirs)]
    if names[0] == names[1] and len(mine.labels) == len(theirs.labels):
        either = (mine.labels < 0) | (theirs.labels < 0)  # of the other half of the classes
        if either.any() or (mine.labels == theirs.labels).all():
            return int(np.isin(tested, trained).sum())
    return 0 if names[0] != names[1] else None


@functools.lru_cache(maxsize=8)  # the runs of a sweep have few sets
def _image_hashes(directory: Path) -> np.ndarray:
    """uint64 [N]: equal where images are."""
    images = np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False)
    found = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images]
    return np.frombuffer(b"".join(found), np.uint64)
