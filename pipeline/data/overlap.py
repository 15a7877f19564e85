"""Whether images that one set tests on are among those that another was trained on."""

import functools
import hashlib
from pathlib import Path

import numpy as np

from pipeline.data.prepared import Prepared


def overlap(mine: Prepared, tested: np.ndarray, theirs: Prepared, trained: np.ndarray) -> int | None:
    """How many of my examples `tested` show an image of their examples `trained`; None where that cannot be told.

    Of images of one size the pixels are compared. Of others the places: the same set at another size has the same
    labels in the same order.
    """
    if mine.images.shape[1:] == theirs.images.shape[1:]:
        here, there = _image_hashes(mine.dir), _image_hashes(theirs.dir)
        return int(np.isin(here[tested], np.unique(there[trained])).sum())
    names = [one.manifest.get("name") for one in (mine, theirs)]
    if names[0] == names[1] and len(mine.labels) == len(theirs.labels):
        either = (mine.labels < 0) | (theirs.labels < 0)  # of the other half of the classes
        if either.any() or (mine.labels == theirs.labels).all():
            return int(np.isin(tested, trained).sum())
    return None


@functools.lru_cache(maxsize=8)  # the runs of a sweep have few sets
def _image_hashes(directory: Path) -> np.ndarray:
    """uint64 [N]: equal where images are."""
    images = np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False)
    found = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images]
    return np.frombuffer(b"".join(found), np.uint64)
