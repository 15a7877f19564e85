"""What a design can find, before it is run: which differences, and from which spread on that there is none."""

import contextlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pipeline.config.experiment import Contrast
from pipeline.evidence import rule
from pipeline.evidence.paired import by_seed
from pipeline.evidence.rule import CHANCE
from pipeline.evidence.run import Run
from pipeline.evidence.verdict import family_of

SWEEPS = 2000  # simulated: a share of 0.8 is known to 0.01
WIDEST = 50.0  # standard deviations of a paired difference


@dataclass(frozen=True)
class Power:
    """With a chance of CHANCE a difference of `found` is shown, and that there is none up to a spread of `equal`.

    `found` is in standard deviations of a difference between two levels over seeds, each the mean over the other
    factors; `equal` is such a deviation as a share of the smallest effect of interest. None: nothing is wide enough.
    """

    contrasts: int
    found: float | None
    equal: float | None


def power_of(
    arms: Sequence[Mapping[str, Any]],
    factors: Sequence[str],
    contrasts: Sequence[Contrast],
    seeds: int,
    looks: Sequence[int] | None,
    overlap: float = 0.0,
) -> Power | None:
    """Of a design of these arms; None where it has nothing to compare, or one seed."""
    runs = [Run(dict(levels), seed, {"": 0.0}) for levels in arms for seed in range(2)]
    family = family_of(runs, factors, contrasts, looks or [seeds])
    if family is None or seeds < 2:
        return None
    bounds, contrasts_in_all = family
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((SWEEPS, 1, bounds.looks[-1]))
    noise += np.sqrt(overlap) * rng.standard_normal((SWEEPS, 1, 1))

    def share(state: str, effect: float, margin: float) -> float:
        return float((rule.decide(effect + noise, bounds, margin, overlap=overlap).state == state).mean())

    found = _least(lambda effect: share(rule.DIFFERENT, effect, 0.0))
    margin = _least(lambda margin: share(rule.EQUIVALENT, 0.0, margin))
    return Power(contrasts_in_all, found, None if margin is None else 1 / margin)


def _least(share: Callable[[float], float]) -> float | None:
    """Where a share that grows reaches CHANCE, to a hundredth of itself."""
    low, high = 0.0, 1.0
    while share(high) < CHANCE:
        low, high = high, 2 * high
        if high > WIDEST:
            return None
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if share(middle) >= CHANCE else (middle, high)
    return high


def spread_before(parent: Path, factors: Sequence[str], metric: str) -> float | None:
    """The typical deviation of a paired difference in the newest verdict under `parent` on these factors; or None."""
    for file in sorted(parent.glob("*/verdict.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(file.read_text())
            if found["metric"] != metric or list(found["factors"]) != list(factors):
                continue
            rows = [[one["values"] for one in entry["levels"]] for entry in found["factors"].values()]
            pairs = [pair for levels in rows for pair in itertools.combinations(levels, 2)]
            differences = [by_seed(a, b) for a, b in pairs if len(a) == len(b)]
            spreads = [float(np.std(one, ddof=1)) for one in differences if len(one) > 2]
            if spreads and median(spreads) > 0:
                return median(spreads)
    return None


def sentences(power: Power, smallest_effect: float, spread: float | None, overlap: float = 0.0) -> list[str]:
    """What `plan -m` says of it."""
    if power.found is None or power.equal is None:
        if not overlap:
            return [f"too few seeds to find any of {power.contrasts} differences with a chance of {CHANCE:g}"]
        return ["seeds share so much of their examples that no number of them shows a difference: see data.split_seed"]
    said = [
        f"of {power.contrasts} differences, one of {power.found:.2g} standard deviations (of a paired difference) is "
        f"found with a chance of {CHANCE:g}; that there is none above {smallest_effect:g}, where the deviation is "
        f"{power.equal * smallest_effect:.2g} or less"
    ]
    if overlap:
        said.append(
            "each seed splits the same examples anew, which no number of seeds makes up for: with one split for all, "
            "data.split_seed=0, smaller differences are found"
        )
    if spread is not None:
        enough = "enough" if spread <= power.equal * smallest_effect else "too wide"
        said.append(
            f"in the newest verdict on this it was {spread:.2g}: so {power.found * spread:.2g} is found, and it is "
            f"{enough} to show that there is none"
        )
    return said
