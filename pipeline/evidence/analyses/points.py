"""A mean with its interval, which is what analyses are made of."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evidence import html
from pipeline.evidence.paired import interval


def point(values: Sequence[float]) -> dict[str, Any]:
    """{"n", "mean", "low", "high"}: with the plain 95 % t interval; None for what cannot be told."""
    mean, low, high = interval(values)
    return {"n": len(values), "mean": mean, "low": low, "high": high}


def cell(one: Mapping[str, Any]) -> str:
    """A point in a table of the page: its mean ± half of its interval."""
    return "–" if one["mean"] is None else f"{one['mean']:.3f}" + html.half_interval(one["mean"], one["low"])
