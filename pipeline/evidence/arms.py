"""The runs of a sweep, described and not judged: every combination of levels, what is left out, what to mind."""

import math
from collections.abc import Sequence

import numpy as np

from pipeline.evidence.document import Arm, Exclusion, RunCounts
from pipeline.evidence.run import Run, arm_key, rejection

COSTS = ("parameters", "macs", "seconds")  # of a run, beside its metric


def arms(
    runs: Sequence[Run],
    valid: list[Run],
    factors: Sequence[str],
    metric: str,
    rank: dict[str, dict[str, int]],
) -> list[Arm]:
    """Every combination of levels with its own n, mean and sd over seeds: unpaired, described, not judged."""
    levels = {arm_key(run.levels, factors): {name: run.levels[name] for name in factors} for run in runs}
    by_arm: dict[tuple[str, ...], list[Run]] = {}
    for run in valid:
        by_arm.setdefault(arm_key(run.levels, factors), []).append(run)
    found = []
    for key in sorted(levels, key=lambda key: [rank[f][k] for f, k in zip(factors, key, strict=True)]):
        mine = by_arm.get(key, [])
        by_seed: dict[int, list[float]] = {}
        for run in mine:
            by_seed.setdefault(run.seed, []).append(run.metrics[metric])
        values = np.array([mean(by_seed[seed]) for seed in sorted(by_seed)])
        found.append(
            Arm(
                levels=levels[key],
                n=len(values),
                mean=float(values.mean()) if len(values) else None,
                sd=float(values.std(ddof=1)) if len(values) > 1 else None,
                **{what: finite(mean([value(run, what, metric) for run in mine])) for what in COSTS},
            )
        )
    return found


def counts(runs: Sequence[Run], valid: list[Run], metric: str) -> RunCounts:
    """How many runs finished, failed and are compared."""
    finished = sum(run.status == "finished" for run in runs)
    return RunCounts(len(runs), finished, len(runs) - finished, len(valid), _exclusions(runs, metric))


def _exclusions(runs: Sequence[Run], metric: str) -> list[Exclusion]:
    """Which runs are not compared, and why."""
    reasons = [(run, rejection(run, metric)) for run in runs]
    return [
        Exclusion(run.levels, run.seed, run.dir, run.status, run.damage or reason)
        for run, reason in reasons
        if reason is not None
    ]


def warnings(runs: Sequence[Run], valid: list[Run], factors: Sequence[str], metric: str) -> list[str]:
    """What a reader must know before believing any number of this sweep."""
    warnings = []
    if left := len(runs) - len(valid):
        reasons: dict[str, int] = {}
        for run in runs:
            if reason := rejection(run, metric):
                reasons[reason] = reasons.get(reason, 0) + 1
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        warnings.append(f"Not compared: {left} of {len(runs)} runs ({why}).")
        warnings += [f"{run.dir} is damaged: {run.damage}" for run in runs if run.damage]
    places = [(arm_key(run.levels, factors), run.seed) for run in valid]
    if repeated := len(places) - len(set(places)):
        warnings.append(f"Repeated: {repeated} runs of an arm and seed that is there already; the mean is used.")
    if len({run.seed for run in runs}) == 1:
        warnings.append("There is one seed only, so nothing can be said about chance; three is the least.")
    return warnings


def value(run: Run, what: str, metric: str) -> float:
    """The run's metric, or one of its costs."""
    return float(run.metrics[metric] if what == "metric" else getattr(run, what))


def mean(values: Sequence[float]) -> float:
    """The mean of those that are known, summed exactly so that the order of runs cannot change it; NaN of nothing."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
