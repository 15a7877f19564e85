"""What each level buys beyond the metric: a matrix of levels against perturbations, with intervals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.config.metrics import METRICS
from pipeline.evidence.paired import CONFIDENCE
from pipeline.evidence.run import Run
from pipeline.evidence.verdict import verdict

# The columns, where runs have them.
BESIDES = ("invariance/rotation", "invariance/scale", "invariance/shift", "gap/acc")
LESS_IS_BETTER = [name for name, metric in METRICS.items() if metric.better == "min"]


def matrix(doc: dict[str, Any], runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Per factor of the verdict `doc`, levels against the metric and BESIDES; factors without a second column left out.

    {factor: {"reference": level, "columns": [metric, ...], "levels": [{"level", "cells": [{"n", "mean", "low",
    "high", "difference", "difference_low", "difference_high"}, ...]}, ...]}}. The reference is the level `none`
    where there is one, else the first. Values are paired and averaged as in the verdict; intervals are the plain
    95 % t intervals over seeds, of the mean and of the paired difference to the reference; None for one seed.
    """
    known = {name for run in runs if run.status == "finished" for name in run.metrics}
    columns = [doc["metric"], *(name for name in BESIDES if name in known and name != doc["metric"])]
    if len(columns) == 1:
        return {}
    order = {factor: [level["level"] for level in entry["levels"]] for factor, entry in doc["factors"].items()}
    found: dict[str, dict[str, Any]] = {
        factor: {
            "reference": "none" if "none" in levels else levels[0],
            "columns": columns,
            "levels": [{"level": level, "cells": []} for level in levels],
        }
        for factor, levels in order.items()
    }
    for column in columns:
        judged = verdict(runs, list(order), column, smallest_effect=0, levels=order)
        for factor, entry in found.items():
            values = [level["values"] for level in judged["factors"][factor]["levels"]]
            reference = values[order[factor].index(entry["reference"])]
            for row, mine in zip(entry["levels"], values, strict=True):
                row["cells"].append(_cell(mine, reference))
    return found


def _cell(values: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    mean, low, high = interval(values)
    paired = [a - b for a, b in zip(values, reference, strict=True)] if len(values) == len(reference) else []
    difference, difference_low, difference_high = interval(paired)
    return {
        "n": len(values),
        "mean": mean,
        "low": low,
        "high": high,
        "difference": difference,
        "difference_low": difference_low,
        "difference_high": difference_high,
    }


def interval(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Mean and its plain t interval (Student 1908); None for what cannot be told."""
    from scipy.special import stdtrit

    if not len(values):
        return None, None, None
    mean = float(np.mean(values))
    if len(values) == 1:
        return mean, None, None
    t = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    half = t * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, mean - half, mean + half
