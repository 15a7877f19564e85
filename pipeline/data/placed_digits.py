"""scikit-learn's digits, each laid somewhere on a dim piece of a photo: objects whose place is known, for boxes.

The scans and the photos are real, and putting the one on the other is made up: how large each is, where it stands and
what is behind it is drawn once and for all. A scan is enlarged to 10 to 16 pixels and laid on by the brighter pixel, so
that it stays as it was; the photos are at a third of their brightness. Pieces of them overlap, across splits too, which
tells nothing of a digit. A box goes about the ink, not about the scan.
"""

from pathlib import Path

import numpy as np

from pipeline.data import digits
from pipeline.data.config import Data
from pipeline.data.raw import Raw
from pipeline.data.roots import no_files

KNOWN = {"placed_digits": (1, 10)}
SIDE_PX = 32
SMALLEST_PX, LARGEST_PX = 10, 16
PER_MILLE = np.array([299, 587, 114])  # of red, green and blue in grey
DIM = 3  # by which the photos are divided
INK = 48  # of 255: a brighter pixel of the scan is ink
find = no_files


def read(config: Data, files: list[Path]) -> Raw:
    """The 1,797 scans on canvases [32, 32, 1], each with the box of its ink."""
    import cv2
    from sklearn.datasets import load_sample_images  # half a second

    raw = digits.read(config, files)
    (scans,) = raw.blocks
    assert isinstance(scans, np.ndarray)
    # Whole numbers alone, and a generator whose stream is fixed: the same set on every machine.
    photos = [(photo_HWC @ PER_MILLE // (1000 * DIM)).astype(np.uint8) for photo_HWC in load_sample_images().images]
    draws = np.random.PCG64(0).random_raw((len(scans), 6)).tolist()
    canvases = np.empty((len(scans), SIDE_PX, SIDE_PX), np.uint8)
    boxes = np.empty((len(scans), 4), np.float32)
    for i, (scan, drawn) in enumerate(zip(scans, draws, strict=True)):
        photo = photos[drawn[0] % len(photos)]
        behind_y, behind_x = (drawn[1 + axis] % (photo.shape[axis] - SIDE_PX + 1) for axis in (0, 1))
        canvas = photo[behind_y : behind_y + SIDE_PX, behind_x : behind_x + SIDE_PX].copy()
        side = SMALLEST_PX + drawn[3] % (LARGEST_PX - SMALLEST_PX + 1)
        top, left = (one % (SIDE_PX - side + 1) for one in drawn[4:])
        scan = cv2.resize(scan, (side, side), interpolation=cv2.INTER_LINEAR)
        place = canvas[top : top + side, left : left + side]
        np.maximum(place, scan, out=place)
        canvases[i] = canvas
        rows, columns = (np.flatnonzero((scan > INK).any(axis)) for axis in (1, 0))
        boxes[i] = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
    return Raw(
        blocks=iter([canvases[..., None]]),
        channels=1,
        labels=raw.labels,
        classes=raw.classes,
        boxes=boxes,
    )
