"""Which transfer strategy is best with little and much data, from a similar and a dissimilar source; and what following
an advice would have cost.

`experiment.quadrants` names two factors, size first. The first level of each is the small or the similar one, the last
the large or the dissimilar one; what lies between is in no quadrant.
"""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Experiment
from pipeline.evidence import html, rule
from pipeline.evidence.arms import finite
from pipeline.evidence.document import FactorVerdict, Point, Verdict
from pipeline.evidence.paired import Floats, interval, quantisation
from pipeline.evidence.results import Results
from pipeline.evidence.run import Run, level_key, rejection
from pipeline.evidence.sentence import number, text
from pipeline.evidence.style import COLOURS, FAINT, INK, style
from pipeline.evidence.verdict import verdict
from pipeline.transfer.strategies import QUADRANTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRATEGY = "transfer"
TABLE = QUADRANTS  # the course notes'
ADVICE = "auto"  # the level that lets the advisor choose


def find(doc: Verdict, runs: Sequence[Run], question: Experiment) -> dict[str, Any] | None:
    """What the runs of a verdict `doc` say in each quadrant; None where strategy, size and source are not all factors.

    {"cells": [{"size", "source", "levels", "table", "best", "strategies": [as the levels of a verdict], "regret":
    {advice: point}, "sentence"}, ...], "regret": {advice: point}, "sentences": [...]}. A regret is by how much the
    quadrant's best strategy leads the one that an advice names; over all, its mean over the quadrants. Advices are the
    table, `auto` where it was run, and each strategy as if it were advised always.

    Its mean is over the seeds, at each of which the best strategy is the one that the other seeds pick: picked from the
    seed that it is compared at, it would be too good. Its interval is that of a comparison with the best (Hsu 1984,
    Annals of Statistics 12:1136-1144), whichever that is: from the least to the most that the simultaneous intervals of
    all differences between strategies, in all quadrants, leave for the lead of any other over the one advised.
    """
    factors = question.quadrants
    if len(factors) != 2 or not {STRATEGY, *factors} <= doc.factors.keys():
        return None
    ends = [[one.level for one in doc.factors[factor].levels] for factor in factors]
    if any(len(levels) < 2 for levels in ends):
        return None
    valid = [run for run in runs if rejection(run, doc.metric) is None]
    results = Results.of(runs, valid, list(doc.factors), doc.metric)
    cells: list[dict[str, Any]] = []
    regrets: list[dict[str, dict[int, float]]] = []
    for (size, source), advised in TABLE.items():
        here = [ends[0][0 if size == "small" else -1], ends[1][0 if source == "similar" else -1]]
        levels = dict(zip(factors, here, strict=True))
        entry = _compare_strategies(doc, runs, levels)
        if entry is None:
            continue
        seeds, best, named = _best_and_regrets(doc, entry, advised)
        regrets.append({name: dict(zip(seeds, d, strict=True)) for name, d in named.items()})
        where = ", ".join(f"{f.rpartition('.')[2]}={text(level)}" for f, level in levels.items())
        cells.append(
            {
                "size": size,
                "source": source,
                "levels": levels,
                "table": advised,
                "best": best,
                "strategies": entry.levels,
                "seeds": entry.seeds,
                "sentence": f"{size}, {source} ({where}): {_without_factor(entry.sentence)} ",
            }
        )
    if not cells:
        return None
    intervals = _ends(doc, results, cells)
    for cell, by_seed, known in zip(cells, regrets, intervals, strict=True):
        cell["regret"] = {name: _point(list(by_seed[name].values()), [known[name]]) for name in by_seed}
        cell["sentence"] += _table_in_words(
            cell["table"], cell["best"], cell["regret"].get("table"), doc.smallest_effect
        )
    over_all = _over_all(regrets, intervals)
    return {
        "factors": list(factors),
        "cells": cells,
        "regret": over_all,
        "sentences": [*(cell["sentence"] for cell in cells), *_summary(over_all, len(cells), doc.smallest_effect)],
    }


def _compare_strategies(doc: Verdict, runs: Sequence[Run], levels: Mapping[str, Any]) -> FactorVerdict | None:
    """The strategies as the factor of a verdict on the runs that have `levels`; None without a seed that has all."""
    known = [one.level for one in doc.factors[STRATEGY].levels]
    mine = [run for run in runs if all(level_key(run.levels[f]) == level_key(one) for f, one in levels.items())]
    if not mine:
        return None
    judged = verdict(mine, [STRATEGY], doc.metric, smallest_effect=doc.smallest_effect, mode=doc.mode,
                     n_test=doc.n_test, levels={STRATEGY: known},
                     looks=doc.rule.looks if doc.rule.sequential else None)  # fmt: skip
    entry: FactorVerdict = judged.factors[STRATEGY]
    return entry if _shared(entry) else None


def _shared(entry: FactorVerdict) -> list[int]:
    """The places of the seeds that every strategy has: of a sequential design some ended before others."""
    values = [one.values for one in entry.levels if one.n]
    return [i for i in range(len(entry.seeds)) if all(row[i] is not None for row in values)]


def _best_and_regrets(doc: Verdict, entry: FactorVerdict, advised: str) -> tuple[list[int], str, dict[str, Floats]]:
    """The seeds that all have, the quadrant's best strategy, and by how much each advice falls behind it at each."""
    sign = 1 if doc.mode == "max" else -1
    shared = _shared(entry)
    values = {one.level: np.array(one.values, float)[shared] for one in entry.levels if one.n}
    # `auto` is one of the others again: it cannot be the best by itself.
    candidates = [level for level in values if level != ADVICE] or list(values)

    def best_of(seeds: NDArray[np.intp]) -> str:
        return max(candidates, key=lambda level: (sign * values[level][seeds].mean(), level == entry.best))

    every = np.arange(len(shared))
    best = best_of(every)
    by_others = [best_of(np.delete(every, seed)) if len(every) > 1 else best for seed in every]
    least = np.array([values[level][seed] for seed, level in enumerate(by_others)])
    behind = {level: sign * (least - v) for level, v in values.items()}
    named = {f"always {level}": d for level, d in behind.items() if level != ADVICE}
    if advised in behind:
        named["table"] = behind[advised]
    if ADVICE in behind:
        named[ADVICE] = behind[ADVICE]
    return [entry.seeds[i] for i in shared], best, named


Ends = tuple[float, float]  # of an interval; NaN where there is none


def _ends(doc: Verdict, results: Results, cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Ends]]:
    """For each quadrant and advice the interval of its regret; all of them hold at once."""
    sign = 1 if doc.mode == "max" else -1
    there = [[level_key(one.level) for one in cell["strategies"] if one.n] for cell in cells]
    at = [{factor: level_key(level) for factor, level in cell["levels"].items()} for cell in cells]
    places = [(i, *pair) for i, known in enumerate(there) for pair in itertools.combinations(known, 2)]
    differences = [results.difference([{**at[i], STRATEGY: one} for one in pair]) for i, *pair in places]
    leads: list[dict[tuple[str, str], Ends]] = [{} for _ in cells]
    looks = doc.rule.looks if doc.rule.sequential else [len(results.seeds)]
    if differences and looks[0] >= 2:
        judged = rule.decide(
            sign * np.array([one.values for one in differences]),
            rule.boundary(np.array([one.weights for one in differences]), looks),
            doc.smallest_effect,
            floor=quantisation(doc.n_test, np.array([1])),
            overlap=doc.rule.overlap,
            tiny=rule.tiny(results.values),
        )
        for (i, one, other), low, high in zip(places, judged.low, judged.high, strict=True):
            leads[i][one, other], leads[i][other, one] = (float(low), float(high)), (-float(high), -float(low))
    return [_of_advices(cell, known, lead) for cell, known, lead in zip(cells, there, leads, strict=True)]


def _of_advices(
    cell: Mapping[str, Any], known: Sequence[str], leads: Mapping[tuple[str, str], Ends]
) -> dict[str, Ends]:
    """By advice: the leads of any other strategy over the one that it names."""

    def regret(mine: str) -> Ends:
        over = [leads.get((one, mine), (np.nan, np.nan)) for one in known if one not in (mine, level_key(ADVICE))]
        return max([0.0, *(low for low, _ in over)]), max([0.0, *(high for _, high in over)])

    found = {f"always {one.level}": regret(level_key(one.level)) for one in cell["strategies"] if one.n}
    if (advised := found.get(f"always {cell['table']}")) is not None:
        found["table"] = advised
    if (auto := found.pop(f"always {ADVICE}", None)) is not None:
        found[ADVICE] = auto
    return found


def _point(by_seed: Sequence[float], ends: Sequence[Ends]) -> Point:
    """A regret's mean over seeds, in the mean of its intervals in quadrants."""
    low, high = (finite(float(np.mean(side))) for side in zip(*ends, strict=True))
    return Point(len(by_seed), float(np.mean(by_seed)), low, high)


def _over_all(
    regrets: Sequence[Mapping[str, Mapping[int, float]]], ends: Sequence[Mapping[str, Ends]]
) -> dict[str, Point]:
    """Per advice that every quadrant has, the mean over the quadrants, of the seeds that all have."""
    names = [name for name in regrets[0] if all(name in one for one in regrets)]
    seeds = sorted(set.intersection(*(set(one[name]) for one in regrets for name in names)))
    return {
        name: _point(
            [float(np.mean([one[name][seed] for one in regrets])) for seed in seeds], [one[name] for one in ends]
        )
        for name in names
    }


def _without_factor(sentence: str) -> str:
    return sentence.removeprefix(f"{STRATEGY}: ")


def _table_in_words(advised: str, best: str, regret: Point | None, effect: float) -> str:
    if regret is None:
        return f"The table's {advised} was not run."
    if advised == best:
        return f"The table says {advised}, which has the best mean here."
    return f"The table says {advised}: regret {_with_interval(regret, effect)}."


def _with_interval(point: Point, effect: float) -> str:
    mean = number(point.mean, effect)
    if point.low is None:
        return f"{mean} (one seed)"
    low, high = number(point.low, effect), number(point.high, effect)
    return f"{mean} (95 % interval {low} to {high})"


def _summary(regret: Mapping[str, Point], cells: int, effect: float) -> list[str]:
    """The advices against each other."""
    said = []
    names = {"table": "the notes' table", ADVICE: "the advisor (auto)"}
    for name, who in names.items():
        if name in regret:
            said.append(f"Over {cells} quadrants the regret of {who} is {_with_interval(regret[name], effect)}.")
    always = {name: one.mean for name, one in regret.items() if name.startswith("always ") and one.mean is not None}
    if always:
        least = min(always, key=lambda name: always[name])
        lost = _with_interval(regret[least], effect)
        said.append(f"Of one strategy for all quadrants it is least for {least}: {lost}.")
    return said


def sentences(found: Mapping[str, Any], doc: Verdict) -> list[str]:
    """Each quadrant, then the advices against each other."""
    return found["sentences"]


def figures(found: Mapping[str, Any], doc: Verdict) -> dict[str, "Figure"]:
    """Strategies by quadrant: every seed, the mean and its interval; the table's choice is ringed."""
    from matplotlib.figure import Figure

    with style():
        strategies = [one.level for one in found["cells"][0]["strategies"]]
        figure = Figure(figsize=(7.4, 1.6 + 0.52 * len(strategies) * 2), layout="constrained")
        grid = figure.subplots(2, 2, sharex=True, sharey=True, squeeze=False)
        for cell in found["cells"]:
            axes = grid[0 if cell["size"] == "small" else 1][0 if cell["source"] == "similar" else 1]
            axes.set_title(f"{cell['size']}, {cell['source']}")
            for row, one in enumerate(cell["strategies"]):
                if not one.n:
                    continue
                colour = COLOURS[row % len(COLOURS)]
                values = [value for value in one.values if value is not None]
                mean, low, high = interval(values)
                axes.plot(values, [row] * len(values), "o", color=colour, ms=4.5, alpha=0.55)
                if low is not None:
                    axes.hlines(row, low, high, color=colour, lw=2)
                axes.plot(mean, row, "|", color=INK, ms=15, mew=2.4)
                if one.level == cell["table"]:
                    axes.plot(mean, row, "o", mfc="none", mec=INK, ms=17, mew=1.2, ls="")
            axes.grid(axis="y", visible=False)
        for axes in grid[1]:
            axes.set_xlabel(doc.metric)
        grid[0][0].set_yticks(range(len(strategies)), [text(level) for level in strategies])
        grid[0][0].set_ylim(len(strategies) - 0.5, -0.5)
        grid[0][0].plot([], [], "|", color=INK, ms=12, mew=2.4, label="mean")
        grid[0][0].plot([], [], "o", mfc="none", mec=INK, ms=11, ls="", label="the notes' table")
        grid[0][0].plot([], [], "-o", color=FAINT, ms=4.5, label="seeds, 95 % interval of the mean")
        figure.legend(loc="outside lower center", ncols=3)
    return {"quadrants": figure}


def section(found: Mapping[str, Any], doc: Verdict, plots: Mapping[str, str]) -> list[str]:
    """Which strategy is best in which quadrant, and what following an advice would have cost."""
    effect = doc.smallest_effect
    advices = list(found["regret"])
    rows = [
        ("", [f"{cell['size']}, {cell['source']}", escape(text(cell["best"])), escape(cell["table"]),
              *(_regret(cell["regret"].get(name), effect) for name in advices)])
        for cell in found["cells"]
    ]  # fmt: skip
    rows.append(("best", ["all", "", "", *(_regret(found["regret"][name], effect) for name in advices)]))
    head = ["quadrant", "best mean", "table", *(escape(name) for name in advices)]
    return [
        "<h2>Which strategy in which quadrant</h2>",
        *(f"<p>{html.prose(said)}</p>" for said in found["sentences"]),
        html.figures(plots, ["quadrants"]),
        "<h3>Regret of each advice</h3>",
        html.table(head, rows, words=3),
        '<p class="facts">By how much the strategy with the best mean of the quadrant leads the one that is '
        "advised, with the 95&nbsp;% interval of a comparison with the best (Hsu 1984): all of them hold at once. In "
        "the mean over seeds, the former is picked for each seed by the other ones.</p>",
    ]


def _regret(one: Point | None, effect: float) -> str:
    if one is None or one.mean is None:
        return "–"
    ends = "" if one.low is None else f" [{number(one.low, effect)}, {number(one.high, effect)}]"
    return number(one.mean, effect) + ends
