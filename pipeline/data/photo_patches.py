"""Patches of the two photos that scikit-learn embeds: pictures unlike its digits, without a file or a network.

The class of a patch is the part of the photo that it is cut from, so that a network has to learn textures: tiles,
leaves, petals, sky. To pretrain on, not to be proud of: patches overlap, across splits too.
"""

from pathlib import Path

import numpy as np

from pipeline.data.config import Data
from pipeline.data.images import LUMINANCE
from pipeline.data.raw import Raw
from pipeline.data.roots import no_files

KNOWN = {"photo_patches": (1, 10)}
STRIPS = 5  # that each photo is cut into, side by side
PER_CLASS = 180  # as many as of a digit
SIDE_PX = 32
find = no_files


def read(config: Data, files: list[Path]) -> Raw:
    """1,800 grey patches [32, 32, 1] at places drawn once and for all, 180 of each of 10 strips."""
    from sklearn.datasets import load_sample_images  # half a second

    luminance = np.array(LUMINANCE)
    patches, draws = [], np.random.PCG64(0)
    for photo_HWC in load_sample_images().images:
        grey_HW = np.round(photo_HWC @ luminance).astype(np.uint8)
        height, width = grey_HW.shape
        for strip in range(STRIPS):
            left, right = strip * width // STRIPS, (strip + 1) * width // STRIPS
            rows, columns = draws.random_raw((2, PER_CLASS))
            tops = (rows % np.uint64(height - SIDE_PX + 1)).astype(int)
            lefts = left + (columns % np.uint64(right - left - SIDE_PX + 1)).astype(int)
            patches += [grey_HW[t : t + SIDE_PX, x : x + SIDE_PX] for t, x in zip(tops, lefts, strict=True)]
    classes = [f"{photo}_{strip}" for photo in ("pagoda", "dahlia") for strip in range(STRIPS)]
    return Raw(
        blocks=iter([np.stack(patches)[..., None]]),
        channels=1,
        labels=np.repeat(np.arange(len(classes)), PER_CLASS),
        classes=classes,
    )
