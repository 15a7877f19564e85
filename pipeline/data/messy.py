"""A set made messy on purpose, so that "convolutions do better on data that is not clean" can be tested.

`data.messy=m`, from 0 to 1, does four things to every image of every split, in this order:

| what       |                                                                                               |
|------------|-----------------------------------------------------------------------------------------------|
| scale      | enlarged or shrunk by a factor between 1.5^-m and 1.5^m                                       |
| off-centre | moved by up to 0.25 m of the side, along each axis                                            |
| clutter    | round(4 m) pieces of other images, a sixth to a third of the side wide, each in a random place |
| noise      | normal, with a standard deviation of 25 m of 255 levels                                       |

What a move uncovers is filled with the median of the image's own border. Of a piece only what differs from
its image's border is laid on: the strokes of a digit, nearly all of a photo. Pieces come from the same part of
a set that has a split of its own, so none of its test images shows in training.

What happens to an image depends on data.messy_seed and its index alone. Only numpy's bit generator is used,
whose stream is fixed across versions.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

BLOCK = 64


def spoil(path: Path, parts: np.ndarray, strength: float, seed: int) -> Iterator[np.ndarray]:
    """Blocks of uint8 [n, size, size, C] in the order of the .npy file; `parts` [N] says where pieces may come from."""
    same_part = {part: np.flatnonzero(parts == part) for part in np.unique(parts).tolist()}
    for start in range(0, len(parts), BLOCK):
        images = np.load(path, mmap_mode="r", allow_pickle=False)  # anew, as in pixels.stream
        indices = range(start, min(start + BLOCK, len(parts)))
        yield np.stack([spoil_image(images, i, same_part[int(parts[i])], strength, seed) for i in indices])


def spoil_image(images: np.ndarray, index: int, donors: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """uint8 [size, size, C]: image `index` made messy, with pieces of images[donors]."""
    import cv2

    draws = _Draws(seed, index)
    size, channels = images.shape[1], images.shape[3]
    image = np.array(images[index])
    factor = 1.5 ** (strength * draws.between(-1, 1))
    right, down = (strength * 0.25 * size * draws.between(-1, 1) for _ in range(2))
    centre = (size - 1) / 2
    matrix = np.array([[factor, 0, centre * (1 - factor) + right], [0, factor, centre * (1 - factor) + down]])
    background = [float(value) for value in _border(image)]
    image = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=background
    ).reshape(size, size, channels)
    for _ in range(round(4 * strength)):
        donor = np.asarray(images[donors[draws.below(len(donors))]])
        side = min(size, max(1, round(size * draws.between(1 / 6, 1 / 3))))
        from_y, from_x, to_y, to_x = (draws.below(size - side + 1) for _ in range(4))
        piece = donor[from_y : from_y + side, from_x : from_x + side]
        there = (np.abs(piece.astype(np.int16) - _border(donor)) > 24).any(axis=2, keepdims=True)
        place = image[to_y : to_y + side, to_x : to_x + side]
        place[:] = np.where(there, piece, place)
    noise = draws.normal(image.size).reshape(image.shape) * (25 * strength)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _border(image: np.ndarray) -> np.ndarray:
    """[C]: the median of the outermost pixels, a cheap guess of what is behind the object."""
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return np.sort(edges, axis=0)[len(edges) // 2].astype(np.int16)


class _Draws:
    """What chance decides for one image."""

    def __init__(self, seed: int, index: int) -> None:
        self.bits = np.random.PCG64([seed, index])

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * (int(self.bits.random_raw()) >> 11) * 2.0**-53

    def below(self, n: int) -> int:
        return int(self.bits.random_raw()) % n

    def normal(self, n: int) -> np.ndarray:
        """[n], nearly normal with deviation 1: sums of four bytes, which are cheap and exact."""
        raw = np.asarray(self.bits.random_raw(-(-n // 2)), "<u8")
        sums = raw.view(np.uint8).reshape(-1, 4).sum(axis=1, dtype=np.int32)[:n]
        return (sums - 510) / (4 * (256**2 - 1) / 12) ** 0.5
