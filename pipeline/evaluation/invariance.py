"""How much turning, sizing and moving a network stands: accuracy against the size of each perturbation.

Nothing is drawn by chance: the same run gives the same curves. What a curve holds is the mean over the examples; its
area (`invariance/rotation` and so on) is the mean over the points of the grid, so that 1 is a network that no
perturbation of the grid ever misleads.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import folders
from pipeline.perturbations import PERTURBATIONS, Perturbation
from pipeline.training.module import Classifier

# At most that many test examples, evenly over the split: 29 passes over them are 6 s of the notes' CNN on two
# cores, and an accuracy moves by 0.011 (one standard error) at the most.
MOST = 2000
BATCH = 500


def measure(module: Classifier, images_NHWC: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> dict[str, Any]:
    """{"rotation": [[degrees, accuracy], ...], "scale", "shift", "agreement": {the same, with the share of examples
    that are called what they are called unperturbed}, "examples": how many}."""
    some = evenly(indices, MOST)
    y = torch.from_numpy(np.asarray(labels[some], dtype=np.int64))
    x_BCHW = torch.from_numpy(np.asarray(images_NHWC[some])).permute(0, 3, 1, 2)
    plain = predictions(module, x_BCHW)
    accuracy: dict[str, Any] = {}
    agreement: dict[str, Any] = {}
    for kind, perturbation in PERTURBATIONS.items():
        accuracy[kind], agreement[kind] = [], []
        for amount in perturbation.grid:
            found = plain if amount == perturbation.neutral else predictions(module, x_BCHW, perturbation, amount)
            accuracy[kind].append([amount, (found == y).double().mean().item()])
            agreement[kind].append([amount, (found == plain).double().mean().item()])
    return accuracy | {"agreement": agreement, "examples": len(some)}


def areas(curves: dict[str, Any]) -> dict[str, float]:
    """The mean of each curve over its grid, named `invariance/<kind>`, and of each agreement, `agreement/<kind>`."""

    def mean(curve: list[list[float]]) -> float:
        return float(np.mean([value for _, value in curve]))

    named = {"invariance": curves, "agreement": curves["agreement"]}
    return {f"{name}/{kind}": mean(of[kind]) for name, of in named.items() for kind in PERTURBATIONS}


def evenly(indices: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of `indices`, at even distances."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).round().astype(int)]


@torch.no_grad()
def predictions(
    module: Classifier, x_BCHW: torch.Tensor, perturbation: Perturbation | None = None, amount: float = 0.0
) -> torch.Tensor:
    """The class of each uint8 image, perturbed where it is said how."""
    found = []
    for start in range(0, len(x_BCHW), BATCH):
        x = x_BCHW[start : start + BATCH].to(module.device)
        if perturbation:
            x = perturbation.apply(x, amount)
        found.append(module(x).argmax(1).cpu())
    return torch.cat(found)


def draw(curves: dict[str, Any], path: Path) -> None:
    """One picture of a run: accuracy and agreement against each perturbation."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(4 * len(PERTURBATIONS), 3.6), layout="constrained")
    panels = figure.subplots(1, len(PERTURBATIONS), sharey=True, squeeze=False)[0]
    for axes, (kind, one) in zip(panels, PERTURBATIONS.items(), strict=True):
        axes.plot(*zip(*curves[kind], strict=True), marker="o", ms=4, label="accuracy")
        axes.plot(
            *zip(*curves["agreement"][kind], strict=True), "--", color="#9aa0a6", label="same class as unperturbed"
        )
        axes.set(title=kind, xlabel=one.label, ylim=(0, 1.02), xticks=one.grid[:: one.every])
        axes.axvline(one.neutral, color="#d0d3d6", lw=1, zorder=0)
        axes.grid(color="#e4e6e8")
    figure.axes[0].legend(frameon=False, loc="lower center")
    with folders.replacing(path) as file:
        figure.savefig(file, format="png", dpi=90)
