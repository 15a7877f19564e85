"""What the pages of the evidence are made of: tables, figures, links and their style sheet."""

import io
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.evidence.document import Point
from pipeline.evidence.style import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
.verdicts .against { border-color: #b34700; background: #fdf3ec; }
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
.wrap { display: block; white-space: normal; min-width: 10rem; max-width: 40rem; }
.v-fails { color: #b34700; font-weight: 600; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f7f8; padding: .65rem .9rem; margin: .4rem 0; }
dd { margin: 0 0 .6rem 1rem; overflow-wrap: anywhere; }
.v-worse { color: #b34700; } .v-best { color: #00734f; } .v-none { color: #005f96; }
.v-few { color: #8a5d00; }
.plots { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; margin: .4rem 0; }
.plots figure { margin: 0; flex: 1 1 330px; max-width: 520px; min-width: 0; }
.plots svg { width: 100%; height: auto; display: block; }
details { margin: .6rem 0; } summary { cursor: pointer; color: #0b5cad; }
a { color: #0b5cad; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .92em; }
@media (max-width: 600px) { th, td { padding: .3rem .4rem; } .wrap { min-width: 6.5rem; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2, .plots figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .scroll { overflow: visible; } th, td { padding: .15rem .4rem; }
}
"""


def beginning(title: str, *styles: str) -> str:
    """A page down to its body, for a title in HTML; `styles` are of what it has besides what all pages have."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title><style>{CSS}{''.join(styles)}</style></head><body>"
    )


def prose(said: str) -> str:
    """Escaped prose in which no line ends between a number and its per cent sign."""
    return escape(said).replace("95 %", "95&nbsp;%")


def figures(plots: Mapping[str, str], names: Sequence[str]) -> str:
    """Those of `plots` that there are, side by side."""
    shown = [f"<figure>{plots[name]}</figure>" for name in names if name in plots]
    return f'<div class="plots">{"".join(shown)}</div>' if shown else ""


def table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], words: int) -> str:
    """An HTML table of cells that are HTML already; the first `words` columns are set left."""

    def cell(tag: str, i: int, content: str) -> str:
        return f"<{tag}{' class=l' if i < words else ''}>{content}</{tag}>"

    top = "".join(cell("th", i, name) for i, name in enumerate(head))
    body = ""
    for kind, row in rows:
        cells = "".join(cell("td", i, value) for i, value in enumerate(row))
        body += f"<tr{f' class={kind}' if kind else ''}>{cells}</tr>"
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def link(folder: str, base: Path) -> str:
    """A link to the run's folder, relative to the page (as `folder` may be): both can move together."""
    if not folder:
        return "–"
    relative = Path(os.path.relpath(folder, base.absolute()) if os.path.isabs(folder) else folder).as_posix()
    return f'<a href="{escape(quote("./" + relative))}/">{escape(Path(folder).name)}</a>'


def short_names(factors: Sequence[str]) -> list[str]:
    """Factors by their last word where that tells them apart."""
    last = [factor.rsplit(".", 1)[-1] for factor in factors]
    return [escape(name if last.count(name) == 1 else factor) for name, factor in zip(last, factors, strict=True)]


def half_interval(mean: float, low: float | None) -> str:
    """A t interval lies evenly about its mean."""
    return "" if low is None else f" ± {mean - low:.3f}"


def mean_cell(point: Point) -> str:
    """A mean ± half of its interval, for a table."""
    return "–" if point.mean is None else f"{point.mean:.3f}" + half_interval(point.mean, point.low)


def svg(figure: "Figure", name: str, i: int) -> str:
    """The figure as an inline <svg>, the same bytes each time; prefixed ids let several share a page."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'\bid="', f'id="p{i}-', drawn)
    drawn = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#p{i}-", drawn)
    drawn = drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(name)}" ', 1)
    return re.sub(r"\s*<!--.*?-->", "", drawn, flags=re.DOTALL)
