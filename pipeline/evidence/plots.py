"""The verdict in pictures. Each is small enough to be read on a phone; a page lays them side by side."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evidence.run import Run, level_key
from pipeline.evidence.sentence import FIRST, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): eight colours that colour-blind readers can tell apart; the pale yellow goes last.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
PERTURBATIONS = {
    "invariance/rotation": "rotation (degrees counterclockwise)",
    "invariance/scale": "scale (times the size)",
    "invariance/shift": "shift (share of the side)",
}
INK, FAINT = "#222222", "#9aa0a6"
WIDTH_IN = 4.6
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a page looks the same wherever it is made
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e6e8",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "svg.hashsalt": "convtrial",
    "svg.fonttype": "path",
    "axes.formatter.useoffset": False,
}


@contextmanager
def style() -> Iterator[None]:
    """Our look for the figures made or saved inside, and nobody else's."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def figures(doc: dict[str, Any], runs: Sequence[Run]) -> dict[str, "Figure"]:
    """Every plot that `doc` and `runs` have data for, by a name that is a file name too.

    Per factor: FACTOR.seeds (each seed a dot, its dots joined across levels), FACTOR.difference (to the
    best, with 95 % intervals), FACTOR.curve.METRIC, FACTOR.invariance_KIND; data.limit_train.examples, the
    learning curve against the number of training examples; for the sweep: cost.parameters and
    cost.macs against the metric; of designs that have them, layer_transfer, layer_transfer.difference, quadrants.
    The figures belong to no window and no pyplot state: drop them and they are gone.
    """
    from pipeline.evidence import layers, quadrants  # which draw with what is here

    made: dict[str, Figure] = {}
    if doc.get("layers"):
        made |= layers.figures(doc["layers"])
    if doc.get("quadrants"):
        made |= quadrants.figures(doc["quadrants"], doc["metric"])
    with style():
        for factor, entry in doc["factors"].items():
            shown = [level for level in entry["levels"] if level["n"] > 0]
            if shown:
                made[f"{name_of(factor)}.seeds"] = _seeds(doc, factor, entry, shown)
            if len(shown) > 1 and len(entry["seeds"]) > 1:
                made[f"{name_of(factor)}.difference"] = _difference(doc, factor, entry, shown)
            for curve in _curves_of(doc, runs):
                if figure := _curve(entry["levels"], factor, curve, runs):
                    made[f"{name_of(factor)}.curve.{name_of(curve)}"] = figure
            for curve, xlabel in PERTURBATIONS.items():
                if figure := _curve(entry["levels"], factor, curve, runs, xlabel):
                    made[f"{name_of(factor)}.{name_of(curve)}"] = figure
            if factor == "data.limit_train" and (figure := _sizes(doc, runs)):
                made[f"{name_of(factor)}.examples"] = figure
        if not doc["factors"]:
            for curve in _curves_of(doc, runs):
                if figure := _curve([{"level": None}], None, curve, runs):
                    made[f"curve.{name_of(curve)}"] = figure
            for curve, xlabel in PERTURBATIONS.items():
                if figure := _curve([{"level": None}], None, curve, runs, xlabel):
                    made[name_of(curve)] = figure
        for what, name in (("parameters", "parameters"), ("macs", "multiply-accumulates per input")):
            if len({arm[what] for arm in doc["arms"] if arm["mean"] is not None and arm[what]}) > 1:
                made[f"cost.{what}"] = _cost(doc, what, name)
    return made


def name_of(key: str) -> str:
    """A config key or metric as part of a file name."""
    return re.sub(r"[^\w.-]", "_", key)


def _axes(height_in: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    return figure, figure.add_subplot()


def _rows(axes: "Axes", levels: Sequence[dict[str, Any]], factor: str) -> None:
    """Levels as rows, first on top, as in the table."""
    names = [_clip(text(level["level"])) for level in levels]
    axes.set_yticks(range(len(levels)), names)
    axes.set_ylim(len(levels) - 0.5, -0.5)
    axes.set_ylabel(factor.rsplit(".", 1)[-1])
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=5)


def _seeds(doc: dict[str, Any], factor: str, entry: dict[str, Any], levels: list[dict[str, Any]]) -> "Figure":
    """Each seed's value at each level, joined across levels: parallel lines mean that levels differ alike."""
    figure, axes = _axes(1.35 + 0.42 * max(len(levels), 2))
    values_LS = np.array([level["values"] for level in levels])
    rows = np.arange(len(levels))
    axes.plot(values_LS, rows, "-", color=FAINT, lw=1.1, label=["one seed", *[None] * (len(values_LS[0]) - 1)])
    axes.plot(values_LS.mean(axis=1), rows, "|", color=INK, ms=20, mew=2.6, ls="", label="mean")
    for row, values_S in enumerate(values_LS):
        axes.plot(values_S, np.full(len(values_S), row), "o", color=COLOURS[row % len(COLOURS)], ms=6, alpha=0.9)
    _rows(axes, levels, factor)
    axes.set_title("Every seed")
    axes.set_xlabel(doc["metric"])
    _legend_below(figure)
    return figure


def _difference(doc: dict[str, Any], factor: str, entry: dict[str, Any], levels: list[dict[str, Any]]) -> "Figure":
    """Level minus best: each seed, the mean and its interval, over a band of what is too small to matter."""
    figure, axes = _axes(1.35 + 0.42 * max(len(levels), 2))
    best = next(level for level in levels if level["verdict"] in FIRST)
    effect = doc["smallest_effect"]
    if effect > 0:
        axes.axvspan(-effect, effect, color="#e8f1f8", zorder=0, label=f"within ±{effect:g}")
    axes.axvline(0, color=FAINT, lw=1)
    axes.plot([], [], "o", color=FAINT, ms=4, label="one seed")
    axes.errorbar([], [], xerr=[], fmt="s", color=INK, ms=6, lw=2, capsize=4, label="mean, 95 % interval")
    if any(level["verdict"] == "too few seeds" for level in levels):
        axes.plot([], [], "s", color=INK, mfc="white", ms=6, label="too few seeds")
    for row, level in enumerate(levels):
        colour = COLOURS[row % len(COLOURS)]
        if level is best:
            axes.plot(0, row, "D", color=colour, ms=8)
            continue
        each = np.array(level["values"]) - np.array(best["values"])
        axes.plot(each, np.full(len(each), row + 0.24), "o", color=FAINT, ms=4)
        axes.errorbar(
            level["difference"],
            row,
            xerr=[[level["difference"] - level["low"]], [level["high"] - level["difference"]]],
            fmt="s",
            color=colour,
            mfc="white" if level["verdict"] == "too few seeds" else colour,
            ms=6.5,
            lw=2,
            capsize=4,
        )
    _rows(axes, levels, factor)
    name = _clip(text(best["level"]))
    axes.set_title(f"Difference to {name}" + (", paired by seed" if len(name) < 12 else ""))  # beside long level names
    axes.set_xlabel(f"difference in {doc['metric']}")
    _legend_below(figure)
    return figure


def _curves_of(doc: dict[str, Any], runs: Sequence[Run]) -> list[str]:
    """The curves worth showing: the metric as validation saw it, then the losses."""
    known = {name for run in runs for name in run.curves} - set(PERTURBATIONS)
    kind = doc["metric"].rsplit("/", 1)[-1]
    wanted = [doc["metric"], f"val/{kind}", "val/loss", "train/loss"]
    return [name for name in dict.fromkeys(wanted) if name in known][:3] or sorted(known)[:2]


def _curve(
    levels: list[dict[str, Any]], factor: str | None, curve: str, runs: Sequence[Run], xlabel: str = "epoch"
) -> "Figure | None":
    """Mean over seeds per level, in a band from the lowest seed to the highest."""
    figure, axes = _axes(3.3)
    drawn = 0
    for i, level in enumerate(levels):
        mine = [
            run
            for run in runs
            if run.status == "finished"
            and run.curves.get(curve)
            and (factor is None or level_key(run.levels[factor]) == level_key(level["level"]))
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
        label = None if factor is None else _clip(text(level["level"]))
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
    axes.set_xlabel(xlabel)
    if xlabel == "epoch":
        axes.set_title(curve)
        axes.locator_params(axis="x", integer=True, nbins=8)
    else:
        axes.set_title("Accuracy on perturbed test images")
        if "degrees" in xlabel:
            axes.set_xticks(range(-90, 91, 30))
    if factor is not None:
        _legend_below(figure, factor.rsplit(".", 1)[-1])
    return figure


def _sizes(doc: dict[str, Any], runs: Sequence[Run]) -> "Figure | None":
    """The metric, and dashed the training accuracy, against the number of training examples.

    One line for each level of the first other factor; mean over the rest, in a band from the lowest seed to the
    highest.
    """
    others = [factor for factor in doc["factors"] if factor != "data.limit_train"][:1]
    levels = doc["factors"][others[0]]["levels"] if others else [{"level": None}]
    figure, axes = _axes(3.4)
    for i, level in enumerate(levels):
        for name, line in ((doc["metric"], "-"), ("train/acc", "--")):
            points: dict[int, dict[int, list[float]]] = {}
            for run in runs:
                mine = not others or level_key(run.levels[others[0]]) == level_key(level["level"])
                if mine and run.status == "finished" and run.examples and name in run.metrics:
                    points.setdefault(run.examples, {}).setdefault(run.seed, []).append(run.metrics[name])
            if len(points) < 2:
                continue
            examples = sorted(points)
            rows = [[float(np.mean(values)) for values in points[n].values()] for n in examples]
            look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)]}
            axes.fill_between(examples, [min(r) for r in rows], [max(r) for r in rows], alpha=0.15, lw=0, **look)
            label = name if not others else f"{_clip(text(level['level']))} {name}"
            marker = MARKERS[i % len(MARKERS)]
            axes.plot(examples, [float(np.mean(r)) for r in rows], line, marker=marker, ms=4.5, label=label, **look)
    if not axes.lines:
        return None
    axes.set_xscale("log")
    _count_ticks(axes)
    axes.set_title("Learning curve")
    axes.set_xlabel("training examples")
    _legend_below(figure)
    return figure


def _cost(doc: dict[str, Any], what: str, name: str) -> "Figure":
    """Each arm's metric against what it costs: colour by the first factor, shape by the second."""
    figure, axes = _axes(3.6)
    factors = list(doc["factors"])[:2]
    ranks = [
        {level_key(level["level"]): i for i, level in enumerate(doc["factors"][factor]["levels"])} for factor in factors
    ]
    arms = [arm for arm in doc["arms"] if arm["mean"] is not None and arm[what]]
    for arm in arms:
        first, second = ([rank[level_key(arm["levels"][f])] for f, rank in zip(factors, ranks, strict=True)] + [0, 0])[
            :2
        ]
        axes.errorbar(
            arm[what],
            arm["mean"],
            yerr=arm["sd"],
            fmt=MARKERS[second % len(MARKERS)],
            color=COLOURS[first % len(COLOURS)],
            ecolor="#c4c8cc",
            elinewidth=1,
            ms=6.5,
            alpha=0.9,
        )
    front = _front(arms, what, doc["mode"])
    axes.plot([arm[what] for arm in front], [arm["mean"] for arm in front], "--", color=FAINT, lw=1.2, zorder=1)
    for i, (factor, rank) in enumerate(zip(factors, ranks, strict=True)):
        short = factor.rsplit(".", 1)[-1]
        for level in doc["factors"][factor]["levels"]:
            at = rank[level_key(level["level"])]
            look: dict[str, Any] = (
                {"marker": "o", "color": COLOURS[at % len(COLOURS)]}
                if i == 0
                else {"marker": MARKERS[at % len(MARKERS)], "color": FAINT}
            )
            axes.plot([], [], ls="", label=f"{short} {_clip(text(level['level']), 12)}", **look)
    axes.plot([], [], "--", color=FAINT, label="none cheaper is better")
    costs = [arm[what] for arm in arms]
    if max(costs) > 5 * min(costs):
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=5)
    _count_ticks(axes)
    axes.set_title(f"{doc['metric']} against {what if what == 'parameters' else 'MACs'}")
    axes.set_xlabel(name)
    axes.set_ylabel(f"{doc['metric']} (mean ± sd)")
    _legend_below(figure)
    return figure


def _front(arms: list[dict[str, Any]], what: str, mode: str) -> list[dict[str, Any]]:
    """The arms that no other one beats at their cost or less (Pareto), by rising cost."""
    sign = 1 if mode == "max" else -1
    front: list[dict[str, Any]] = []
    for arm in sorted(arms, key=lambda arm: (arm[what], -sign * arm["mean"])):
        if not front or sign * arm["mean"] > sign * front[-1]["mean"]:
            front.append(arm)
    return front


def _count_ticks(axes: "Axes") -> None:
    """Counts on the x axis as 20k, not 2 x 10^4."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    def short(value: float, _: object) -> str:
        for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return f"{value / size:g}{unit}"
        return f"{value:g}"

    axes.xaxis.set_major_formatter(FuncFormatter(short))
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _legend_below(figure: "Figure", title: str | None = None) -> None:
    """A legend under the axes, in as many columns as its words allow."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        columns = max(1, min(len(labels), int(56 / (max(map(len, labels)) + 6))))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title)


def _clip(name: str, length: int = 18) -> str:
    """`name`, cut in the middle where it would squeeze the plot; `$` is not the start of a formula."""
    if len(name) > length:
        name = name[: length // 2] + "…" + name[-(length // 2 - 1) :]
    return name.replace("$", r"\$")
