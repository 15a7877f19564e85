"""One picture of one run: how it learned, and what it confuses."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import folders, rundir
from pipeline.diagnosis.confusion import counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D


def draw(run: Path) -> Path:
    """Write curves.png into a finished run: losses and accuracy by epoch, and the test split's confusions."""
    figure, lines, confusion = _sheet()
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name in lines}
    for row in rundir.metric_rows(run):
        for name in curves.keys() & row.metrics.keys():
            curves[name].append((row.step, row.metrics[name]))
    for name, line in lines.items():
        line.set_data(*zip(*curves[name], strict=True))
    for axes in figure.axes:
        axes.relim()
        axes.autoscale_view()
    saved = rundir.read_predictions(run)
    counts_KK = counts(saved["label"], saved["logits"].argmax(1), saved["logits"].shape[1])
    confusion.set_data(counts_KK / counts_KK.sum(1, keepdims=True).clip(1))
    end = len(counts_KK) - 0.5
    confusion.set_extent((-0.5, end, end, -0.5))
    with folders.replacing(run / "curves.png") as file:
        figure.savefig(file, format="png", dpi=90, pil_kwargs={"compress_level": 1})
    return run / "curves.png"


@functools.cache
def _sheet() -> tuple["Figure", dict[str, "Line2D"], "AxesImage"]:
    """What all runs' pictures share, made once: the half of the 0.13 s that one takes, of a run of seconds."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(12, 3.8))  # a layout that is found out takes 0.1 s
    loss, acc, confusion = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.04, right=0.99, bottom=0.13, top=0.92, wspace=0.14)
    lines = {}
    for axes, names in ((loss, ("train/loss", "val/loss")), (acc, ("val/acc",))):
        for name in names:
            [lines[name]] = axes.plot([], [], marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.legend(frameon=False, loc="upper right" if axes is loss else "lower right")
    image = confusion.imshow([[0]], cmap="Blues", vmin=0, vmax=1)
    confusion.set(xlabel="predicted class", ylabel="true class", title="test split, share of the true class")
    # Few ticks, and labels where they lie anyway, not looked for: four tenths of the time that is left.
    confusion.yaxis.set_label_coords(-0.16, 0.5)
    for axes in (loss, acc, confusion):
        axes.locator_params("y", nbins=5)
        axes.locator_params("x", nbins=5, integer=True)
        axes.xaxis.set_label_coords(0.5, -0.1)
        axes.set_title(axes.get_title(), y=1)
    return figure, lines, image
