"""The one rule that decides what a sweep says: intervals for all its contrasts that hold at once, at every look.

A contrast is a number per seed: a level less another, or the difference of two such differences. Each gets an interval
at each look at the seeds so far, and ends where its interval says enough: it leaves out 0 (different), or lies within
the smallest effect of interest (equivalent). With 95 % confidence all intervals of an experiment, at all its looks,
hold the true differences at once; so a false difference or a false equivalence anywhere in it has a chance of at most
5 %, however early it stops and whichever contrasts are read out.

They are repeated confidence intervals (Jennison & Turnbull 1989, J. Royal Statistical Society B 51:305-361) of the
paired t: at look k the plain t interval at the level  c * (n_k / n_last) ** SPEND.  The path of a paired t over the
looks does not depend on the differences' spread, so c is found by simulation, of all contrasts at once: their
dependence is that of the design's cells, taken as independent and of equal spread. One look at one contrast is
Student's interval; one look at all pairs of levels is close to Tukey's.

What ends early as different leaves its later errors unmade, so that its repeated interval holds more often than it
promises: in 99 % where effects are large. It has had its last look and is shown by what is left of its chances: on the
side of 0, which any look could have cleared, at the level of the last look, c; on the other, where nothing could end
it, at that of one look. That never takes back what was decided, and is known by simulation alone: all intervals shown
hold at once in 0.95 to 0.977 over the designs and effects of 0 to 25 standard deviations that docs/lab-notes.md lists.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.paired import ALPHA, ROUNDING, Floats, paired_t

OPEN, DIFFERENT, EQUIVALENT, NOT_WORSE = "open", "different", "equivalent", "not worse"
SUPPORTED, REFUTED = "supported", "refuted"

SPEND = 1.0  # of 0.5 to 3, what ends earliest over effects of 0 to 2 sd without losing more power than 5 %
SIMULATED = 20_000  # paths: a share of 5 % is known to 0.15 %
AIM = 0.9 * ALPHA  # of what is simulated, which leaves room for that, and for arms of unequal spread
WORK = 4e9  # multiplications at most; of very many contrasts fewer paths
CHANCE = 0.8  # of a plan
LEAST_CHANCE = 0.05  # below it, it is none
MOST = 1001  # seeds of one; shown as more than 1000
LONGEST = 40  # seeds of a path; the level hardly changes with more


@dataclass(frozen=True, eq=False)
class Boundary:
    """The levels that all contrasts of an experiment are judged at."""

    looks: tuple[int, ...]  # seeds at each, ascending
    level: float  # c: the plain two-sided level at the last look
    one_look: float  # the level if the last look were the only one
    reached: Floats | None  # by chance alone: the least of p / weight over all, of each path, ascending
    contrasts: int

    def plain(self, look: int) -> float:
        """The level of the plain t interval at a look."""
        return self.level * self._weight(look)

    def adjusted(self, p: Floats, look: int) -> Floats:
        """How often chance alone gives a p as small, of any contrast at any look."""
        scaled = p / self._weight(look)
        if self.reached is None:
            return np.minimum(scaled, 1.0)
        share = (1 + np.searchsorted(self.reached, scaled, side="right")) / (1 + len(self.reached)) * ALPHA / AIM
        weights = sum(self._weight(k) for k in range(len(self.looks)))
        bonferroni = self.contrasts * weights * scaled  # for what is rarer than was simulated
        return np.minimum(np.where(scaled < self.reached[0], bonferroni, share), 1.0)

    def _weight(self, look: int) -> float:
        return (self.looks[look] / self.looks[-1]) ** SPEND


def boundary(weights_CX: NDArray[np.float64], looks: Sequence[int]) -> Boundary:
    """For contrasts that weigh the cells of a design so, looked at when there are so many seeds."""
    looks = tuple(looks)
    assert looks[0] >= 2, "an interval needs two seeds"
    norms_C = np.linalg.norm(weights_CX, axis=1)
    unit_CX = weights_CX[norms_C > 0] / norms_C[norms_C > 0, None]
    if not len(unit_CX) or (len(unit_CX) == 1 and len(looks) == 1):
        return Boundary(looks, ALPHA, ALPHA, None, 1)
    correlation_CC = np.round(unit_CX @ unit_CX.T, 6) + 0.0  # no negative zeros
    level, one_look, reached = _calibrated(correlation_CC.tobytes(), len(correlation_CC), looks)
    return Boundary(looks, level, one_look, reached, len(correlation_CC))


@functools.lru_cache(maxsize=256)
def _calibrated(correlation: bytes, contrasts: int, looks: tuple[int, ...]) -> tuple[float, float, Floats]:
    from scipy.special import stdtr

    values, vectors = np.linalg.eigh(np.frombuffer(correlation).reshape(contrasts, contrasts))
    kept = values > 1e-9
    root_RC = (vectors[:, kept] * np.sqrt(values[kept])).T
    rank, last = len(root_RC), looks[-1]
    counts = [max(2, round(n * min(1.0, LONGEST / last))) for n in looks]
    paths = int(np.clip(WORK / (counts[-1] * rank * contrasts), 2000, SIMULATED))
    weights_K = (np.array(looks) / last) ** SPEND
    rng = np.random.default_rng(0)
    block = max(1, int(4e6 / (counts[-1] * contrasts)))
    least, last_p = [], []
    for start in range(0, paths, block):
        n_paths = min(block, paths - start)
        sums_PC = np.zeros((n_paths, contrasts))
        squares_PC = np.zeros_like(sums_PC)
        p_KP, before = [], 0
        for n in counts:
            drawn_PNR = rng.standard_normal((n_paths, n - before, rank))
            d_PNC = drawn_PNR @ root_RC
            sums_PC += d_PNC.sum(axis=1)
            squares_PC += np.square(d_PNC).sum(axis=1)
            spread_PC = np.sqrt(np.maximum(squares_PC - sums_PC**2 / n, 1e-300) / (n - 1))
            t_P = (np.abs(sums_PC) / (spread_PC * math.sqrt(n))).max(axis=1)
            p_KP.append(2 * stdtr(n - 1, -t_P))
            before = n
        least.append((np.array(p_KP) / weights_K[:, None]).min(axis=0))
        last_p.append(p_KP[-1])
    reached, at = np.sort(np.concatenate(least)), int(AIM * (paths + 1)) - 1
    return float(reached[at]), float(np.partition(np.concatenate(last_p), at)[at]), reached


@dataclass
class Decided:
    """What the rule says of contrasts: arrays over them, as of the look at which each ended or the last one."""

    n: NDArray[np.intp]  # seeds
    difference: Floats
    sd: Floats  # of the difference over seeds, floored
    low: Floats  # of the interval; all of them hold at once
    high: Floats
    p: Floats  # two-sided, of this contrast and look alone
    p_adjusted: Floats
    state: NDArray[np.str_]  # open | different | equivalent | not worse
    look: NDArray[np.intp]  # the index of that look


def decide(
    values: Floats,
    bounds: Boundary,
    margin: Floats | float,
    floor: Floats | float = 0.0,
    overlap: float = 0.0,
    tiny: float = 0.0,
    expects: Sequence[str | None] | None = None,
) -> Decided:
    """Judge contrasts by their values [..., S] per seed, in the order of the seeds; NaN where one has none.

    margin: the smallest effect of interest. floor: the least standard deviation that is credited (`quantisation`).
    overlap: test examples per training example where each seed splits the same examples anew, else 0: such seeds agree
    more with each other than with the population, and the variance of their mean is sd^2 * (1 / n + overlap) (Nadeau &
    Bengio 2003, Machine Learning 52:239-281). tiny: what is no more than rounding. expects: what a claim says of each,
    where more is better; it ends when that is supported or refuted (`outcome`).
    """
    from scipy.special import stdtrit

    shape = values.shape[:-1]
    found = Decided(
        n=np.zeros(shape, np.intp),
        **{name: np.full(shape, np.nan) for name in ("difference", "sd", "low", "high")},
        p=np.ones(shape),
        p_adjusted=np.ones(shape),
        state=np.full(shape, OPEN, dtype="<U10"),
        look=np.zeros(shape, np.intp),
    )
    margin = np.broadcast_to(margin, shape)
    claims = list(expects) if expects is not None else [None]
    not_worse, equal = (np.array([one == kind for one in claims]) for kind in ("not_worse", "equal"))
    for look in (look for look, most in enumerate(bounds.looks) if most <= values.shape[-1]):
        part = paired_t(values[..., : bounds.looks[look]], floor, overlap, tiny)
        n, mean, sd, p = part.n, part.mean, part.sd, part.p
        levels = (bounds.plain(look), bounds.level, bounds.one_look)
        half, near, far = (stdtrit(np.maximum(n, 2) - 1, 1 - level / 2) * part.error for level in levels)
        low, high = mean - half, mean + half
        is_open = found.state == OPEN
        new = is_open & (n >= 2)
        for name, value in (("difference", mean), ("sd", sd), ("low", low), ("high", high), ("p", p)):
            setattr(found, name, np.where(new, value, getattr(found, name)))
        one = is_open & (n == 1)
        found.difference = np.where(one, mean, found.difference)
        found.p_adjusted = np.where(new, bounds.adjusted(p, look), found.p_adjusted)
        found.n, found.look = np.where(is_open, n, found.n), np.where(is_open, look, found.look)
        # No spread at all is no knowledge of it, unless nothing differs at all.
        inside = (-margin <= low) & (high <= margin) & ((sd > 0) | (low == 0))
        apart = (sd > 0) & ((low > 0) | (high < 0))
        beyond = apart & ((low > margin) | (high < -margin))
        different = np.where(equal, beyond, np.where(not_worse, beyond | (apart & (low > 0)), apart))
        equivalent = inside & np.where(equal, True, ~different)
        enough_for_it = not_worse & (sd > 0) & (low > -margin) & ~different & ~equivalent
        for state, where in ((DIFFERENT, different), (EQUIVALENT, equivalent), (NOT_WORSE, enough_for_it)):
            found.state = np.where(new & where, state, found.state)
        ended = new & different
        found.low = np.where(ended, mean - np.where(mean > 0, near, far), found.low)
        found.high = np.where(ended, mean + np.where(mean > 0, far, near), found.high)
    return found


def outcome(expects: str | None, low: float | None, high: float | None, margin: float) -> str:
    """What an interval says of a claim, where more is better: supported, refuted or open; "" where there is no claim.

    Better and worse are refuted by a difference the other way, and by one that is smaller than what matters; equal and
    not worse by one the wrong way that surely matters.
    """
    if expects is None:
        return ""
    if low is None or high is None or low == high != 0:  # no spread at all is no knowledge of it
        return OPEN
    if expects == "worse":
        low, high = -high, -low
    small = -margin <= low and high <= margin
    for_it, against_it = {
        "equal": (small, low > margin or high < -margin),
        "not_worse": (low > -margin, high < -margin),
    }.get(expects, (low > 0, high < 0 or small))
    return SUPPORTED if for_it else REFUTED if against_it else OPEN


def tiny(values: Floats) -> float:
    """What is no more than the rounding of binary fractions of this size."""
    return ROUNDING * float(np.nanmax(np.abs(values), initial=0.0))


def looks_until(cap: int) -> tuple[int, ...]:
    """The looks of a sequential design with at most `cap` seeds: at 4, 6, 8, then at about 1.3 times as many each."""
    found = [min(4, cap)]
    while found[-1] < cap:
        following = max(found[-1] + 2, round(found[-1] * 1.3))
        found.append(cap if following * 1.15 > cap else following)
    return tuple(found)


def seeds_needed(n: int, difference: float, sd: float, margin: float, level: float, overlap: float = 0.0) -> int | None:
    """The least number of seeds in all at which a contrast is settled with a chance of CHANCE; None: no number can.

    `n` seeds have left it open at this `difference` and `sd`. What the others bring is drawn from the predictive
    distribution of normal differences under Jeffreys' prior (Geisser 1993, Predictive Inference), and judged at `level`
    as the rule would at one look.
    """
    if sd <= 0 or n < 2:
        return None
    if n >= MOST:
        return None if overlap else n + 1
    if chance_settled(n, MOST, difference, sd, margin, level, overlap) < CHANCE:
        return None if overlap else MOST
    low, high = n, n + 1
    while chance_settled(n, high, difference, sd, margin, level, overlap) < CHANCE:
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        settled = chance_settled(n, middle, difference, sd, margin, level, overlap) >= CHANCE
        low, high = (low, middle) if settled else (middle, high)
    return high


def hopeless(n: int, difference: float, sd: float, margin: float, level: float, overlap: float) -> bool:
    """Whether no number of seeds settles a contrast, as each splits the same examples anew; given as to the former."""
    if not overlap or sd <= 0 or not 2 <= n < MOST:
        return False
    return chance_settled(n, MOST, difference, sd, margin, level, overlap) < LEAST_CHANCE


def chance_settled(
    n: int, then: int, difference: float, sd: float, margin: float, level: float, overlap: float = 0.0
) -> float:
    """The chance that a contrast that `n` seeds left open is settled by a look at `then` seeds."""
    from scipy.special import stdtrit

    more = then - n
    z, spread, rest = _draws(n, more)
    sigma = sd * np.sqrt((n - 1) / spread)
    added = difference + sigma * math.sqrt(1 / n + 1 / more) * z  # the mean of what is to come
    mean = (n * difference + more * added) / then
    squares = (n - 1) * sd**2 + sigma**2 * rest + n * more / then * (added - difference) ** 2
    half = float(stdtrit(then - 1, 1 - level / 2)) * np.sqrt(squares / (then - 1) * (1 / then + overlap))
    return float(((np.abs(mean) > half) | (np.abs(mean) + half <= margin)).mean())


@functools.lru_cache(maxsize=256)
def _draws(n: int, more: int) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(n)
    z, spread = rng.standard_normal(4000), rng.chisquare(n - 1, 4000)
    return z, spread, rng.chisquare(more - 1, 4000) if more > 1 else np.zeros(4000)
