"""Claims in pictures: each difference with its interval, over the band of what is too small to matter."""

import io
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.evidence.claims.entry import KINDS, Claim, Entry, Index
from pipeline.evidence.style import FAINT, INK, WIDTH_IN, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By kind: colour as on the report's page, and a marker for those who see no colours.
LOOKS = {
    "better": ("#009e73", "o"),
    "against": ("#b34700", "X"),
    "none": ("#0072b2", "s"),
    "few": ("#e69f00", "D"),
    "": (FAINT, "o"),
}
BAND = "#dbe9f4"
SPREAD = 8.0  # times the widest margin: what lies beyond is drawn on a logarithmic scale
FOREST_IN, LEFT, RIGHT, ROW_IN = 9.6, 0.55, 0.985, 0.27


def intervals(entry: Entry, metric: str) -> "Figure":
    """The claims of one sweep on one metric, each under its words: to be read on a phone."""
    from matplotlib.figure import Figure

    claims = [one for one in entry.verdict.contrasts if _metric(one, entry) == metric]
    named = [_lines(one.name, 58, most=2) for one in claims]
    tops, at = [], 0.0
    for lines in named:
        tops.append(at)
        at += 0.19 * len(lines) + 0.30
    with style():
        figure = Figure(figsize=(WIDTH_IN, at + 0.75))
        axes = figure.add_axes((0.03, 0.62 / (at + 0.75), 0.94, at / (at + 0.75)))
        axes.set_ylim(at, 0)
        for one, lines, top in zip(claims, named, tops, strict=True):
            row = top + 0.19 * len(lines) + 0.14
            axes.text(0, top + 0.01, "\n".join(lines), transform=axes.get_yaxis_transform(), va="top", fontsize=9.5,
                      parse_math=False, bbox={"fc": "white", "ec": "none", "pad": 1})  # fmt: skip
            _interval(axes, row, one, half=0.11)
        axes.set_yticks([])
        _scale(axes, claims)
        axes.set_xlabel(f"difference in {metric}", parse_math=False)
    return figure


def forest(index: Index) -> "Figure | None":
    """All claims of all sweeps, by metric; None where nothing was claimed."""
    from matplotlib.figure import Figure

    metrics = list(dict.fromkeys(_metric(one, entry) for entry in index.entries for one in entry.verdict.contrasts))
    if not metrics:
        return None
    parts = {metric: _rows(index, metric) for metric in metrics}
    heights = {metric: ROW_IN * len(rows) for metric, rows in parts.items()}
    below, top = 0.62, 0.42
    whole = sum(heights.values()) + below * len(parts) + top
    with style():
        figure = Figure(figsize=(FOREST_IN, whole))
        at = whole - top
        for metric, rows in parts.items():
            at -= heights[metric]
            axes = figure.add_axes((LEFT, at / whole, RIGHT - LEFT, heights[metric] / whole))
            _panel(axes, metric, rows)
            at -= below
        _key(figure, whole)
    return figure


def png(figure: "Figure") -> bytes:
    """The same bytes each time."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def metrics(entry: Entry) -> list[str]:
    """Those that claims of a sweep are about."""
    return list(dict.fromkeys(_metric(one, entry) for one in entry.verdict.contrasts))


def _metric(one: Claim, entry: Entry) -> str:
    return one.metric or entry.verdict.metric


def _rows(index: Index, metric: str) -> list[tuple[str, Claim | None]]:
    """A heading for each sweep that claims something of a metric, and its claims."""
    found: list[tuple[str, Claim | None]] = []
    for entry in index.entries:
        claims = [one for one in entry.verdict.contrasts if _metric(one, entry) == metric]
        if claims:
            found += [(entry.title, None), *((one.name, one) for one in claims)]
    return found


def _panel(axes: "Axes", metric: str, rows: Sequence[tuple[str, Claim | None]]) -> None:
    """Rows of one metric, their names left of the axes."""
    left = -(LEFT - 0.012) / (RIGHT - LEFT)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for row, (name, claim) in enumerate(rows):
        look: dict[str, Any] = {"weight": "bold"} if claim is None else {}
        said = _lines(name, 80, most=1)[0]
        axes.text(left + (0.02 if claim else 0), row, said, transform=axes.get_yaxis_transform(), va="center",
                  fontsize=9, parse_math=False, **look)  # fmt: skip
        if claim:
            _interval(axes, row, claim, half=0.36)
    axes.set_yticks([])
    _scale(axes, [claim for _, claim in rows if claim])
    axes.set_xlabel(f"difference in {metric}", parse_math=False)


def _interval(axes: "Axes", row: float, one: Claim, half: float) -> None:
    """Margin band, seeds, mean and interval of one claim."""
    colour, marker = LOOKS.get(KINDS.get(one.word, ""), LOOKS[""])
    axes.fill_betweenx([row - half, row + half], -one.margin, one.margin, color=BAND, lw=0, zorder=0)
    if one.difference is None:
        axes.text(0.5, row, "no result", transform=axes.get_yaxis_transform(), va="center", ha="center", fontsize=8.5,
                  color=FAINT)  # fmt: skip
        return
    axes.plot(one.values, [row] * len(one.values), "|", color=FAINT, ms=7, mew=1)
    if one.low is not None and one.high is not None:
        axes.plot([one.low, one.high], [row, row], "-", color=colour, lw=2, solid_capstyle="butt")
    axes.plot(one.difference, row, marker, color=colour, mfc="white" if marker == "D" else colour, ms=6, mew=1.5)


def _scale(axes: "Axes", claims: Sequence[Claim]) -> None:
    """A scale that shows the margins: where a difference lies far beyond them, logarithmic outside of them."""
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, lw=0.8, zorder=1)
    margin = max(one.margin for one in claims)
    reach = [abs(x) for one in claims for x in (one.difference, one.low, one.high, *one.values) if x is not None]
    most = 1.1 * max([1.2 * margin, *reach]) or 1.0
    if margin > 0 and most > SPREAD * margin:
        axes.set_xscale("symlog", linthresh=2 * margin, linscale=1.2)
        ticks = _ticks(margin, most)
        axes.set_xticks([-x for x in reversed(ticks)] + [0.0, *ticks])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    else:
        axes.locator_params(axis="x", nbins=7)
    axes.set_xlim(-most, most)
    axes.grid(axis="y", visible=False)


def _ticks(margin: float, most: float) -> list[float]:
    """The margin, and of 1, 2 and 5 times powers of ten beyond it those that have room beside each other."""
    apart = max(4.0, (most / margin) ** 0.25)
    powers = range(math.floor(math.log10(margin)), math.ceil(math.log10(most)) + 1)
    found = [margin]
    for tick in (float(f"{by}e{power}") for power in powers for by in (1, 2, 5)):
        if apart * found[-1] <= tick <= most:
            found.append(tick)
    return found


def _lines(name: str, width: int, most: int) -> list[str]:
    """`name` in so many lines at most, as it can be drawn."""
    shown = "".join(c if c.isprintable() else " " for c in name)
    return textwrap.wrap(shown, width, max_lines=most, placeholder=" …") or [""]


def _key(figure: "Figure", height_in: float) -> None:
    """What the marks mean, above all."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    words = {"supported": "better", "refuted": "against", "open": "few", "nothing expected": "none"}
    marks: list[Any] = [
        Line2D([], [], color=LOOKS[kind][0], marker=LOOKS[kind][1], lw=2, ms=6, label=word,
               mfc="white" if LOOKS[kind][1] == "D" else LOOKS[kind][0])
        for word, kind in words.items()
    ]  # fmt: skip
    marks += [Line2D([], [], color=FAINT, marker="|", ls="", ms=7, label="a seed"), Patch(color=BAND, label="margin")]
    figure.legend(handles=marks, loc="upper right", ncols=len(marks), bbox_to_anchor=(0.995, 1 - 0.02 / height_in))
