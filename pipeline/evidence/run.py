"""One run as the evidence sees it: what was varied, what came out and what it cost."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.diagnosis.predicted import Guessing


@dataclass
class Run:
    """One configuration trained with one seed.

    levels: the swept keys besides the seed, each with the level that this run has.
    metrics: final values by name, such as {"test/acc": 0.97}.
    parameters, macs: of the network, for one input. seconds: wall time of the run. NaN where nobody told.
    status: "finished" or anything else; what is not finished is reported and not compared.
    dir: the run directory, absolute or relative to the sweep's. curves: metric name to [(epoch, value), ...], and
    invariance/KIND to [(amount, accuracy), ...]. examples: how many it trained on. base: the metrics of the source that
    was trained for it. damage: of a run whose status is "damaged", what cannot be read, and what mends it. seen: how
    many of its test images its source was trained on. stopped_early: training ended since it no longer improved.
    resumed: it was interrupted, and taken up again.
    collapsed: it failed to learn, see gates.py. guessing: how right it is on test examples beside calling all of them
    their largest class.
    """

    levels: dict[str, Any]
    seed: int
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: float = math.nan
    macs: float = math.nan
    seconds: float = math.nan
    status: str = "finished"
    dir: str = ""
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    examples: int = 0
    base: dict[str, float] = field(default_factory=dict)
    damage: str = ""
    seen: int = 0
    seen_untold: str = ""
    stopped_early: bool = False
    resumed: bool = False
    collapsed: bool = False
    guessing: Guessing | None = None


def level_key(level: object) -> str:
    """A hashable name for any level. It keeps 1, 1.0, true and "1" apart, as Python's == does not."""
    return json.dumps(level, sort_keys=True, default=str)


def arm_key(levels: Mapping[str, Any], factors: Iterable[str]) -> tuple[str, ...]:
    """`level_key` of each of `factors`: what is the same for all runs of one arm."""
    return tuple(level_key(levels[factor]) for factor in factors)


def rejection(run: Run, metric: str) -> str | None:
    """Why `run` cannot be compared by `metric`, or None where it can."""
    if run.status != "finished":
        return run.status
    if run.collapsed:
        return "failed to learn"
    value = run.metrics.get(metric)
    if value is None:
        return f"has no {metric}"
    if not math.isfinite(value):
        return f"{metric} is {value}"
    return None
