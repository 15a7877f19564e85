"""Short tones and chirps in noise: sounds that need no file. They are made up, by the rules below, and not recorded.

| class     | pitch                                        |
|-----------|----------------------------------------------|
| rising    | up by the interval                           |
| falling   | down                                         |
| peak      | up and down again                            |
| valley    | down and up again                            |
| steady    | stays                                        |
| low_high  | two beeps, the second one higher             |
| high_low  | two beeps, the second one lower              |
| twice     | two beeps of one pitch                       |

Base pitch (200 to 1,600 Hz), interval (3 to 12 semitones), beginning, length, loudness, an overtone and the noise (as
loud as the tone, more or less) are drawn for each, so that no single band or moment tells a class: a network has to
find how the pitch moves.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data.config import Data
from pipeline.data.raw import Photo, Raw
from pipeline.data.recordings import heard
from pipeline.data.roots import no_files

CLASSES = ["rising", "falling", "peak", "valley", "steady", "low_high", "high_low", "twice"]
KNOWN = {"tones": (1, len(CLASSES))}
PER_CLASS = 190
RATE, SECONDS = 8_000, 1.0
find = no_files


def read(config: Data, files: list[Path]) -> Raw:
    """1,520 sounds, 190 of each class, drawn once and for all."""
    labels = np.tile(np.arange(len(CLASSES)), PER_CLASS)
    return Raw(blocks=_sounds(config, labels), channels=1, labels=labels, classes=CLASSES)


def _sounds(config: Data, labels: np.ndarray) -> Iterator[Photo]:
    for index, label in enumerate(labels.tolist()):
        yield heard(samples(index, label) / 32768, RATE, SECONDS, config.rate, config.seconds, config.size)


def samples(index: int, label: int) -> np.ndarray:
    """int16 [8000]: whole numbers, which no last bit of a machine's sine decides."""
    draws = np.random.PCG64(index)
    base, interval, length, start, volume, overtone, snr = (draws.random_raw(7) >> np.uint64(11)) * 2.0**-53
    n = int(RATE * SECONDS)
    at = np.arange(n) / RATE
    length_s = 0.35 + 0.3 * length
    along = (at - (SECONDS - length_s) * start) / length_s  # 0 to 1 while it sounds
    up = _contour(CLASSES[label], along)
    hz = 200 * 8**base * 2 ** ((3 + 9 * interval) / 12 * (up - 0.5))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    tone = (np.sin(phase) + 0.5 * overtone * np.sin(2 * phase)) * _envelope(CLASSES[label], along)
    uniform = (draws.random_raw((4, n)) >> np.uint64(11)) * 2.0**-53
    noise = (uniform.sum(0) - 2) * np.sqrt(3)  # nearly normal, of variance 1, without a logarithm
    softer = 10 ** (-(NOISE_DB[0] + (NOISE_DB[1] - NOISE_DB[0]) * snr) / 20)
    sound = 0.1 * 4**volume * (tone + np.sqrt(0.5) * softer * noise) / 4
    return np.rint(32767 * sound.clip(-1, 1)).astype(np.int16)


NOISE_DB = (-6.0, 6.0)  # how much softer than the tone


def _contour(name: str, along: np.ndarray) -> np.ndarray:
    """Of the interval, 0 to 1."""
    inside = along.clip(0, 1)
    return {
        "rising": inside,
        "falling": 1 - inside,
        "peak": 1 - np.abs(2 * inside - 1),
        "valley": np.abs(2 * inside - 1),
        "steady": 0.5 + 0 * inside,
        "low_high": (inside >= 0.5) * 1.0,
        "high_low": (inside < 0.5) * 1.0,
        "twice": 0.5 + 0 * inside,
    }[name]


def _envelope(name: str, along: np.ndarray) -> np.ndarray:
    """How loud the tone is, 0 to 1: soft at its ends, and two beeps part in the middle."""
    within = along if name not in ("low_high", "high_low", "twice") else np.where(along < 0.5, along, along - 0.5) * 2
    ends = np.minimum(within, 1 - within) * 10
    if name in ("low_high", "high_low", "twice"):
        ends -= 0.8
    return np.where((along >= 0) & (along <= 1), ends.clip(0, 1), 0)
