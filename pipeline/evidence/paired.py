"""Student's t over seeds: what the rule (rule.py) is made of, and what describes without deciding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
# Below this share of the values' size a spread is the rounding of binary fractions, not a spread.
ROUNDING = 1e-12

Floats = NDArray[np.float64]
Spread = TypeVar("Spread", float, Floats)


@dataclass(frozen=True)
class Paired:
    """Differences over seeds, by the t test of their mean (Student 1908); arrays over what comes before the seeds."""

    n: NDArray[np.intp]  # seeds that have one
    mean: Floats
    sd: Floats
    error: Floats  # standard error of the mean
    p: Floats  # two-sided; 1 where nothing can be told


def paired_t(values: Floats, floor: Floats | float = 0.0, overlap: float = 0.0, tiny: Floats | float = 0.0) -> Paired:
    """Of values [..., S]; NaN is left out. `floor`, `overlap` and `tiny` as in `rule.decide`."""
    from scipy.special import stdtr  # scipy.stats.t is the same, and costs half a second to import

    there = ~np.isnan(values)
    n = there.sum(axis=-1)
    n_safe = np.maximum(n, 2)
    mean = np.where(there, values, 0.0).sum(axis=-1) / np.maximum(n, 1)
    mean = np.where(np.abs(mean) <= tiny, 0.0, mean)
    away = np.where(there, values - mean[..., None], 0.0)
    sd = np.sqrt(np.square(away).sum(axis=-1) / (n_safe - 1))
    sd = np.maximum(np.where(sd <= tiny, 0.0, sd), floor)
    error = sd * np.sqrt(1 / n_safe + overlap)
    told = (sd > 0) & (n >= 2)
    t = np.abs(mean) / np.where(told, error, 1.0)
    return Paired(n, mean, sd, error, np.where(told, 2 * stdtr(n_safe - 1, -t), 1.0))


def by_seed(values: Sequence[float | None], others: Sequence[float | None]) -> Floats:
    """The differences of two lists of results, of the seeds at which both have one."""
    apart = np.array(values, float) - np.array(others, float)
    return apart[~np.isnan(apart)]


def plain_p(values_CS: Floats, overlap: float = 0.0, floor: Floats | float = 0.0) -> Floats:
    """Two-sided p of each row's mean by itself; 1 where nothing can be told."""
    largest_C = np.abs(np.nan_to_num(values_CS)).max(axis=1, initial=0.0)
    return paired_t(values_CS, floor, overlap, ROUNDING * largest_C).p


def quantisation(n_test: int | None, cells_S: NDArray[np.intp], sides: int = 2) -> float:
    """Standard deviation of a paired difference that the grid of an accuracy alone brings; 0 without a grid.

    An accuracy over `n_test` examples is rounded to q = 1 / n_test, which adds a variance of q^2 / 12
    (uniform rounding error; Sheppard 1898). A difference has one for each of its `sides`, each a mean over `cells_S`
    cells. Three equal differences over three seeds therefore still have an interval of about one grid step.
    """
    if n_test is None or not len(cells_S):
        return 0.0
    return math.sqrt(sides / 12 / n_test**2 * float(np.mean(1 / cells_S)))


def interval(values: Sequence[float], overlap: float = 0.0) -> tuple[float | None, float | None, float | None]:
    """Mean and its plain 95 % t interval (Student 1908); None for what cannot be told.

    overlap: as in `rule.decide`.
    """
    if not len(values):
        return None, None, None
    mean = float(np.mean(values))
    if len(values) == 1:
        return mean, None, None
    half = half_width(len(values), float(np.std(values, ddof=1)), overlap=overlap)
    return mean, mean - half, mean + half


def half_width(n: int, sd: Spread, alpha: float = ALPHA, overlap: float = 0.0) -> Spread:
    """Half the width of the (1 - alpha) t interval of the mean of `n` values that spread by `sd`, as pairs do."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - alpha / 2)) * sd * math.sqrt(1 + n * overlap) / math.sqrt(n)
