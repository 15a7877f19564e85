"""What each level buys beyond the metric: a matrix of levels against perturbations, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from pipeline.config import Experiment
from pipeline.config.metrics import METRICS
from pipeline.evidence import html
from pipeline.evidence.document import Verdict
from pipeline.evidence.grid import Grid
from pipeline.evidence.paired import by_seed, interval
from pipeline.evidence.run import Run, arm_key, level_key, rejection
from pipeline.evidence.sentence import text
from pipeline.perturbations import PERTURBATIONS

# The columns, where runs have them.
BESIDES = (*(f"invariance/{kind}" for kind in PERTURBATIONS), "gap/acc")
LESS_IS_BETTER = [name for name, metric in METRICS.items() if metric.better == "min"]


def find(doc: Verdict, runs: Sequence[Run], question: Experiment) -> dict[str, dict[str, Any]]:
    """Per factor of the verdict `doc`, levels against the metric and BESIDES; factors without a second column left out.

    {factor: {"reference": level, "columns": [metric, ...], "levels": [{"level", "cells": [Cell, ...]}, ...]}}. The
    reference is the level `none` where there is one, else the first. Of the runs that the verdict counts, paired and
    averaged as there; intervals are the plain 95 % t intervals over seeds; None for one seed.
    """
    known = {name for run in runs if run.status == "finished" for name in run.metrics}
    columns = [doc.metric, *(name for name in BESIDES if name in known and name != doc.metric)]
    if len(columns) == 1:
        return {}
    order = {factor: [level.level for level in entry.levels] for factor, entry in doc.factors.items()}
    found: dict[str, dict[str, Any]] = {
        factor: {
            "reference": "none" if "none" in levels else levels[0],
            "columns": columns,
            "levels": [{"level": level, "cells": []} for level in levels],
        }
        for factor, levels in order.items()
    }
    left_out = {(arm_key(one.levels, order), one.seed, one.dir) for one in doc.runs.excluded}
    counted = [run for run in runs if (arm_key(run.levels, order), run.seed, run.dir) not in left_out]
    for column in columns:
        valid = [run for run in counted if rejection(run, column) is None]
        for factor, entry in found.items():
            others = [other for other in order if other != factor]
            grid = Grid.of(column, valid, runs, factor, others, order[factor], doc.rule.sequential)
            values = [grid.values(level_key(level)) for level in order[factor]]
            reference = values[order[factor].index(entry["reference"])]
            for row, mine in zip(entry["levels"], values, strict=True):
                row["cells"].append(Cell.of(mine, reference, doc.rule.overlap))
    return found


@dataclass(frozen=True)
class Cell:
    """A level by one metric: the mean over seeds, and the paired difference to the reference, with their intervals."""

    n: int
    mean: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None

    @classmethod
    def of(cls, values: Sequence[float | None], reference: Sequence[float | None], overlap: float) -> "Cell":
        """The cell of one value by seed, and those of the reference; None where there is none."""
        known = [value for value in values if value is not None]
        return cls(len(known), *interval(known, overlap), *interval(list(by_seed(values, reference)), overlap))


def factor_section(matrices: Mapping[str, Any], doc: Verdict, factor: str) -> list[str]:
    """Levels against perturbations: the mean with its interval, and the paired difference to the reference."""
    found = matrices.get(factor)
    if not found:
        return []
    reference = found["reference"]
    rows = []
    for row in found["levels"]:
        mine = level_key(row["level"]) == level_key(reference)
        cells = [_html_cell(*one, mine) for one in zip(found["columns"], row["cells"], strict=True)]
        rows.append(("", [escape(text(row["level"])), *cells]))
    areas = any(column.startswith("invariance/") for column in found["columns"])
    said = (
        "Each cell: mean ± half of its 95 % interval over seeds, below it the paired difference to "
        f"<code>{escape(text(reference))}</code>, in colour where its interval leaves out zero. "
        + ("<code>invariance/…</code> is the mean accuracy over the points of the curve. " if areas else "")
        + "<code>gap/acc</code> is training minus validation accuracy, without augmentation: less is less overfitting. "
        "The intervals are not adjusted for their number."
    )
    title = "What each level buys" if areas else "Overfitting"
    table = html.table([html.short_names([factor])[0], *found["columns"]], rows, words=1)
    return [f"<h3>{title}</h3>", f"<p>{said}</p>", table]


def _html_cell(column: str, cell: Cell, is_reference: bool) -> str:
    if cell.mean is None:
        return "–"
    said = f"{cell.mean:.3f}" + html.half_interval(cell.mean, cell.low)
    if is_reference or cell.difference is None:
        return said
    below = f"{cell.difference:+.3f}" + html.half_interval(cell.difference, cell.difference_low)
    kind = ""
    low, high = cell.difference_low, cell.difference_high
    if low is not None and high is not None and not low <= 0 <= high:
        better = (cell.difference > 0) != (column in LESS_IS_BETTER)
        kind = " class=v-best" if better else " class=v-worse"
    return f"{said}<br><span{kind}>{below}</span>"
