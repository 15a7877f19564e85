"""What the page of a run draws: confusions, ROC curves, reliability."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.diagnose import Diagnosis, OfClass
from pipeline.evidence.style import COLOURS, FAINT, INK, clip, legend_below, new_axes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 30  # classes, on the axes of the confusions
MOST_COUNTED = 12  # classes, whose counts stand in the cells
MOST_CURVES = 6  # of the classes that are told apart worst


def figures(found: Diagnosis) -> dict[str, "Figure"]:
    """By name."""
    with style():
        drawn = {"confusions": _confusions(found)}
        if any(one.roc for one in found.classes):
            drawn["roc"] = _roc(found)
        return drawn | {"reliability": _reliability(found)}


def _confusions(found: Diagnosis) -> "Figure":
    counts_KK, classes = found.confusions, len(found.classes)
    figure, axes = new_axes(4.4)
    axes.grid(False)
    axes.imshow(counts_KK / counts_KK.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
    if classes <= MOST_NAMED:
        names = [clip(one.name, 14) for one in found.classes]
        turned = 0 if max(map(len, names)) * classes < 40 else 90
        axes.set_xticks(range(classes), names, rotation=turned)
        axes.set_yticks(range(classes), names)
        axes.tick_params(length=0, labelsize=8 if classes > MOST_COUNTED else 10)
    if classes <= MOST_COUNTED:
        shares_KK = counts_KK / counts_KK.sum(axis=1, keepdims=True).clip(1)
        for (true, called), count in np.ndenumerate(counts_KK):
            colour = "white" if shares_KK[true, called] > 0.5 else INK if count else FAINT
            axes.text(called, true, f"{count:,}", ha="center", va="center", color=colour, fontsize=12 - classes // 2)
    axes.set(xlabel="predicted class", ylabel="true class", title="Confusions")
    return figure


def curves_of(found: Diagnosis) -> list[OfClass]:
    """The classes whose ROC curves are drawn, the worst first; of two or with a positive class that one alone."""
    known = [one for one in found.classes if one.roc]
    if about := [one for one in known if one.name == found.about]:
        return about
    return sorted(known, key=lambda one: one.auroc.value)[:MOST_CURVES]


def _roc(found: Diagnosis) -> "Figure":
    figure, axes = new_axes(4.4)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
    shown = curves_of(found)
    for one, colour in zip(shown, COLOURS, strict=False):
        assert one.roc is not None
        label = f"{clip(one.name)} ({one.auroc.value:.3f})"
        axes.plot(1 - one.roc.specificity, one.roc.sensitivity, color=colour, label=label, drawstyle="steps-post")
    points = [one for one in found.points if len(shown) == 1 and one.name == shown[0].name]
    for kept, marker in (("specificity", "o"), ("sensitivity", "s")):
        at = [(1 - one.test.specificity.value, one.test.sensitivity.value) for one in points if one.kept == kept]
        if at:
            label = f"chosen for {kept}"
            axes.plot(*zip(*at, strict=True), marker, color=INK, ms=5, mfc="white", label=label)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", title="ROC, test split")
    _square(axes)
    legend_below(figure)
    return figure


def _reliability(found: Diagnosis) -> "Figure":
    figure, axes = new_axes(4.4)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
    labels = ("as it is", f"at temperature {found.temperature:.2g}")
    for bins, colour, marker, label in zip(found.reliability, COLOURS, "os", labels, strict=False):
        x = [one.confidence for one in bins]
        y = np.array([one.accuracy for one in bins])
        error = np.maximum(0, [y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]])
        axes.errorbar(x, y[:, 0], error, fmt=f"{marker}-", color=colour, ms=4, lw=1, elinewidth=0.8, label=label)
    axes.set(xlabel="mean confidence of a bin", ylabel="share that is right", title="Reliability, test split")
    _square(axes)
    legend_below(figure)
    return figure


def _square(axes: "Axes") -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
