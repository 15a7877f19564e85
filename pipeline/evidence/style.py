"""Our look, which every figure of the evidence shares."""

import functools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): eight colours that colour-blind readers can tell apart; the pale yellow goes last.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
INK, FAINT = "#222222", "#9aa0a6"
WIDTH_IN = 4.6
# For names in Chinese, Japanese and Korean: those of these that the machine has.
MORE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB",
    "Apple SD Gothic Neo", "Arial Unicode MS", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
)  # fmt: skip
STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # where it lies anyway: to look for what is in its way takes a sixth of the time of drawing
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

    with matplotlib.rc_context(STYLE | {"font.family": _fonts()}), warnings.catch_warnings():
        # Of a script that no font has, whose signs are boxes in figures; the tables beside them have the names.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


@functools.cache
def _fonts() -> list[str]:
    """The first comes with matplotlib, so that a page looks the same wherever it is made."""
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in MORE_FONTS if name in there)]


def name_of(key: str) -> str:
    """A config key or metric as part of a file name."""
    return re.sub(r"[^\w.-]", "_", key)


def new_axes(height_in: float) -> tuple["Figure", "Axes"]:
    """A figure of our width with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    return figure, figure.add_subplot()


def count_ticks(axes: "Axes") -> None:
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


def legend_below(figure: "Figure", title: str | None = None) -> None:
    """A legend under the axes, in as many columns as its words allow."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        columns = max(1, min(len(labels), int(56 / (max(map(len, labels)) + 6))))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title)


def clip(name: str, length: int = 18) -> str:
    """`name`, cut in the middle where it would squeeze the plot; `$` is not the start of a formula."""
    if len(name) > length:
        name = name[: length // 2] + "…" + name[-(length // 2 - 1) :]
    return name.replace("$", r"\$")
