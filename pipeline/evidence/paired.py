"""Paired comparison of levels over seeds: intervals, adjusted p-values, seeds still needed.

Arrays are [..., L, S]: L levels, S seeds; leading axes are independent repetitions, so that the
simulation which checks these rules runs the very same code as a verdict.
"""

import math
from collections.abc import Callable, Sequence
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


@dataclass
class Comparison:
    """Each level against the best; arrays [..., L]. At the best itself everything is 0 and p is 1."""

    difference: Floats  # mean over seeds of level - best
    sd: Floats  # of that difference over seeds, floored
    low: Floats  # the plain 95 % paired t interval of the difference
    high: Floats
    p: Floats  # two-sided, of this pair alone
    p_adjusted: Floats  # Holm over all L (L - 1) / 2 pairs


def compare(values: Floats, best: NDArray[np.intp], floor: float = 0.0) -> Comparison:
    """Compare every level with the best one by paired t over seeds (Student 1908).

    values: [..., L, S] with S >= 2, one number per level and seed. best: [...] index of the best level.
    floor: least standard deviation that a paired difference is credited with (`quantisation`).

    The interval is the plain one of each pair. The p-value that decides is adjusted after Holm (1979) over
    all L (L - 1) / 2 pairs, not over the L - 1 shown: the best is picked from the same data, so the pairs
    shown are the extreme ones of all, and adjusting for L - 1 would find "winners" among equals. Holm needs
    no independence of the pairs. tests/evidence/test_simulation.py measures the family-wise error.

    A pair whose differences have no spread at all and no floor has p = 1: no spread is no knowledge of it.
    """
    from scipy.special import stdtr  # scipy.stats.t is the same, and costs half a second to import

    *_, L, S = values.shape
    assert S >= 2, "a paired interval needs two seeds"
    first, second = np.triu_indices(L, k=1)
    d_PS = values[..., first, :] - values[..., second, :]
    mean_P = d_PS.mean(axis=-1)
    sd_P = d_PS.std(axis=-1, ddof=1)
    tiny = ROUNDING * np.abs(values).max(axis=(-2, -1))[..., None]
    mean_P = np.where(np.abs(mean_P) <= tiny, 0.0, mean_P)
    sd_P = np.maximum(np.where(sd_P <= tiny, 0.0, sd_P), floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        t_P = np.abs(mean_P) / (sd_P / math.sqrt(S))
    p_P = np.where(sd_P > 0, 2 * stdtr(S - 1, -np.where(sd_P > 0, t_P, 0.0)), 1.0)

    def matrix(pairs: Floats, sign: float, diagonal: float) -> Floats:
        full = np.full((*values.shape[:-1], L), diagonal)
        full[..., first, second] = pairs
        full[..., second, first] = sign * pairs
        return np.take_along_axis(full, best[..., None, None], axis=-1)[..., 0]

    difference = matrix(mean_P, -1, 0.0)
    sd = matrix(sd_P, 1, 0.0)
    half = half_width(S, sd)
    p, p_adjusted = matrix(p_P, 1, 1.0), matrix(holm(p_P), 1, 1.0)
    return Comparison(difference, sd, difference - half, difference + half, p, p_adjusted)


def holm(p: Floats) -> Floats:
    """Step-down adjusted p-values over the last axis (Holm 1979, Scandinavian J. Statistics 6:65-70)."""
    m = p.shape[-1]
    order = np.argsort(p, axis=-1)
    steps = np.take_along_axis(p, order, axis=-1) * (m - np.arange(m))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0), axis=-1)
    return adjusted


def quantisation(n_test: int | None, cells_S: NDArray[np.intp]) -> float:
    """Standard deviation of a paired difference that the grid of an accuracy alone brings; 0 without a grid.

    An accuracy over `n_test` examples is rounded to q = 1 / n_test, which adds a variance of q^2 / 12
    (uniform rounding error; Sheppard 1898). A difference has two such, each a mean over `cells_S` cells.
    Three equal differences over three seeds therefore still have an interval of about one grid step.
    """
    if n_test is None:
        return 0.0
    return math.sqrt(2 / 12 / n_test**2 * float(np.mean(1 / cells_S)))


def interval(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Mean and its plain 95 % t interval (Student 1908); None for what cannot be told."""
    if not len(values):
        return None, None, None
    mean = float(np.mean(values))
    if len(values) == 1:
        return mean, None, None
    half = half_width(len(values), float(np.std(values, ddof=1)))
    return mean, mean - half, mean + half


def half_width(n: int, sd: Spread, alpha: float = ALPHA) -> Spread:
    """Half the width of the (1 - alpha) t interval of the mean of `n` values that spread by `sd`, as pairs do."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - alpha / 2)) * sd / math.sqrt(n)


def seeds_needed(n: int, difference: float, sd: float, smallest_effect: float, pairs: int) -> int | None:
    """How many seeds in all would settle a pair that `n` seeds left open; None where no number can be told.

    The first stage's `sd` plans the second (Stein 1945, Ann. Math. Statist. 16:243-258): the least number
    for which the interval's half width is `smallest_effect`, or half the `difference` where that is more (a
    large lead needs no fine interval to be beyond chance). Where `n` has that already and the pair is
    still open, because the difference is about the size that matters, the least number at which this same
    `difference` would be beyond chance (alpha over `pairs`) or wholly within +-`smallest_effect`.
    An `sd` of few seeds is itself rough, so the answer is a plan, not a promise.
    """
    if smallest_effect <= 0 or sd <= 0:
        return None
    enough = max(smallest_effect, abs(difference) / 2)
    needed = _least(n, lambda m: half_width(m, sd) <= enough)
    if needed > n:
        return needed
    size = abs(difference)
    return _least(
        n + 1,
        lambda m: half_width(m, sd, ALPHA / pairs) < size or half_width(m, sd) <= smallest_effect - size,
    )


def _least(start: int, enough: Callable[[int], bool]) -> int:
    """The least m >= start with enough(m), which stays true once it is: doubling, then bisection."""
    if enough(start):
        return start
    low, high = start, start * 2
    while not enough(high):
        if high > 1e9:  # shown as ">1000" anyway
            return high
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
