"""The file of pixels, written image by image: how many there are, and with how many channels, shows as it grows."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 4 << 20  # bytes read at a time


class Pixels:
    """An .npy file of [n, H, W, C]. With `channels` None, C is 1 until an image has colour."""

    def __init__(
        self, path: Path, shape_hw: tuple[int, int], channels: int | None, dtype: type[np.generic] = np.uint8
    ) -> None:
        self.path, self.shape_hw, self.dtype, self.n = path, shape_hw, np.dtype(dtype).newbyteorder("<"), 0
        self.channels, self.may_widen = channels or 1, channels is None
        self.file = path.open("xb")
        self._header()

    def write(self, images: np.ndarray) -> None:
        """Append [n, H, W, C]."""
        if images.shape[3] > self.channels:
            assert self.may_widen, f"{images.shape[3]} channels in a set of {self.channels}"
            self._widen(images.shape[3])
        if images.shape[3] < self.channels:
            images = np.repeat(images, self.channels, axis=3)
        self.file.write(np.ascontiguousarray(images, self.dtype).data)
        self.n += len(images)

    def close(self) -> None:
        """Write down how many there are, and put it on disk."""
        self.file.seek(0)
        self._header()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def __enter__(self) -> "Pixels":
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.close()

    def _header(self) -> None:
        # Its length does not depend on n: numpy leaves room for any.
        shape = (self.n, *self.shape_hw, self.channels)
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, header)

    def _widen(self, channels: int) -> None:
        """The first image with colour: what is written so far gets its grey three times. Once in a set at most."""
        self.file.close()
        narrow = self.path.with_suffix(".narrow")
        os.rename(self.path, narrow)
        self.channels = channels
        self.file = self.path.open("xb")
        self._header()
        with narrow.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            while chunk := file.read(CHUNK):
                self.file.write(np.repeat(np.frombuffer(chunk, np.uint8), channels).data)
        narrow.unlink()


def stream(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """The file's images in order, some megabytes at a time, and where each lot starts.

    Mapped anew for each: what was read from a mapping counts as this process's memory while it is mapped.
    """
    for chunk in chunks(np.load(path, mmap_mode="r", allow_pickle=False)):
        yield chunk.start, np.array(np.load(path, mmap_mode="r", allow_pickle=False)[chunk])


def chunks(images: np.ndarray) -> list[slice]:
    """Slices of some megabytes each over all images."""
    step = max(1, CHUNK // max(1, images.itemsize * int(np.prod(images.shape[1:]))))
    return [slice(start, start + step) for start in range(0, len(images), step)]
