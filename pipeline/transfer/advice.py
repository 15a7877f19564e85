"""The advice of transfer=auto, once given: for people and for the dashboard. No torch."""

from collections.abc import Mapping
from typing import Any


def sentences(advice: Mapping[str, Any]) -> list[str]:
    """The advice for people, a line each."""
    depth = f" transfer.depth={advice['depth']}" if advice["depth"] else ""
    near = [f"near the threshold of {one}" for one in advice["near"]]
    return [f"transfer=auto: {advice['quadrant']}: transfer={advice['strategy']}{depth}", *advice["reasons"], *near]


def numbers(advice: Mapping[str, Any]) -> dict[str, float]:
    """The advice as metrics for the dashboard."""
    size, found = advice["size"], advice["similarity"]
    shown = {
        "advice/size_ratio": size["ratio"],
        "advice/probe_acc": found["accuracy"],
        "advice/probe_acc_random": found["accuracy_at_random"],
        "advice/errors_avoided": found["avoided"],
        **{f"advice/probe_acc_depth_{i}": one["accuracy"] for i, one in enumerate(found["by_depth"], start=1)},
    }
    return shown if found["distance"] is None else shown | {"advice/distance": found["distance"]}
