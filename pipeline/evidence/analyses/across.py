"""Whether an answer carries over: the same comparisons at several levels of one factor, a row for each level.

Nothing is judged here: each cell is one of the verdict's contrasts, with the interval that holds for all at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from pipeline.config import Experiment
from pipeline.evidence import html
from pipeline.evidence.document import ContrastVerdict, Verdict
from pipeline.evidence.rule import NOT_WORSE
from pipeline.evidence.run import Run, level_key
from pipeline.evidence.sentence import text
from pipeline.evidence.style import COLOURS, FAINT, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_IN, COLUMN_IN, LEFT_IN = 0.42, 2.5, 1.3


@dataclass(frozen=True)
class Across:
    """One factor's levels as rows, comparisons as columns, and which contrast of the verdict stands in each cell."""

    factor: str
    levels: list[Any]
    columns: list[dict[str, list[Any]]]
    cells: list[list[int | None]]  # by row and column, the place among the verdict's contrasts
    sentences: list[str]


def find(doc: Verdict, runs: Sequence[Run], question: Experiment) -> Across | None:
    """The largest such table that the verdict's contrasts make, of two rows and two columns at least; else None."""
    tables = [_table(doc, factor) for factor in doc.factors]
    whole = [one for one in tables if len(one.levels) > 1 and len(one.columns) > 1]
    return max(whole, key=lambda one: len(one.levels) * len(one.columns), default=None)


def _table(doc: Verdict, factor: str) -> Across:
    # By the verdict's own metric: of another one, more may be worse, and the column is not about it.
    mine = [
        (i, one)
        for i, one in enumerate(doc.contrasts)
        if list(one.at) == [factor] and not one.against and one.metric in (None, doc.metric)
    ]
    at = {level_key(one.at[factor]): one.at[factor] for _, one in mine}
    columns = {level_key(one.compare): one.compare for _, one in mine}
    places = {(level_key(one.at[factor]), level_key(one.compare)): i for i, one in mine}
    cells = [[places.get((row, column)) for column in columns] for row in at]
    said = [_sentence(doc, compare, [row[i] for row in cells], factor) for i, compare in enumerate(columns.values())]
    return Across(factor, list(at.values()), list(columns.values()), cells, said)


def _sentence(doc: Verdict, compare: dict[str, list[Any]], cells: Sequence[int | None], factor: str) -> str:
    by_word: dict[str, list[str]] = {}
    for i in cells:
        if i is not None:
            one = doc.contrasts[i]
            by_word.setdefault(_word(doc, one), []).append(text(one.at[factor]))
    said = "; ".join(f"{word} on {', '.join(levels)}" for word, levels in by_word.items())
    asked = [doc.contrasts[i] for i in cells if i is not None]
    no_worse = all((one.expects, one.outcome) == ("not_worse", "supported") for one in asked)
    alike = len(by_word) == 1 and "open" not in by_word
    carries = " It carries over." if None not in cells and (alike or no_worse) else ""
    return f"{_named(compare)}: {said}.{carries}"


def _word(doc: Verdict, one: ContrastVerdict) -> str:
    """better | worse | the same | not worse | open: of the first level, beyond chance."""
    if one.state == "open" or one.difference is None:
        return "open"
    if one.low is not None and one.high is not None and one.low <= 0 <= one.high:
        if max(abs(one.low), abs(one.high)) < one.margin:
            return "the same"
        return "not worse" if one.state == NOT_WORSE else "open"
    return "better" if (one.difference > 0) == (doc.mode == "max") else "worse"


def _named(compare: Mapping[str, list[Any]]) -> str:
    """kernel_size 3 against 1."""
    return ", ".join(f"{factor.rpartition('.')[2]} {text(a)} against {text(b)}" for factor, (a, b) in compare.items())


def section(found: Across, doc: Verdict, plots: Mapping[str, str]) -> list[str]:
    """A row for each level, a column for each comparison."""
    head = [html.short_names([found.factor])[0], *(escape(_named(one)) for one in found.columns)]
    rows = [
        ("", [escape(text(level)), *(_cell(doc, i) for i in row)])
        for level, row in zip(found.levels, found.cells, strict=True)
    ]
    said = (
        f"The same comparisons at each level of {escape(found.factor)}: the first less the second in "
        f"{escape(doc.metric)}, over the levels of all else. Intervals hold for all of the verdict at once."
    )
    return [
        "<h2>Does the answer carry over?</h2>",
        f"<p>{said}</p>",
        *(f"<p>{escape(one)}</p>" for one in found.sentences),
        html.figures(plots, ["across"]),
        html.table(head, rows, words=1),
    ]


def _cell(doc: Verdict, i: int | None) -> str:
    if i is None or doc.contrasts[i].difference is None:
        return "–"
    one = doc.contrasts[i]
    word = _word(doc, one)
    kind = {"better": "v-best", "worse": "v-worse", "the same": "v-none", "not worse": "v-none", "open": "v-few"}[word]
    ends = "" if one.low is None else f"<br>{one.low:+.3f} to {one.high:+.3f}"
    return f'{one.difference:+.3f}{ends}<br><span class="{kind}">{word}</span>'


def figures(found: Across, doc: Verdict) -> "dict[str, Figure]":
    """A panel for each comparison, its interval on each level beside the others."""
    from matplotlib.figure import Figure

    n = len(found.columns)
    with style():
        size = (LEFT_IN + COLUMN_IN * n, 1.1 + ROW_IN * len(found.levels))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, n, sharey=True, squeeze=False)[0]
        for j, (axes, compare) in enumerate(zip(panels, found.columns, strict=True)):
            places = [(row, cells[j]) for row, cells in enumerate(found.cells)]
            there = [(row, doc.contrasts[i]) for row, i in places if i is not None]
            margin = max(one.margin for _, one in there)
            axes.axvspan(-margin, margin, color="#eceff1", zorder=0)
            axes.axvline(0, color=FAINT, lw=1)
            for row, one in there:
                if one.difference is None:
                    continue
                colour = COLOURS[row % len(COLOURS)]
                if one.low is not None:
                    axes.plot([one.low, one.high], [row, row], color=colour, lw=2)
                axes.plot([one.difference], [row], "o", color=colour, ms=6)
            axes.set_title(_named(compare).replace(" against ", "\nagainst "), parse_math=False)
            axes.set_yticks(range(len(found.levels)), [text(level) for level in found.levels], parse_math=False)
            axes.set_ylim(len(found.levels) - 0.4, -0.6)
            axes.locator_params(axis="x", nbins=4)
        figure.supxlabel(f"difference in {doc.metric}; grey: below the smallest effect of interest", fontsize=9.5)
    return {"across": figure}


def lines(found: Across, doc: Verdict) -> list[str]:
    """A sentence for each comparison."""
    return found.sentences
