"""Student's t over seeds: what the rule (rule.py) is made of, and what describes without deciding."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
# Below this share of the values' size a spread is the rounding of binary fractions, not a spread.
ROUNDING = 1e-12

Floats = NDArray[np.float64]
Spread = TypeVar("Spread", float, Floats)


def plain_p(values_CS: Floats, overlap: float = 0.0) -> Floats:
    """Two-sided p of each row's mean by the t test over its seeds (Student 1908); 1 where nothing can be told.

    NaN is left out. `overlap` as in `rule.decide`.
    """
    from scipy.special import stdtr  # scipy.stats.t is the same, and costs half a second to import

    n_C = (~np.isnan(values_CS)).sum(axis=1)
    p_C = np.ones(len(values_CS))
    for i, n in enumerate(n_C):
        row = values_CS[i][~np.isnan(values_CS[i])]
        sd = float(row.std(ddof=1)) if n > 1 else 0.0
        if sd > ROUNDING * float(np.abs(row).max(initial=0.0)):
            p_C[i] = 2 * stdtr(n - 1, -abs(float(row.mean())) / (sd * math.sqrt(1 / n + overlap)))
    return p_C


def quantisation(n_test: int | None, cells_S: NDArray[np.intp], sides: int = 2) -> float:
    """Standard deviation of a paired difference that the grid of an accuracy alone brings; 0 without a grid.

    An accuracy over `n_test` examples is rounded to q = 1 / n_test, which adds a variance of q^2 / 12
    (uniform rounding error; Sheppard 1898). A difference has one for each of its `sides`, each a mean over `cells_S`
    cells. Three equal differences over three seeds therefore still have an interval of about one grid step.
    """
    if n_test is None or not len(cells_S):
        return 0.0
    return math.sqrt(sides / 12 / n_test**2 * float(np.mean(1 / cells_S)))


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
