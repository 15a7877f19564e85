"""What a verdict leaves open: the chance that as many seeds again would settle it, and what these would cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.experiment import Contrast
from pipeline.evidence import rule
from pipeline.evidence.document import Arm, ContrastVerdict, LevelVerdict, Verdict
from pipeline.evidence.run import level_key
from pipeline.evidence.sentence import FIRST, text, what


@dataclass(frozen=True)
class Open:
    """A difference that is not settled."""

    what: str
    n: int  # seeds so far
    needed: int | None  # seeds in all that would settle it
    hopeless: bool  # none would
    chance: float  # that n more do
    runs: int  # that these are
    seconds: float | None


def still_open(doc: Verdict) -> list[Open]:
    """Each open claim, and each level that is not told from the best of its factor."""
    found = []
    for one in doc.contrasts:
        if one.state == rule.OPEN:
            sides = Contrast(one.compare, at=one.at, against=one.against).sides
            found.append(_open(doc, one.claim or what(one), one, one.margin, sides))
    for factor, entry in doc.factors.items():
        best = next((level for level in entry.levels if level.verdict in FIRST), None)
        for level in entry.levels:
            if best and level.verdict == "too few seeds":
                pair = [{factor: level.level}, {factor: best.level}]
                name = f"{factor}: {text(level.level)} less {text(best.level)}"
                found.append(_open(doc, name, level, doc.smallest_effect, pair))
    return [one for one in found if one]


def all_at_once(doc: Verdict) -> tuple[int, float | None]:
    """The runs and seconds of as many seeds again for all that is open: differences share their runs."""
    return _cost(doc, doc.rule.open_arms, len(doc.seeds))


def _cost(doc: Verdict, sides: Sequence[Mapping[str, Any]], seeds: int) -> tuple[int, float | None]:
    """The runs at so many seeds of the arms that have the levels of one of `sides`, and their seconds by those so far.

    None where these are not known.
    """
    arms = [arm for arm in doc.arms if any(_has(arm, side) for side in sides)]
    known = [arm.seconds for arm in arms if arm.seconds is not None]
    return seeds * len(arms), seeds * math.fsum(known) if len(known) == len(arms) else None


def _open(
    doc: Verdict, name: str, one: LevelVerdict | ContrastVerdict, margin: float, sides: Sequence[Mapping[str, Any]]
) -> Open | None:
    """None where nothing can be told: with one seed, or without any spread."""
    from scipy.special import stdtrit

    n = one.compared if isinstance(one, LevelVerdict) else one.n
    if n < 2 or one.difference is None or one.low is None or one.high is None:
        return None
    level = doc.rule.levels[max((i for i, n in enumerate(doc.rule.looks) if n <= len(doc.seeds)), default=0)]
    # The spread that the rule took, from the width of its interval: it may be floored, and one of fewer cells.
    half = (one.high - one.low) / 2
    sd = half / float(stdtrit(n - 1, 1 - level / 2)) / math.sqrt(1 / n + doc.rule.overlap)
    if sd <= 0:
        return None
    last = doc.rule.levels[-1]
    chance = rule.chance_settled(n, 2 * n, one.difference, sd, margin, last, doc.rule.overlap)
    return Open(name, n, one.seeds_needed, one.hopeless, chance, *_cost(doc, sides, n))


def _has(arm: Arm, levels: Mapping[str, Any]) -> bool:
    return all(level_key(arm.levels[factor]) == level_key(level) for factor, level in levels.items())
