"""What must hold before a verdict means what it says: runs that learn, training that has ended, no skew."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from pipeline.evidence.paired import ALPHA, Floats
from pipeline.evidence.results import Results
from pipeline.evidence.run import Run, arm_key
from pipeline.names import arm

FAR = 8.0  # standard deviations, by the median absolute deviation, from the arm's median
GROSS = 10.0  # smallest effects of interest
FEWEST = 5  # runs of an arm, to say which of them are not like the others
LAST = 0.1  # of the epochs
SKEW = 1.5
LEAST_FLIPPED = 6  # seeds
MOST_EXACT = 12  # seeds: 4,096 ways to flip their signs


def collapsed(results: Results, sign: int, smallest_effect: float) -> list[tuple[int, int]]:
    """(arm, seed) by their places, of runs that failed to learn what the same arm learns with other seeds.

    They lie far below the arm's median and what the seed gave to others, by the spread that runs of this sweep have
    about theirs, and by a gross amount. A mean over seeds with such runs among them tells of neither kind, and a t test
    takes it for a normal one: with one arm that collapses in a tenth of its seeds, 35 to 73 % of sweeps of otherwise
    equal arms find a difference.
    """
    values_AS = sign * results.values
    n_A = (~np.isnan(values_AS)).sum(axis=1)
    if not (n_A >= FEWEST).any():
        return []
    medians_A = [np.nanmedian(row) if n else np.nan for row, n in zip(values_AS, n_A, strict=True)]
    away_AS = values_AS - np.array(medians_A)[:, None]
    some_S = ~np.isnan(away_AS).all(axis=0)
    # A seed that is hard for all arms is no failure of any.
    away_AS[:, some_S] -= np.nanpercentile(away_AS[:, some_S], 75, axis=0)
    scale = 1.4826 * float(np.nanmedian(np.abs(away_AS[n_A >= FEWEST])))
    far = (away_AS < -max(FAR * scale, GROSS * smallest_effect)) & (n_A >= FEWEST)[:, None]
    return [(int(a), int(s)) for a, s in np.argwhere(far)]


def collapse_warnings(results: Results, places: Sequence[tuple[int, int]]) -> list[str]:
    """How often each arm failed to learn, with the interval of that share (Wilson 1927)."""
    said = []
    for row in dict.fromkeys(a for a, _ in places):
        mine = [s for a, s in places if a == row]
        n = int((~np.isnan(results.values[row])).sum()) + len(mine)
        low, high = wilson(len(mine), n)
        seeds = ", ".join(str(results.seeds[s]) for s in mine)
        name = arm(results.arms[row]) or "the arm"
        said.append(
            f"{name} failed to learn in {len(mine)} of {n} runs ({low:.0%} to {high:.0%}; seed {seeds}): these are "
            "counted here, and not in the means, which are of runs that did learn."
        )
    return said


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927, J. American Statistical Association 22:209-212)."""
    z, share = 1.959964, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def still_improving(runs: Sequence[Run], factors: Sequence[str]) -> list[str]:
    """Arms most of whose runs were best on validation data in their last epochs: with more they might be better."""
    arms: dict[tuple[str, ...], list[bool]] = {}
    names: dict[tuple[str, ...], str] = {}
    for run in runs:
        curve = run.curves.get("val/loss", [])
        if run.status != "finished" or len(curve) < 5:
            continue
        losses = [value for _, value in curve]
        late = max(1, round(LAST * len(losses)))
        key = arm_key(run.levels, factors)
        names[key] = arm({name: run.levels[name] for name in factors}) or "the arm"
        arms.setdefault(key, []).append(int(np.argmin(losses)) >= len(losses) - late and not run.stopped_early)
    unfinished = [names[key] for key, ends in arms.items() if sum(ends) > len(ends) / 2]
    if not unfinished:
        return []
    shown = "; ".join(unfinished[:4]) + (f"; and {len(unfinished) - 4} more" if len(unfinished) > 4 else "")
    return [
        f"Still improving when training ended, {len(unfinished)} of {len(arms)} arms: {shown}. Their best val/loss "
        "came in the last epochs, so a verdict is about this number of epochs; raise trainer.max_epochs."
    ]


def sign_flip_p(d_S: Floats) -> float:
    """Two-sided p of a mean, by flipping the signs of differences, which asks for no normal distribution (Fisher 1935).

    Of no use with fewer than LEAST_FLIPPED seeds, whose least p is above 0.05.
    """
    n = len(d_S)
    if n <= MOST_EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), size=(4000, n))
        signs[0] = 1
    return float((np.abs(signs @ d_S) >= abs(d_S.sum()) * (1 - 1e-9)).mean())


def skewness(d_S: Floats) -> float:
    """Of the differences over seeds; 0 for a symmetric distribution."""
    away, sd = d_S - d_S.mean(), d_S.std()
    return float((away**3).mean() / sd**3) if sd > 0 else 0.0


def skewed(what: str, d_S: Floats) -> list[str]:
    """A note on a difference that was called one, where its values over seeds are no normal distribution's."""
    d_S = d_S[~np.isnan(d_S)]
    if len(d_S) < LEAST_FLIPPED or abs(skew := skewness(d_S)) < SKEW or (p := sign_flip_p(d_S)) < ALPHA:
        return []
    return [
        f"{what}: the differences over seeds are skewed ({skew:+.1f}), which makes their interval too sure; by "
        f"flipping their signs, which asks for no normal distribution, p is {p:.2g}."
    ]
