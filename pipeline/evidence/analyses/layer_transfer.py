"""How transferable each layer is: figure 2 of Yosinski et al. 2014 from a sweep over transfer.network and .depth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import Experiment
from pipeline.evidence import html
from pipeline.evidence.document import Point, Verdict
from pipeline.evidence.paired import interval
from pipeline.evidence.run import Run, rejection
from pipeline.evidence.sentence import number
from pipeline.evidence.style import COLOURS, FAINT, INK, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORK, DEPTH = "transfer.network", "transfer.depth"
# Warm for what comes from A, cold for B; dark for what is frozen, light for what is trained on.
LOOKS = {"AnB": (1, "s"), "AnB+": (5, "D"), "BnB": (0, "o"), "BnB+": (4, "^")}


def find(doc: Verdict, runs: Sequence[Run], question: Experiment) -> dict[str, Any] | None:
    """What the runs of a verdict `doc` say about transfer.network by transfer.depth; None where these are no factors.

    {"depths": [n, ...], "base": point, "networks": {network: [point by depth]}, "differences": {"BnB - baseB": [point
    by depth], ...}, "sentences": [...]}, a point being {"n", "mean", "low", "high"}: over seeds, with the plain 95 % t
    interval; differences are paired by seed. Over other factors the mean is taken first. baseB is the source of BnB.
    "within" has "base" and "networks" again with intervals for comparing points with one another, see `_within`.
    """
    if not {NETWORK, DEPTH} <= doc.factors.keys():
        return None
    metric = doc.metric
    values: dict[str, dict[int, dict[int, list[float]]]] = {}
    bases: dict[int, list[float]] = {}
    for run in runs:
        if rejection(run, metric) is not None:
            continue
        network, depth = str(run.levels[NETWORK]), int(run.levels[DEPTH])
        values.setdefault(network, {}).setdefault(depth, {}).setdefault(run.seed, []).append(run.metrics[metric])
        if network.startswith("B") and metric in run.base:
            bases.setdefault(run.seed, []).append(run.base[metric])
    by_seed = {
        network: {n: {seed: float(np.mean(v)) for seed, v in seeds.items()} for n, seeds in depths.items()}
        for network, depths in values.items()
    }
    base = {seed: float(np.mean(v)) for seed, v in bases.items()}
    depths = sorted({int(level.level) for level in doc.factors[DEPTH].levels})
    with_base = {**by_seed, "baseB": dict.fromkeys(depths, base)}
    pairs = [(one, "baseB") for one in LOOKS] + [("AnB", "BnB"), ("AnB+", "BnB+")]
    differences = {
        f"{one} - {other}": [_difference(with_base, one, other, [n]) for n in depths]
        for one, other in pairs
        if one in by_seed and with_base.get(other) and any(with_base[other].values())
    }
    base_within, within = _within(by_seed, base)
    return {
        "metric": metric,
        "depths": depths,
        "base": Point.of(list(base.values())),
        "networks": {
            network: [Point.of(list(by_seed[network].get(n, {}).values())) for n in depths]
            for network in LOOKS
            if network in by_seed
        },
        "within": {
            "base": base_within,
            "networks": {
                network: [within.get((network, n), Point.of([])) for n in depths]
                for network in LOOKS
                if network in by_seed
            },
        },
        "differences": {name: [Point.of(list(one.values())) for one in row] for name, row in differences.items()},
        "sentences": _sentences(with_base, depths, doc.smallest_effect, 1 if doc.mode == "max" else -1),
    }


def _within(
    by_seed: Mapping[str, Mapping[int, Mapping[int, float]]], base: Mapping[int, float]
) -> tuple[Point, dict[tuple[str, int], Point]]:
    """Points of baseB and of (network, n) whose intervals leave out what is common to all networks of a seed.

    Halves differ: on 2,000 images of Fashion-MNIST, baseB has 0.80 at one seed and 0.91 at another, and plain
    intervals (±0.15) hide every curve in those of the others. Each seed's mean over all networks is taken out and the
    interval widened by sqrt(M / (M - 1)) for M networks (Cousineau 2005, Morey 2008). Over the seeds that have all.
    """
    cells: dict[tuple[str, int], Mapping[int, float]] = {
        (network, n): values for network, depths in by_seed.items() for n, values in depths.items()
    }
    if base:
        cells["baseB", 0] = base
    seeds = sorted(set.intersection(*map(set, cells.values()))) if cells else []
    if not seeds or len(cells) < 2:
        each = {place: Point.of(list(values.values())) for place, values in cells.items()}
        return Point.of(list(base.values())), each
    values_MS = np.array([[values[seed] for seed in seeds] for values in cells.values()])
    wider = np.sqrt(len(cells) / (len(cells) - 1))
    found: dict[tuple[str, int], Point] = {}
    for place, values_S in zip(cells, values_MS - values_MS.mean(axis=0) + values_MS.mean(), strict=True):
        one = Point.of(values_S.tolist())
        if one.mean is not None and one.high is not None:
            half = wider * (one.high - one.mean)
            one = replace(one, low=one.mean - half, high=one.mean + half)
        found[place] = one
    return found.pop(("baseB", 0), Point.of([])), found


Values = Mapping[str, Mapping[int, Mapping[int, float]]]


def _difference(values: Values, one: str, other: str, depths: Sequence[int]) -> dict[int, float]:
    """{seed: mean over `depths` of one - other}, of the seeds that have all of them."""
    rows = [(values.get(one, {}).get(n, {}), values.get(other, {}).get(n, {})) for n in depths]
    seeds = set.intersection(*(set(a) & set(b) for a, b in rows)) if rows else set()
    return {seed: float(np.mean([a[seed] - b[seed] for a, b in rows])) for seed in sorted(seeds)}


def _sentences(values: Values, depths: list[int], effect: float, sign: int) -> list[str]:
    """The paper's findings, each by one test that was chosen before the numbers were seen.

    Co-adaptation by the mean of BnB - baseB over the middle depths, all but the first and the last; specificity by
    the mean of AnB - BnB over the later half of the depths, which has to be more than over the earlier half; what
    transfer gains by AnB+ - baseB over all.
    """
    middle = depths[1:-1] or depths
    early, late = depths[: len(depths) // 2], depths[(len(depths) + 1) // 2 :] or depths
    found = []
    if drop := _difference(values, "BnB", "baseB", middle):
        shown, said = _test("BnB", "baseB", middle, drop, effect, sign)
        more = ""
        if shown and len(middle) > 1:
            worst = min(middle, key=lambda n: sign * np.mean(list(_difference(values, "BnB", "baseB", [n]).values())))
            most = float(np.mean(list(_difference(values, "BnB", "baseB", [worst]).values())))
            more = f", most at n={worst} (by {number(abs(most), effect)})"
        found.append(f"Fragile co-adaptation is {'' if shown else 'not '}shown: {said}{more}.")
    if drop := _difference(values, "AnB", "BnB", late):
        shown, said = _test("AnB", "BnB", late, drop, effect, sign)
        more = ""
        if before := _difference(values, "AnB", "BnB", early) if early else {}:
            gap = {seed: drop[seed] - before[seed] for seed in drop.keys() & before.keys()}
            mean = number(float(np.mean(list(before.values()))), effect, sign=True)
            more = f"; {_depth_range(early)} the difference is {mean}"
            if shown and not _is_worse(gap, sign):
                shown, more = False, f"{more}, and that it grows with n is not shown"
        found.append(f"The late-layer drop is {'' if shown else 'not '}shown: {said}{more}.")
    if gain := _difference(values, "AnB+", "baseB", depths):
        _, said = _test("AnB+", "baseB", depths, gain, effect, sign)
        shown = _is_worse(gain, -sign)
        found.append(f"That layers from A, trained on, help B is {'' if shown else 'not '}shown: {said}.")
    return found


def _test(
    one: str, other: str, depths: Sequence[int], differences: Mapping[int, float], effect: float, sign: int
) -> tuple[bool, str]:
    """Whether `one` is shown to be worse than `other`, and how they differ, in words."""
    mean, low, high = interval(list(differences.values()))
    assert mean is not None
    way = "below" if sign * mean < 0 else "above"
    if sign < 0:
        way = {"below": "above", "above": "below"}[way]  # of a loss, more is worse
    by = f"{_depth_range(depths)} {one} lies {number(abs(mean), effect)} {way} {other}"
    if mean == 0:
        by = f"{_depth_range(depths)} {one} and {other} do not differ"
    if low is None or high is None:
        return False, f"{by}, but that is one seed, which cannot show what is chance"
    about = f"difference {number(mean, effect, sign=True)}, 95 % interval {number(low, effect, sign=True)} to "
    said = f"{by} ({about}{number(high, effect, sign=True)}, {len(differences)} seeds)"
    if low <= 0 <= high:
        small = max(abs(low), abs(high)) < effect
        said += f": any difference is smaller than {number(effect, effect)}" if small else ", which may be chance"
    return _is_worse(differences, sign), said


def _is_worse(differences: Mapping[int, float], sign: int) -> bool:
    """Whether the interval lies on the worse side of zero."""
    mean, low, high = interval(list(differences.values()))
    if mean is None or low is None or high is None or low == high:
        return False
    return high < 0 if sign > 0 else low > 0


def _depth_range(depths: Sequence[int]) -> str:
    return f"at n={depths[0]}" if len(depths) == 1 else f"over n={depths[0]} to {depths[-1]}"


def sentences(found: Mapping[str, Any], doc: Verdict) -> list[str]:
    """What the paper found, and whether it is found here."""
    return found["sentences"]


def figures(found: Mapping[str, Any], doc: Verdict) -> dict[str, "Figure"]:
    """The paper's figure, and below each other what its curves are above or below baseB, paired by seed."""
    with style():
        made = {"layer_transfer": _curves(found)}
        if any(name.endswith("baseB") for name in found["differences"]):
            made["layer_transfer.difference"] = _differences(found)
    return made


def _axes(found: Mapping[str, Any], title: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xticks([0, *found["depths"]])
    axes.set_xlim(-0.35, found["depths"][-1] + 0.45)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("n: layers copied before the rest was trained anew")
    axes.set_title(title)
    return figure, axes


def _row(axes: Any, network: str, depths: Sequence[int], points: Sequence[Point], start: Any) -> None:
    """One curve, from baseB at n = 0; its intervals stand beside those of the others, not on them."""
    colour, marker = COLOURS[LOOKS[network][0]], LOOKS[network][1]
    aside = (list(LOOKS).index(network) - 1.5) * 0.09
    known = [(n + aside, p) for n, p in zip(depths, points, strict=True) if p.mean is not None]
    x, mean = [n for n, _ in known], [p.mean for _, p in known]
    line = "--" if network.endswith("+") else "-"
    if start is not None and known:
        axes.plot([0, x[0]], [start, mean[0]], line, color=colour, lw=1, alpha=0.5)
    axes.plot(x, mean, line, marker=marker, color=colour, ms=5.5, lw=1.8, label=network)
    sure = [(n, p) for n, p in known if p.low is not None]
    if sure:
        axes.vlines([n for n, _ in sure], [p.low for _, p in sure], [p.high for _, p in sure],
                    color=colour, lw=1.2, alpha=0.65)  # fmt: skip


def _curves(found: Mapping[str, Any]) -> "Figure":
    figure, axes = _axes(found, "Networks for B: mean over seeds, 95 % intervals within seeds")
    base = found["within"]["base"]
    if base.mean is not None:
        if base.low is not None:
            axes.axhspan(base.low, base.high, color="#eeeff1", zorder=0, lw=0)
        axes.axhline(base.mean, color=FAINT, lw=1, ls=":")
        axes.plot([0], [base.mean], "o", color=INK, ms=6.5, label="baseB", zorder=4)
    for network, points in found["within"]["networks"].items():
        _row(axes, network, found["depths"], points, base.mean)
    axes.set_ylabel(found["metric"])
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def _differences(found: Mapping[str, Any]) -> "Figure":
    figure, axes = _axes(found, "Difference to baseB, paired by seed, 95 % intervals")
    axes.axhline(0, color=FAINT, lw=1, ls=":")
    axes.plot([0], [0], "o", color=INK, ms=6.5, label="baseB", zorder=4)
    for network in found["networks"]:
        if f"{network} - baseB" in found["differences"]:
            _row(axes, network, found["depths"], found["differences"][f"{network} - baseB"], 0)
    axes.set_ylabel(f"difference in {found['metric']}")
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def section(found: Mapping[str, Any], doc: Verdict, plots: Mapping[str, str]) -> list[str]:
    """How transferable each layer is: sentences, the paper's figure, the numbers."""
    head = ["", *(f"n={n}" for n in found["depths"])]
    base = [html.mean_cell(found["base"])] * len(found["depths"]) if found["base"].n else []
    rows = [("", ["baseB", *base])] if base else []
    rows += [("", [escape(name), *map(html.mean_cell, row)]) for name, row in found["networks"].items()]
    rows += [
        ("", [escape(name.replace(" - ", " − ")), *map(_difference_cell, row)])
        for name, row in found["differences"].items()
    ]
    return [
        "<h2>How transferable each layer is</h2>",
        *(f"<p>{html.prose(said)}</p>" for said in found["sentences"]),
        html.figures(plots, ["layer_transfer", "layer_transfer.difference"]),
        html.table(head, rows, words=1),
        '<p class="facts">Mean ± half of its 95&nbsp;% t interval over seeds, each with halves of its own; differences '
        "are paired by seed. The figure's intervals leave out what all networks of a seed have in common (Morey 2008): "
        "they are for comparing its points. No interval is adjusted for their number; the sentences above rest on one "
        "test each.</p>",
    ]


def _difference_cell(one: Point) -> str:
    if one.mean is None:
        return "–"
    kind = ""
    if one.low is not None and one.high is not None and not one.low <= 0 <= one.high:
        kind = " class=v-worse" if one.high < 0 else " class=v-best"
    return f"<span{kind}>{one.mean:+.3f}{html.half_interval(one.mean, one.low)}</span>"
