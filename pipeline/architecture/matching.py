"""Fair arms: widths scaled by one factor until a network costs what a reference network costs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipeline.architecture.config import Cnn, Mlp, Section, section
from pipeline.architecture.planning import Match, Plan, plan, plan_section
from pipeline.errors import InputError

TOLERANCE = 0.05
MAX_WIDTH = 2**20


def plan_matched(spec: Cnn | Mlp, shape: tuple[int, int, int], classes: int | None) -> Plan:
    """The plan of `spec` with its filters (hidden sizes of an mlp) scaled to the reference's parameters or
    MACs.

    All widths are multiplied by one factor and rounded. Where no factor comes within TOLERANCE, as rounding
    moves narrow networks by more than that, single widths are moved by one. `Plan.match` says what was
    chosen, and whether it matched.

    Raises:
        InputError: where the section, or its reference, does not fit the input.
    """
    key = "hidden" if isinstance(spec, Mlp) else "filters"
    asked: list[int] = getattr(spec, key)
    plain = replace(spec, match="none", match_reference=None)
    target = _cost(plan(reference(spec), shape, classes), spec.match)
    if target < 1:
        raise InputError(f"architecture.match_reference={spec.match_reference}: its {spec.match} are {target}.")

    def planned(widths: list[int]) -> Plan:
        changes: dict[str, Any] = {key: widths}
        return plan_section(replace(plain, **changes), shape, classes)

    def cost(widths: list[int]) -> int:
        return _cost(planned(widths), spec.match)

    factor, widths = _scaled(asked, target, cost)
    if abs(cost(widths) / target - 1) > TOLERANCE:
        widths = _nudged(widths, target, cost)
    best = planned(widths)
    reached = _cost(best, spec.match)
    matched = abs(reached / target - 1) <= TOLERANCE
    match = Match(spec.match, target, reached, factor, tuple(asked), tuple(widths), matched)
    return replace(best, match=match)


def reference(spec: Cnn | Mlp) -> Section:
    """The section whose cost is to be met: `spec` with the keys of its match_reference replaced.

    A reference of another type starts from that type's defaults.
    """
    changes = dict(spec.match_reference)
    if changes.get("type", spec.type) == spec.type:
        return replace(spec, **{**changes, "match": "none", "match_reference": None})
    return section(changes, "architecture.match_reference")


def _cost(planned: Plan, by: str) -> int:
    return planned.params if by == "params" else planned.macs


def _scaled(asked: list[int], target: int, cost: Callable[[list[int]], int]) -> tuple[float, list[int]]:
    """The factor, and the widths it gives, whose cost is nearest to `target`; cost grows with the factor."""

    def widths(factor: float) -> list[int]:
        return [max(1, round(width * factor)) for width in asked]

    if cost(asked) == target:
        return 1.0, asked
    low, high = 0.0, 1.0
    while cost(widths(high)) < target and max(widths(high)) < MAX_WIDTH:
        low, high = high, 2 * high
    # Nearer than this, both ends round to the same widths, or to neighbours.
    while (high - low) * max(asked) > 0.25:
        middle = (low + high) / 2
        if cost(widths(middle)) < target:
            low = middle
        else:
            high = middle
    factor = min((low, high), key=lambda end: abs(cost(widths(end)) - target))
    return factor, widths(factor)


def _nudged(widths: list[int], target: int, cost: Callable[[list[int]], int]) -> list[int]:
    """The widths after steps of one, each the one that comes nearest to `target`, until none does."""
    while True:
        steps = [[*widths[:i], width + step, *widths[i + 1 :]] for i, width in enumerate(widths) for step in (-1, 1)]
        best = min((step for step in steps if min(step) > 0), key=lambda step: abs(cost(step) - target))
        if abs(cost(best) - target) >= abs(cost(widths) - target):
            return widths
        widths = best
