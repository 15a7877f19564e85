"""The run of a sweep to put to use, and what the verdict says of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import rundir
from pipeline.errors import InputError
from pipeline.evidence import conclude
from pipeline.evidence.document import Verdict
from pipeline.evidence.run import arm_key, rejection
from pipeline.names import arm


@dataclass(frozen=True)
class Winner:
    """A run of the arm with the best mean."""

    run: Path
    arm: str  # in words
    verdict: str  # what the sweep concluded
    interval: dict[str, Any]  # factor -> the nearest other level: its difference from the best, and the interval of it
    shown: bool  # whether the best level of each factor is shown to be so
    key: str

    @property
    def tags(self) -> dict[str, str]:
        """For the version of a registered model."""
        interval = json.dumps(self.interval, ensure_ascii=False, default=str)
        return {"arm": self.arm, "verdict": self.verdict, "interval": interval, "run_key": self.key}


def find_winner(sweep: Path) -> Winner:
    """Of the arm with the best mean, the run with the best validation accuracy: test images choose no seed.

    The verdict is computed anew, and written. Raises InputError where nothing can be compared.
    """
    found = conclude.conclude(sweep)
    sign = 1 if found.mode == "max" else -1
    arms = [one for one in found.arms if one.mean is not None]
    if not arms:
        raise InputError(f"sweep={sweep}: no run of it can be compared by {found.metric}.")
    best = max(arms, key=lambda one: sign * (one.mean or 0.0))
    key = arm_key(best.levels, found.factors)
    runs = [
        one
        for one in conclude.collect(sweep)
        if rejection(one, found.metric) is None and arm_key(one.levels, found.factors) == key
    ]
    run = sweep / max(runs, key=lambda one: (one.metrics.get("val/acc", 0.0), -one.seed)).dir
    return Winner(
        run=run,
        arm=arm(best.levels),
        verdict="\n".join(found.sentences or [one.sentence for one in found.factors.values()]),
        interval=_intervals(found),
        shown=all(_is_shown(found, name) for name in found.factors),
        key=rundir.read_run(run).key,
    )


def _intervals(found: Verdict) -> dict[str, Any]:
    nearest = {}
    for name, factor in found.factors.items():
        others = [one for one in factor.levels if one.level != factor.best and one.difference is not None]
        if others:
            one = min(others, key=lambda one: one.distance)
            nearest[name] = {
                "best": factor.best, "other": one.level, "difference": one.difference,
                "low": one.low, "high": one.high, "metric": found.metric,
            }  # fmt: skip
    return nearest


def _is_shown(found: Verdict, factor: str) -> bool:
    return any(one.verdict == "best" for one in found.factors[factor].levels)
