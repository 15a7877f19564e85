"""Sounds as input: log-mel maps, uint8 [N, size, size, 1], bands x moments; see mel.py for what a value is."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.data.raw import Photo, Refused
from pipeline.data.recordings import heard, recordings
from pipeline.data.sheet import contact_sheet, embedded, named_rows

Data = Any  # data.config.Data and prepared.Prepared, which look their kind up in a table of such modules
Prepared = Any


def fitted(block_N1T1: np.ndarray, config: Data) -> np.ndarray:
    """The maps of samples [n, 1, T, 1] at data.rate, full scale -1 to 1."""
    length_s = block_N1T1.shape[2] / config.rate
    return np.stack(
        [
            heard(one, config.rate, length_s, config.rate, config.seconds, config.size).image
            for one in block_N1T1[:, 0, :, 0]
        ]
    )


def files(root: str, paths: list[str], config: Data, words: list[str] | None = None) -> Iterator[Photo | Refused]:
    """One Photo or Refused for each of `paths` below `root`, in order."""
    return recordings(root, paths, config.rate, config.seconds, config.size)


def sheet(prepared: Prepared) -> str:
    """HTML: a row of maps of each of the first classes."""
    picture = contact_sheet(prepared.images, prepared.labels, len(prepared.classes))
    axes = '<p class="sub">Time runs to the right, frequency upwards (in mel); the louder, the brighter.</p>'
    return embedded(picture, "maps of each class", "sheet") + named_rows(prepared.classes) + axes


def shape_in_words(shape: tuple[int, int, int]) -> str:
    """Of (C, H, W)."""
    _, bands, moments = shape
    return f"{bands} mel bands x {moments} moments"


def size_in_words(size: Sequence[int]) -> str:
    """Of 1 and hundredths of a second."""
    return f"{size[1] / 100:g} s"
