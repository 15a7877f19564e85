"""scikit-learn's digits: 1,797 real 8x8 scans of handwriting, embedded there. No split of its own."""

from pathlib import Path

import numpy as np

from pipeline.data.config import Data
from pipeline.data.raw import Raw
from pipeline.data.roots import no_files

KNOWN = {"digits": (1, 10)}
find = no_files


def read(config: Data, files: list[Path]) -> Raw:
    """All 1,797 images [8, 8, 1], their 17 grey levels 0..16 spread over 0..255."""
    from sklearn.datasets import load_digits  # half a second

    images, labels = load_digits(return_X_y=True)
    images = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Raw(
        blocks=iter([images]),
        channels=1,
        labels=labels.astype(np.int64),
        classes=[str(digit) for digit in range(10)],
    )
