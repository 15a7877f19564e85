"""The verdict in pictures. Each is small enough to be read on a phone; a page lays them side by side."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evidence.analyses import findings
from pipeline.evidence.document import Arm, FactorVerdict, LevelVerdict, Verdict
from pipeline.evidence.paired import by_seed
from pipeline.evidence.run import Run, level_key
from pipeline.evidence.sentence import FIRST, text
from pipeline.evidence.style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    clip,
    count_ticks,
    legend_below,
    name_of,
    new_axes,
    style,
)
from pipeline.perturbations import PERTURBATIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figures(doc: Verdict, runs: Sequence[Run]) -> dict[str, "Figure"]:
    """Every plot that `doc` and `runs` have data for, by a name that is a file name too.

    Per factor: FACTOR.seeds (each seed a dot, its dots joined across levels), FACTOR.difference (to the
    best, with 95 % intervals), FACTOR.curve.METRIC, FACTOR.invariance_KIND; data.limit_train.examples, the
    learning curve against the number of training examples; for the sweep: cost.parameters and
    cost.macs against the metric; before all of them those of the ANALYSES that found something.
    The figures belong to no window and no pyplot state: drop them and they are gone.
    """
    made: dict[str, Figure] = {}
    for _, analysis, found in findings(doc):
        made |= analysis.figures(found, doc)
    with style():
        for factor, entry in doc.factors.items():
            shown = [level for level in entry.levels if level.n > 0]
            if shown:
                made[f"{name_of(factor)}.seeds"] = _seeds(doc, factor, entry, shown)
            if len(shown) > 1 and len(entry.seeds) > 1:
                made[f"{name_of(factor)}.difference"] = _difference(doc, factor, entry, shown)
            made |= _curves(doc, runs, [level.level for level in entry.levels], factor)
            if factor == "data.limit_train" and (figure := _sizes(doc, runs)):
                made[f"{name_of(factor)}.examples"] = figure
        if not doc.factors:
            made |= _curves(doc, runs, [None], None)
        for what, name, axis in (
            ("parameters", "parameters", "parameters"),
            ("macs", "MACs", "multiply-accumulates per input"),
        ):
            costs = [(getattr(arm, what), arm) for arm in doc.arms if arm.mean is not None and getattr(arm, what)]
            if len({cost for cost, _ in costs}) > 1:
                made[f"cost.{what}"] = _cost(doc, costs, name, axis)
    return made


def _rows(axes: "Axes", levels: Sequence[LevelVerdict], factor: str) -> None:
    """Levels as rows, first on top, as in the table."""
    names = [clip(text(level.level)) for level in levels]
    axes.set_yticks(range(len(levels)), names)
    axes.set_ylim(len(levels) - 0.5, -0.5)
    axes.set_ylabel(factor.rsplit(".", 1)[-1])
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=5)


def _seeds(doc: Verdict, factor: str, entry: FactorVerdict, levels: list[LevelVerdict]) -> "Figure":
    """Each seed's value at each level, joined across levels: parallel lines mean that levels differ alike."""
    figure, axes = new_axes(1.35 + 0.42 * max(len(levels), 2))
    values_LS = np.array([level.values for level in levels], float)  # NaN where a level had ended
    rows = np.arange(len(levels))
    axes.plot(values_LS, rows, "-", color=FAINT, lw=1.1, label=["one seed", *[None] * (len(values_LS[0]) - 1)])
    axes.plot(np.nanmean(values_LS, axis=1), rows, "|", color=INK, ms=20, mew=2.6, ls="", label="mean")
    for row, values_S in enumerate(values_LS):
        axes.plot(values_S, np.full(len(values_S), row), "o", color=COLOURS[row % len(COLOURS)], ms=6, alpha=0.9)
    _rows(axes, levels, factor)
    axes.set_title("Every seed")
    axes.set_xlabel(doc.metric)
    legend_below(figure)
    return figure


def _difference(doc: Verdict, factor: str, entry: FactorVerdict, levels: list[LevelVerdict]) -> "Figure":
    """Level minus best: each seed, the mean and its interval, over a band of what is too small to matter."""
    figure, axes = new_axes(1.35 + 0.42 * max(len(levels), 2))
    best = next(level for level in levels if level.verdict in FIRST)
    effect = doc.smallest_effect
    if effect > 0:
        axes.axvspan(-effect, effect, color="#e8f1f8", zorder=0, label=f"within ±{effect:g}")
    axes.axvline(0, color=FAINT, lw=1)
    axes.plot([], [], "o", color=FAINT, ms=4, label="one seed")
    axes.errorbar([], [], xerr=[], fmt="s", color=INK, ms=6, lw=2, capsize=4, label="mean, 95 % interval")
    if any(level.verdict == "too few seeds" for level in levels):
        axes.plot([], [], "s", color=INK, mfc="white", ms=6, label="too few seeds")
    for row, level in enumerate(levels):
        colour = COLOURS[row % len(COLOURS)]
        if level is best:
            axes.plot(0, row, "D", color=colour, ms=8)
            continue
        each = by_seed(level.values, best.values)
        axes.plot(each, np.full(len(each), row + 0.24), "o", color=FAINT, ms=4)
        if level.difference is None:  # the two met at no seed
            continue
        # Of one seed there is no interval.
        low, high = (level.difference, level.difference) if level.low is None else level.interval
        axes.errorbar(
            level.difference,
            row,
            xerr=[[level.difference - low], [high - level.difference]],
            fmt="s",
            color=colour,
            mfc="white" if level.verdict == "too few seeds" else colour,
            ms=6.5,
            lw=2,
            capsize=4,
        )
    _rows(axes, levels, factor)
    name = clip(text(best.level))
    axes.set_title(f"Difference to {name}" + (", paired by seed" if len(name) < 12 else ""))  # beside long level names
    axes.set_xlabel(f"difference in {doc.metric}")
    legend_below(figure)
    return figure


def _curves(doc: Verdict, runs: Sequence[Run], levels: list[Any], factor: str | None) -> dict[str, "Figure"]:
    """What there is against the epoch, and against the amount of each perturbation."""
    start = f"{name_of(factor)}." if factor else ""
    by_name = {f"{start}curve.{name_of(curve)}": _curve(levels, factor, curve, runs) for curve in _shown(doc, runs)}
    for kind in PERTURBATIONS:
        curve = f"invariance/{kind}"
        by_name[start + name_of(curve)] = _curve(levels, factor, curve, runs, kind)
    return {name: figure for name, figure in by_name.items() if figure}


def _shown(doc: Verdict, runs: Sequence[Run]) -> list[str]:
    """The curves by epoch worth showing: the metric as validation saw it, then the losses."""
    known = {name for run in runs for name in run.curves if not name.startswith("invariance/")}
    kind = doc.metric.rsplit("/", 1)[-1]
    wanted = [doc.metric, f"val/{kind}", "val/loss", "train/loss"]
    return [name for name in dict.fromkeys(wanted) if name in known][:3] or sorted(known)[:2]


def _curve(
    levels: list[Any], factor: str | None, curve: str, runs: Sequence[Run], kind: str | None = None
) -> "Figure | None":
    """Mean over seeds per level, in a band from the lowest seed to the highest; `kind` is that of a perturbation."""
    figure, axes = new_axes(3.3)
    drawn = 0
    for i, level in enumerate(levels):
        mine = [
            run
            for run in runs
            if run.status == "finished"
            and run.curves.get(curve)
            and (factor is None or level_key(run.levels[factor]) == level_key(level))
        ]
        per_seed: dict[int, dict[float, list[float]]] = {}
        for run in mine:
            for epoch, value in run.curves[curve]:
                if math.isfinite(value):
                    per_seed.setdefault(run.seed, {}).setdefault(epoch, []).append(value)
        epochs = sorted({epoch for points in per_seed.values() for epoch in points})
        if not epochs:
            continue
        rows = [[float(np.mean(points[epoch])) for points in per_seed.values() if epoch in points] for epoch in epochs]
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        label = None if factor is None else clip(text(level))
        axes.fill_between(
            epochs, [min(row) for row in rows], [max(row) for row in rows], color=colour, alpha=0.15, lw=0
        )
        axes.plot(
            epochs,
            [float(np.mean(row)) for row in rows],
            color=colour,
            marker=marker,
            ms=4,
            lw=1.8,
            markevery=max(len(epochs) // 10, 1),
            label=label,
        )
        drawn += 1
    if not drawn:
        return None
    if kind is None:
        axes.set_xlabel("epoch")
        axes.set_title(curve)
        axes.locator_params(axis="x", integer=True, nbins=8)
    else:
        perturbation = PERTURBATIONS[kind]
        axes.set_xlabel(f"{kind} ({perturbation.label})")
        axes.set_title("Accuracy on perturbed test images")
        if perturbation.ticks is not None:
            axes.set_xticks(perturbation.ticks)
    if factor is not None:
        legend_below(figure, factor.rsplit(".", 1)[-1])
    return figure


def _sizes(doc: Verdict, runs: Sequence[Run]) -> "Figure | None":
    """The metric, and dashed the training accuracy, against the number of training examples.

    One line for each level of the first other factor; mean over the rest, in a band from the lowest seed to the
    highest.
    """
    others = [factor for factor in doc.factors if factor != "data.limit_train"][:1]
    levels = [level.level for level in doc.factors[others[0]].levels] if others else [None]
    figure, axes = new_axes(3.4)
    for i, level in enumerate(levels):
        for name, line in ((doc.metric, "-"), ("train/acc", "--")):
            points: dict[int, dict[int, list[float]]] = {}
            for run in runs:
                mine = not others or level_key(run.levels[others[0]]) == level_key(level)
                if mine and run.status == "finished" and run.examples and name in run.metrics:
                    points.setdefault(run.examples, {}).setdefault(run.seed, []).append(run.metrics[name])
            if len(points) < 2:
                continue
            examples = sorted(points)
            rows = [[float(np.mean(values)) for values in points[n].values()] for n in examples]
            look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)]}
            axes.fill_between(examples, [min(r) for r in rows], [max(r) for r in rows], alpha=0.15, lw=0, **look)
            label = name if not others else f"{clip(text(level))} {name}"
            marker = MARKERS[i % len(MARKERS)]
            axes.plot(examples, [float(np.mean(r)) for r in rows], line, marker=marker, ms=4.5, label=label, **look)
    if not axes.lines:
        return None
    axes.set_xscale("log")
    count_ticks(axes)
    axes.set_title("Learning curve")
    axes.set_xlabel("training examples")
    legend_below(figure)
    return figure


def _cost(doc: Verdict, costs: list[tuple[float, Arm]], name: str, axis: str) -> "Figure":
    """Each arm's metric against what it costs: colour by the first factor, shape by the second."""
    figure, axes = new_axes(3.6)
    factors = list(doc.factors)[:2]
    ranks = [{level_key(level.level): i for i, level in enumerate(doc.factors[factor].levels)} for factor in factors]
    points = [(cost, arm.mean) for cost, arm in costs if arm.mean is not None]
    for (cost, mean), (_, arm) in zip(points, costs, strict=True):
        first, second = ([rank[level_key(arm.levels[f])] for f, rank in zip(factors, ranks, strict=True)] + [0, 0])[:2]
        axes.errorbar(
            cost,
            mean,
            yerr=arm.sd,
            fmt=MARKERS[second % len(MARKERS)],
            color=COLOURS[first % len(COLOURS)],
            ecolor="#c4c8cc",
            elinewidth=1,
            ms=6.5,
            alpha=0.9,
        )
    front = _front(points, doc.mode)
    axes.plot([cost for cost, _ in front], [mean for _, mean in front], "--", color=FAINT, lw=1.2, zorder=1)
    for i, (factor, rank) in enumerate(zip(factors, ranks, strict=True)):
        short = factor.rsplit(".", 1)[-1]
        for level in doc.factors[factor].levels:
            at = rank[level_key(level.level)]
            look: dict[str, Any] = (
                {"marker": "o", "color": COLOURS[at % len(COLOURS)]}
                if i == 0
                else {"marker": MARKERS[at % len(MARKERS)], "color": FAINT}
            )
            axes.plot([], [], ls="", label=f"{short} {clip(text(level.level), 12)}", **look)
    axes.plot([], [], "--", color=FAINT, label="none cheaper is better")
    if max(points)[0] > 5 * min(points)[0]:
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=5)
    count_ticks(axes)
    axes.set_title(f"{doc.metric} against {name}")
    axes.set_xlabel(axis)
    axes.set_ylabel(f"{doc.metric} (mean ± sd)")
    legend_below(figure)
    return figure


def _front(points: list[tuple[float, float]], mode: str) -> list[tuple[float, float]]:
    """The (cost, mean) that no other one beats at its cost or less (Pareto), by rising cost."""
    sign = 1 if mode == "max" else -1
    front: list[tuple[float, float]] = []
    for cost, mean in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * mean > sign * front[-1][1]:
            front.append((cost, mean))
    return front
