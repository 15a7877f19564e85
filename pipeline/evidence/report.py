"""The verdict as one HTML page that needs nothing but itself."""

import io
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline import folders
from pipeline.evidence.matrix import LESS_IS_BETTER
from pipeline.evidence.plots import PERTURBATIONS, figures, name_of, style
from pipeline.evidence.run import Run, level_key
from pipeline.evidence.sentence import count, number, text, whole
from pipeline.evidence.table import CLOCK, difference, mean_sd, over, seconds, word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_METRICS = 12  # columns of the list of runs; the run directories have the rest

CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 1.5rem 1rem 4rem; background: #fff; color: #222;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-top: .8rem; border-top: 1px solid #dde; }
h3 { font-size: 1.02rem; margin: 1.4rem 0 .2rem; }
h2 code { font-size: 1.1rem; }
p { margin: .4rem 0; max-width: 72ch; }
.question { font-size: 1.1rem; color: #444; }
.facts { color: #666; font-size: .9rem; max-width: none; }
.verdicts { list-style: none; padding: 0; margin: 1.2rem 0; }
.verdicts li { padding: .65rem .9rem; margin: .5rem 0; border-left: 5px solid #9aa0a6; background: #f6f7f8;
  overflow-wrap: anywhere; }
.verdicts .better { border-color: #009e73; background: #eef8f4; }
.verdicts .some { border-color: #009e73; }
.verdicts .none { border-color: #0072b2; background: #eef5fa; }
.verdicts .few { border-color: #e69f00; background: #fdf6e7; }
.note { color: #7a4b00; font-size: .92rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e8e9eb; }
th { font-weight: 600; color: #555; border-bottom: 2px solid #ccd; vertical-align: bottom; }
td.l, th.l { text-align: left; }
tr.failed td { color: #b34700; }
tr.best td { font-weight: 600; background: #eef8f4; }
tr.leads td { font-weight: 600; }
dd { margin: 0 0 .6rem 1rem; overflow-wrap: anywhere; }
.v-worse { color: #b34700; } .v-best { color: #00734f; } .v-none { color: #005f96; }
.v-few { color: #8a5d00; }
.plots { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; margin: .4rem 0; }
.plots figure { margin: 0; flex: 1 1 330px; max-width: 520px; min-width: 0; }
.plots svg { width: 100%; height: auto; display: block; }
details { margin: .6rem 0; } summary { cursor: pointer; color: #0b5cad; }
a { color: #0b5cad; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .92em; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2, .plots figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .scroll { overflow: visible; } th, td { padding: .15rem .4rem; }
}
"""


def report(
    doc: dict[str, Any],
    runs: Sequence[Run],
    path: str | Path,
    drawn: "Mapping[str, Figure] | None" = None,
) -> None:
    """Write the page of `doc` to `path`, whole or not at all. Links to run directories are relative to it.

    drawn: what `figures(doc, runs)` returned, where the caller has it already: drawing takes the time.
    The same `doc` and `runs` give the same bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    page = _page(doc, runs, path.parent, figures(doc, runs) if drawn is None else drawn).encode()
    with folders.replacing(path) as file:
        file.write(page)


def _page(doc: dict[str, Any], runs: Sequence[Run], base: Path, drawn: "Mapping[str, Figure]") -> str:
    """The page as text: question and verdict first, then the evidence, then every run."""
    plots = {name: _svg(figure, name, i) for i, (name, figure) in enumerate(drawn.items())}
    title = escape(doc["experiment"] or "verdict")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{CSS}</style></head><body>",
        f"<h1>{title}</h1>",
        f'<p class="question">{escape(doc["question"])}</p>' if doc["question"] else "",
        _facts(doc),
        _verdicts(doc),
        *(f'<p class="note">{escape(warning)}</p>' for warning in doc["warnings"]),
        *_layers(doc, plots),
        *_quadrants(doc, plots),
    ]
    for factor, entry in doc["factors"].items():
        parts += [
            f"<h2><code>{escape(factor)}</code></h2>",
            _figures(plots, [f"{name_of(factor)}.seeds", f"{name_of(factor)}.difference"]),
            _levels(doc, entry),
            *(f'<p class="note">{escape(note)}</p>' for note in entry["notes"]),
            _figures(plots, [f"{name_of(factor)}.examples"]),
            *_matrix(doc, factor),
            _figures(plots, [f"{name_of(factor)}.{name_of(curve)}" for curve in PERTURBATIONS]),
        ]
        curves = [name for name in plots if name.startswith(f"{name_of(factor)}.curve.")]
        if curves:
            parts.append("<p>Learning curves: the mean over seeds, in a band from the lowest seed to the highest.</p>")
            parts.append(_figures(plots, curves))
    curves = [name for name in plots if name.startswith("curve.")]
    if curves:
        parts += ["<h2>Learning curves</h2>", _figures(plots, curves)]
    curves = [name_of(curve) for curve in PERTURBATIONS if name_of(curve) in plots]
    if curves:
        parts += ["<h2>Invariance</h2>", _figures(plots, curves)]
    costs = [name for name in plots if name.startswith("cost.")]
    if costs:
        parts += ["<h2>What it costs</h2>", _figures(plots, costs)]
    if doc["factors"]:
        parts += ["<h2>Every combination</h2>", _arms(doc)]
    parts += ["<h2>Every run</h2>", _runs(doc, runs, base), "<h2>How this was made</h2>", _method(doc)]
    return "\n".join(part for part in parts if part) + "\n</body></html>\n"


def _layers(doc: dict[str, Any], plots: dict[str, str]) -> list[str]:
    """How transferable each layer is: sentences, the paper's figure, the numbers."""
    found = doc.get("layers")
    if not found:
        return []
    head = ["", *(f"n={n}" for n in found["depths"])]
    base = [_point(found["base"])] * len(found["depths"]) if found["base"]["n"] else []
    rows = [("", ["baseB", *base])] if base else []
    rows += [("", [escape(name), *map(_point, row)]) for name, row in found["networks"].items()]
    rows += [
        ("", [escape(name.replace(" - ", " − ")), *map(_signed, row)]) for name, row in found["differences"].items()
    ]
    return [
        "<h2>How transferable each layer is</h2>",
        *(f"<p>{_unbroken(said)}</p>" for said in found["sentences"]),
        _figures(plots, ["layer_transfer", "layer_transfer.difference"]),
        _table(head, rows, words=1),
        '<p class="facts">Mean ± half of its 95&nbsp;% t interval over seeds, each with halves of its own; differences '
        "are paired by seed. The figure's intervals leave out what all networks of a seed have in common (Morey 2008): "
        "they are for comparing its points. No interval is adjusted for their number; the sentences above rest on one "
        "test each.</p>",
    ]


def _point(one: dict[str, Any]) -> str:
    return "–" if one["mean"] is None else f"{one['mean']:.3f}" + _half(one["mean"], one["low"])


def _signed(one: dict[str, Any]) -> str:
    if one["mean"] is None:
        return "–"
    kind = "" if one["low"] is None or one["low"] <= 0 <= one["high"] else " class=v-best"
    kind = " class=v-worse" if kind and one["high"] < 0 else kind
    return f"<span{kind}>{one['mean']:+.3f}{_half(one['mean'], one['low'])}</span>"


def _quadrants(doc: dict[str, Any], plots: dict[str, str]) -> list[str]:
    """Which strategy is best in which quadrant, and what following an advice would have cost."""
    found = doc.get("quadrants")
    if not found:
        return []
    effect = doc["smallest_effect"]
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
        *(f"<p>{_unbroken(said)}</p>" for said in found["sentences"]),
        _figures(plots, ["quadrants"]),
        "<h3>Regret of each advice</h3>",
        _table(head, rows, words=3),
        '<p class="facts">By how much the strategy with the best mean of the quadrant leads the one that is '
        "advised: mean ± half of its 95&nbsp;% t interval over seeds, paired. The former is picked from these very "
        "runs, so that a regret is rather too large than too small.</p>",
    ]


def _regret(one: dict[str, Any] | None, effect: float) -> str:
    return "–" if one is None or one["mean"] is None else number(one["mean"], effect) + _half(one["mean"], one["low"])


def _facts(doc: dict[str, Any]) -> str:
    better = "more" if doc["mode"] == "max" else "less"
    counted = doc["runs"]
    facts = [
        f"<code>{escape(doc['metric'])}</code>, {better} is better",
        f"smallest effect of interest {doc['smallest_effect']:g}",
        f"{len(doc['seeds'])} seed{'' if len(doc['seeds']) == 1 else 's'}",
        f"{counted['total']} runs, {counted['compared']} compared",
        *([f"{doc['n_test']} test examples"] if doc["n_test"] else []),
    ]
    return f'<p class="facts">{" · ".join(facts)}</p>'


def _verdicts(doc: dict[str, Any]) -> str:
    """The sentences, coloured by what they conclude."""
    colours = {
        "better": "better",
        "better than some": "some",
        "no difference shown": "none",
        "too few seeds": "few",
    }
    conclusions = [entry["conclusion"] for entry in doc["factors"].values()] or [""]
    items = [
        f'<li class="{colours.get(conclusion, "")}">{_unbroken(said)}</li>'
        for conclusion, said in zip(conclusions, doc["sentences"], strict=True)
    ]
    return f'<ul class="verdicts">{"".join(items)}</ul>'


def _unbroken(said: str) -> str:
    """Escaped prose in which no line ends between a number and its per cent sign."""
    return escape(said).replace("95 %", "95&nbsp;%")


def _figures(plots: dict[str, str], names: Sequence[str]) -> str:
    shown = [f"<figure>{plots[name]}</figure>" for name in names if name in plots]
    return f'<div class="plots">{"".join(shown)}</div>' if shown else ""


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], words: int) -> str:
    """An HTML table of cells that are HTML already; the first `words` columns are set left."""

    def cell(tag: str, i: int, content: str) -> str:
        return f"<{tag}{' class=l' if i < words else ''}>{content}</{tag}>"

    top = "".join(cell("th", i, name) for i, name in enumerate(head))
    body = ""
    for kind, row in rows:
        cells = "".join(cell("td", i, value) for i, value in enumerate(row))
        body += f"<tr{f' class={kind}' if kind else ''}>{cells}</tr>"
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _levels(doc: dict[str, Any], entry: dict[str, Any]) -> str:
    """The table of one factor, as on the terminal, with p-values."""
    classes = {
        "best": "v-best",
        "leads": "v-leads",
        "worse": "v-worse",
        "no difference shown": "v-none",
        "too few seeds": "v-few",
    }
    rows = []
    for level in entry["levels"]:
        p = level["p_adjusted"]
        cells = {
            "level": escape(text(level["level"])),
            "verdict": f'<span class="{classes.get(level["verdict"], "")}">{escape(word(level))}</span>',
            "n": str(level["n"]),
            "mean ± sd": mean_sd(level, doc),
            "difference [95 %]": difference(level, doc),
            "adjusted p": "–" if p is None else f"{p:.2g}",
            "params": count(level["parameters"]),
            "MACs": count(level["macs"]),
            "s/run": seconds(level["seconds"]),
        }
        rows.append((level["verdict"] if level["verdict"] in ("best", "leads") else "", list(cells.values())))
    head = list(cells)
    known = f'<p class="facts">{over(entry)}</p>' + _table(head, rows, words=2)
    return f'{known}<p class="facts">s/run: {CLOCK}</p>' + _in_full([level["level"] for level in entry["levels"]])


def _in_full(levels: Sequence[Any]) -> str:
    """The levels that are too long for a table, by what stands there of them."""
    cut = [level for level in levels if text(level) != whole(level)]
    rows = [f"<dt>{escape(text(level))}</dt><dd><code>{escape(whole(level))}</code></dd>" for level in cut]
    return f"<details><summary>Long levels in full</summary><dl>{''.join(rows)}</dl></details>" if rows else ""


def _matrix(doc: dict[str, Any], factor: str) -> list[str]:
    """Levels against perturbations: the mean with its interval, and the paired difference to the reference."""
    found = doc.get("matrix", {}).get(factor)
    if not found:
        return []
    reference = found["reference"]
    rows = []
    for row in found["levels"]:
        mine = level_key(row["level"]) == level_key(reference)
        cells = [_matrix_cell(*one, mine) for one in zip(found["columns"], row["cells"], strict=True)]
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
    return [f"<h3>{title}</h3>", f"<p>{said}</p>", _table([_short([factor])[0], *found["columns"]], rows, words=1)]


def _matrix_cell(column: str, cell: dict[str, Any], is_reference: bool) -> str:
    if cell["mean"] is None:
        return "–"
    said = f"{cell['mean']:.3f}" + _half(cell["mean"], cell["low"])
    if is_reference or cell["difference"] is None:
        return said
    below = f"{cell['difference']:+.3f}" + _half(cell["difference"], cell["difference_low"])
    kind = ""
    if cell["difference_low"] is not None and (cell["difference_low"] > 0 or cell["difference_high"] < 0):
        better = (cell["difference"] > 0) != (column in LESS_IS_BETTER)
        kind = " class=v-best" if better else " class=v-worse"
    return f"{said}<br><span{kind}>{below}</span>"


def _half(mean: float, low: float | None) -> str:
    """A t interval lies evenly about its mean."""
    return "" if low is None else f" ± {mean - low:.3f}"


def _arms(doc: dict[str, Any]) -> str:
    """All arms, best first."""
    sign = -1 if doc["mode"] == "max" else 1
    arms = sorted(doc["arms"], key=lambda arm: (arm["mean"] is None, sign * (arm["mean"] or 0)))
    rows = [
        (
            "",
            [
                *(escape(text(arm["levels"][factor])) for factor in doc["factors"]),
                str(arm["n"]),
                mean_sd(arm, doc),
                count(arm["parameters"]),
                count(arm["macs"]),
                seconds(arm["seconds"]),
            ],
        )
        for arm in arms
    ]
    head = [*_short(list(doc["factors"])), "n", "mean ± sd", "params", "MACs", "s/run"]
    said = (
        "<p>Best mean first. These are described, not judged: the first of many is there by luck too, and a "
        "rerun with new seeds will on average find it lower.</p>"
        if len(arms) > 1
        else ""
    )
    return said + _table(head, rows, words=len(doc["factors"]))


def _runs(doc: dict[str, Any], runs: Sequence[Run], base: Path) -> str:
    """Every run with its levels, seed, metrics, status and folder."""
    factors = list(doc["factors"])
    names = sorted({name for run in runs for name in run.metrics} - {doc["metric"]})
    metrics = [doc["metric"], *names][:MOST_METRICS]
    order = {
        (factor, level_key(level["level"])): i
        for factor, entry in doc["factors"].items()
        for i, level in enumerate(entry["levels"])
    }

    def place(run: Run) -> tuple[list[int], int, str]:
        return [order[factor, level_key(run.levels[factor])] for factor in factors], run.seed, run.dir

    rows = []
    for run in sorted(runs, key=place):
        values = [f"{run.metrics[name]:.5g}" if name in run.metrics else "–" for name in metrics]
        cells = [*(text(run.levels[factor]) for factor in factors), run.status, str(run.seed), *values]
        kind = "" if run.status == "finished" else "failed"
        rows.append((kind, [_link(run.dir, base), *map(escape, cells), seconds(_or_none(run.seconds))]))
    head = ["run", *_short(factors), "status", "seed", *map(escape, metrics), "seconds"]
    return _table(head, rows, words=len(factors) + 2)


def _or_none(value: float) -> float | None:
    return value if value == value else None


def _link(folder: str, base: Path) -> str:
    """A link to the run's folder, relative to the page (as `folder` may be): both can move together."""
    if not folder:
        return "–"
    relative = Path(os.path.relpath(folder, base.absolute()) if os.path.isabs(folder) else folder).as_posix()
    return f'<a href="{escape(quote("./" + relative))}/">{escape(Path(folder).name)}</a>'


def _short(factors: Sequence[str]) -> list[str]:
    """Factors by their last word where that tells them apart."""
    last = [factor.rsplit(".", 1)[-1] for factor in factors]
    return [escape(name if last.count(name) == 1 else factor) for name, factor in zip(last, factors, strict=True)]


def _method(doc: dict[str, Any]) -> str:
    """What a reviewer asks for."""
    grid = (
        f" An accuracy over {doc['n_test']} examples moves in steps of {1 / doc['n_test']:.2g}; no "
        "difference is credited with less spread than this rounding brings."
        if doc["n_test"]
        else ""
    )
    effect = number(doc["smallest_effect"], doc["smallest_effect"])
    notes = [
        "The replicate is the seed. It fixes the split, the initial weights, the order of the data and the "
        "augmentation, the same for every arm, so levels are compared in pairs: seed by seed, within each "
        "combination of the other factors, averaged over these combinations. What lacks a partner is left "
        "out.",
        "Intervals are plain 95 % paired t intervals of the mean difference over seeds (Student 1908). They "
        f"take the differences to scatter about their mean as a normal distribution does.{grid}",
        "“Best” is a level that each of the others is shown to be worse than; where that is not shown, the level with "
        "the best mean “leads”, which another set of seeds may turn round.",
        "“Worse” is decided by p-values adjusted after Holm (1979) over all pairs of levels of a factor, "
        "because the best level is picked from the same data: among equal levels, at most one comparison in "
        "twenty names a loser. The intervals are not adjusted, so one may leave out zero while the verdict "
        "stays open. Each factor is judged on its own.",
        f"“No difference shown” means that the whole interval lies within ±{effect}, the smallest effect of "
        "interest: whatever difference there is does not matter. It does not mean that there is none.",
        "“Too few seeds” comes with the number at which the interval would be narrow enough, planned from "
        "the spread so far (Stein 1945). With three seeds that spread is itself rough. Adding seeds until a "
        "verdict pleases raises the rate of false alarms: fix the number, then look.",
        "There is one test split per seed. A data set with a test split of its own has the same test images "
        "for every seed, and then the intervals cover the chance of training, not that of having drawn these "
        "images.",
        "Parameters, MACs and seconds are means over the same runs as the metric. Seconds depend on the "
        "machine and on what else it did.",
    ]
    return "<ul>" + "".join(f"<li><p>{_unbroken(note)}</p></li>" for note in notes) + "</ul>"


def _svg(figure: "Figure", name: str, i: int) -> str:
    """The figure as an inline <svg>, the same bytes each time; prefixed ids let several share a page."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="p{i}-', svg)
    svg = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#p{i}-", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(name)}" ', 1)
    return re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
