"""A number with its interval, and how intervals of sums come about."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
DRAWS = 1000  # of a bootstrap

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Estimate(NamedTuple):
    """A number, and the interval that holds the true one with `CONFIDENCE`; NaN where it cannot be said."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def z_of(confidence: float) -> float:
    """How many standard errors an interval reaches to either side."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(count: int, total: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share of independent examples (Wilson 1927). It stays within 0 and 1, and is no point where all are alike."""
    if total == 0:
        return UNKNOWN
    share, z2 = count / total, z_of(confidence) ** 2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total**2))) / (1 + z2 / total)
    # The ends are exact where all are alike, and would miss the share by a rounding.
    return Estimate(share, 0.0 if count == 0 else middle - half, 1.0 if count == total else middle + half)


def mean(parts: Sequence[Estimate]) -> Estimate:
    """The mean of independent estimates, its interval from theirs (Zou and Donner 2008): as lopsided as they are."""
    if not parts:
        return UNKNOWN
    value_K, low_K, high_K = np.array(parts).T
    middle, count = float(value_K.mean()), len(parts)
    below, above = (float(np.sqrt(np.sum((end - value_K) ** 2))) / count for end in (low_K, high_K))
    return Estimate(middle, middle - below, middle + above)


def bootstrap(
    statistic: Callable[[Ints], float],
    count: int,
    draws: int = DRAWS,
    seed: int = 0,
) -> Floats:
    """The statistic of `draws` resamples, each `count` indices drawn with replacement; those that have none are out."""
    random = np.random.default_rng(seed)
    found = np.array([statistic(random.integers(0, count, count)) for _ in range(draws)])
    return found[np.isfinite(found)]


def percentiles(value: float, drawn: Floats, confidence: float = CONFIDENCE) -> Estimate:
    """The middle of what a bootstrap gave."""
    if not len(drawn) or not math.isfinite(value):
        return UNKNOWN
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))
