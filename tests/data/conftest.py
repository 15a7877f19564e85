"""Hand-made IDX files, as the format's own description has them."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of the four files: 10 classes of noise, `per_class` train and 2 test images of each."""

    def make(per_class: int = 6, first_label: int = 0, zipped: bool = True, shape: tuple[int, int] = (6, 5)) -> Path:
        rng = np.random.default_rng(0)
        folder = tmp_path / "raw files"
        folder.mkdir()
        for part, n in (("train", per_class), ("t10k", 2)):
            labels = np.tile(np.arange(10), n) + first_label
            images = rng.integers(0, 256, (len(labels), *shape))
            for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
                content = idx_bytes(array)
                if zipped:
                    (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
                else:
                    (folder / name).write_bytes(content)
        return folder

    return make
