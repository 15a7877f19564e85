"""What winning costs: whether the best level overfits more than another one, and how much more it computes."""

from collections.abc import Sequence

import numpy as np

from pipeline.evidence.document import Guardrail, LevelVerdict, Point, Verdict
from pipeline.evidence.results import Results
from pipeline.evidence.run import Run, level_key, rejection
from pipeline.evidence.sentence import FIRST

GAP = "gap/acc"


def found(doc: Verdict, valid: Sequence[Run]) -> list[Guardrail]:
    """The best level of each factor beside each other one, by the runs that are compared.

    The gap has its plain 95 % interval, in pairs: it is no member of the family that the verdict judges. It is shown to
    be no worse where that ends below the smallest effect of interest, which is one of shares alone.
    """
    gaps = [run for run in valid if rejection(run, GAP) is None] if doc.metric != GAP else []
    results = Results.of(valid, gaps, list(doc.factors), GAP)
    made = []
    for factor, entry in doc.factors.items():
        best = next((level for level in entry.levels if level.n and level.verdict in FIRST), None)
        for level in entry.levels:
            if best is None or level is best or not level.n:
                continue
            gap = _gap(results, factor, best, level, doc.rule.overlap) if gaps else Point.of([])
            made.append(
                Guardrail(
                    factor=factor,
                    best=best.level,
                    level=level.level,
                    gap=gap,
                    not_worse=None if gap.high is None or doc.n_test is None else gap.high < doc.smallest_effect,
                    parameters=_times(best.parameters, level.parameters),
                    macs=_times(best.macs, level.macs),
                    seconds=_times(best.seconds, level.seconds),
                )
            )
    return [one for one in made if one.gap.n or one.parameters or one.macs or one.seconds]


def _gap(results: Results, factor: str, best: LevelVerdict, level: LevelVerdict, overlap: float) -> Point:
    sides = [{factor: level_key(best.level)}, {factor: level_key(level.level)}]
    values = results.difference(sides).values
    return Point.of(values[~np.isnan(values)].tolist(), overlap)


def _times(mine: float | None, theirs: float | None) -> float | None:
    return mine / theirs if mine and theirs else None
