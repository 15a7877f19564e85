"""Fair arms: widths scaled by one factor until a network costs what a reference network costs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipeline.architecture.config import Cnn, Mlp, Section, section
from pipeline.architecture.plans import Match, Plan
from pipeline.architecture.sections import plan_section
from pipeline.errors import InputError

TOLERANCE = 0.05
MAX_WIDTH = 2**20


def plan_matched(spec: Cnn | Mlp, shape: tuple[int, int, int], classes: int | None, reference: Plan) -> Plan:
    """The plan of `spec` with its filters (hidden sizes of an mlp) scaled to the parameters or MACs of the plan of
    its reference.

    All widths are multiplied by one factor and rounded. Where no factor comes within TOLERANCE, as rounding
    moves narrow networks by more than that, single widths are moved by one. `Plan.match` says what was
    chosen, and whether it matched.

    Raises:
        InputError: where the section does not fit the input, or its reference costs nothing.
    """
    key = "hidden" if isinstance(spec, Mlp) else "filters"
    widths: list[int] = getattr(spec, key)
    plain = replace(spec, match="none", match_reference=None)
    target = _cost(reference, spec.match)
    if target < 1:
        raise InputError(f"architecture.match_reference={spec.match_reference}: its {spec.match} are {target}.")

    def planned(widths: list[int]) -> Plan:
        changes: dict[str, Any] = {key: widths}
        return plan_section(replace(plain, **changes), shape, classes)

    def cost(widths: list[int]) -> int:
        return _cost(planned(widths), spec.match)

    factor, scaled = _scaled(widths, target, cost)
    if abs(cost(scaled) / target - 1) > TOLERANCE:
        scaled = _nudged(scaled, target, cost)
    best = planned(scaled)
    reached = _cost(best, spec.match)
    matched = abs(reached / target - 1) <= TOLERANCE
    match = Match(spec.match, target, reached, factor, tuple(widths), tuple(scaled), matched)
    return replace(best, match=match)


def reference_of(spec: Cnn | Mlp) -> Section:
    """The section whose cost is to be met: `spec` with the keys of its match_reference replaced.

    A reference of another type starts from that type's defaults.
    """
    changes = dict(spec.match_reference)
    if changes.get("type", spec.type) == spec.type:
        return replace(spec, **{**changes, "match": "none", "match_reference": None})
    return section(changes, "architecture.match_reference")


def _cost(planned: Plan, by: str) -> int:
    return planned.params if by == "params" else planned.macs


def _scaled(widths: list[int], target: int, cost: Callable[[list[int]], int]) -> tuple[float, list[int]]:
    """The factor, and the widths it gives, whose cost is nearest to `target`; cost grows with the factor."""

    def times(factor: float) -> list[int]:
        return [max(1, round(width * factor)) for width in widths]

    if cost(widths) == target:
        return 1.0, widths
    low, high = 0.0, 1.0
    while cost(times(high)) < target and max(times(high)) < MAX_WIDTH:
        low, high = high, 2 * high
    # Nearer than this, both ends round to the same widths, or to neighbours.
    while (high - low) * max(widths) > 0.25:
        middle = (low + high) / 2
        if cost(times(middle)) < target:
            low = middle
        else:
            high = middle
    factor = min((low, high), key=lambda end: abs(cost(times(end)) - target))
    return factor, times(factor)


def _nudged(widths: list[int], target: int, cost: Callable[[list[int]], int]) -> list[int]:
    """The widths after steps of one, each the one that comes nearest to `target`, until none does."""
    while True:
        steps = [[*widths[:i], width + step, *widths[i + 1 :]] for i, width in enumerate(widths) for step in (-1, 1)]
        best = min((step for step in steps if min(step) > 0), key=lambda step: abs(cost(step) - target))
        if abs(cost(best) - target) >= abs(cost(widths) - target):
            return widths
        widths = best
