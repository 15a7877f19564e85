"""Random numbers that depend on (seed, epoch, index, stream) and on nothing else.

A generator per image would be the ordinary way, and costs 30 us each; hashing the four numbers for a whole
batch at once costs 30 us in all. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014), applied
after each number is taken in. A stream is a purpose: the rotation that `affine` draws for an image is the one
that `rotate` draws, so that arms are compared in pairs.
"""

import numpy as np

STREAMS = ("rotate", "scale", "translate_x", "translate_y", "flip", "brightness", "contrast", "saturation",
           "cutout_x", "cutout_y", "spelled", "time_shift", "gain", "noise", "noise_cells", "time_mask", "time_mask_at",
           "frequency_mask", "frequency_mask_at", "frequency_shift", "stretch",
           "word_dropout", "swap")  # fmt: skip
Where = tuple[int, int, np.ndarray]  # seed, epoch, indices: what the draws of a batch are named by
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def bits(seed: int, epoch: int, indices: np.ndarray, stream: str) -> np.ndarray:
    """uint64 [len(indices)], uniform."""
    state = np.zeros(len(indices), np.uint64)
    for word in (seed, epoch, indices, STREAMS.index(stream)):
        state = _mix(state + np.asarray(word, np.uint64) + GOLDEN)
    return state


def uniform(seed: int, epoch: int, indices: np.ndarray, stream: str) -> np.ndarray:
    """float64 [len(indices)] in [0, 1)."""
    return (bits(seed, epoch, indices, stream) >> np.uint64(11)) * 2.0**-53


def uniform_each(seed: int, epoch: int, indices: np.ndarray, stream: str, n: int) -> np.ndarray:
    """float64 [len(indices), n] in [0, 1): a number for each of n places of an example."""
    state = bits(seed, epoch, indices, stream)[:, None] + GOLDEN * (1 + np.arange(n, dtype=np.uint64))
    return (_mix(state) >> np.uint64(11)) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
