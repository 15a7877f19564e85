"""How much turning, sizing and moving a network stands: accuracy against the size of each perturbation.

Test images are perturbed about their centre with bilinear interpolation, and what comes in from outside is black.
Nothing is drawn: the same run gives the same curves. What a curve holds is the mean over the examples; its area
(`invariance/rotation` and so on) is the mean over the points of the grid, so that 1 is a network that no
perturbation of the grid ever misleads.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from pipeline import folders
from pipeline.training.module import Classifier

# At most that many test examples, evenly over the split: 29 passes over them are 6 s of the notes' CNN on two
# cores, and an accuracy moves by 0.011 (one standard error) at the most.
MOST = 2000
BATCH = 500

# Degrees counterclockwise, factors, shares of the side. A share of 1/16 is a whole pixel on sides of 16, 32, ...;
# on 8x8 every second shift is half a pixel and blurs. A quarter of the examples moves each way: right, left,
# down, up.
GRIDS: dict[str, list[float]] = {
    "rotation": [float(degrees) for degrees in range(-90, 91, 15)],
    "scale": [0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5],
    "shift": [k / 16 for k in range(7)],
}
NEUTRAL = {"rotation": 0.0, "scale": 1.0, "shift": 0.0}
LABELS = {"rotation": "degrees counterclockwise", "scale": "times the size", "shift": "share of the side"}
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # (x, y), y down


def measure(module: Classifier, images_NHWC: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> dict[str, Any]:
    """{"rotation": [[degrees, accuracy], ...], "scale", "shift", "agreement": {the same, with the share of examples
    that are called what they are called unperturbed}, "examples": how many}."""
    some = evenly(indices, MOST)
    y = torch.from_numpy(np.asarray(labels[some], dtype=np.int64))
    x_BCHW = torch.from_numpy(np.asarray(images_NHWC[some])).permute(0, 3, 1, 2)
    plain = predictions(module, x_BCHW)
    accuracy: dict[str, Any] = {}
    agreement: dict[str, Any] = {}
    for kind, grid in GRIDS.items():
        accuracy[kind], agreement[kind] = [], []
        for amount in grid:
            found = plain if amount == NEUTRAL[kind] else predictions(module, x_BCHW, kind, amount)
            accuracy[kind].append([amount, (found == y).double().mean().item()])
            agreement[kind].append([amount, (found == plain).double().mean().item()])
    return accuracy | {"agreement": agreement, "examples": len(some)}


def areas(curves: dict[str, Any]) -> dict[str, float]:
    """The mean of each curve over its grid, named `invariance/<kind>`, and of each agreement, `agreement/<kind>`."""

    def mean(curve: list[list[float]]) -> float:
        return float(np.mean([value for _, value in curve]))

    named = {"invariance": curves, "agreement": curves["agreement"]}
    return {f"{name}/{kind}": mean(of[kind]) for name, of in named.items() for kind in GRIDS}


def evenly(indices: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of `indices`, at even distances."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).round().astype(int)]


@torch.no_grad()
def predictions(module: Classifier, x_BCHW: torch.Tensor, kind: str | None = None, amount: float = 0.0) -> torch.Tensor:
    """The class of each uint8 image, perturbed where `kind` is given."""
    found = []
    for start in range(0, len(x_BCHW), BATCH):
        x = x_BCHW[start : start + BATCH].to(module.device)
        if kind:
            x = perturb(x, kind, amount)
        found.append(module(x).argmax(1).cpu())
    return torch.cat(found)


def perturb(x_BCHW: torch.Tensor, kind: str, amount: float) -> torch.Tensor:
    """Images turned, sized or moved by one amount of GRIDS; float32 on the scale of those given.

    A shift moves image i in direction i mod 4.
    """
    back_B23 = torch.zeros(len(x_BCHW), 2, 3, device=x_BCHW.device)  # from output to input, in half sides
    cos, sin, size = 1.0, 0.0, 1.0
    if kind == "rotation":
        cos, sin = float(np.cos(np.deg2rad(amount))), float(np.sin(np.deg2rad(amount)))
    elif kind == "scale":
        size = amount
    else:
        assert kind == "shift", kind
        ways = torch.tensor(DIRECTIONS, dtype=torch.float32, device=x_BCHW.device)
        back_B23[:, :, 2] = -2 * amount * ways[torch.arange(len(x_BCHW), device=x_BCHW.device) % 4]
    back_B23[:, 0, 0] = back_B23[:, 1, 1] = cos / size
    # y points down, so that a turn counterclockwise to the eye takes the output's x to the input's +y.
    back_B23[:, 0, 1], back_B23[:, 1, 0] = -sin / size, sin / size
    grid = F.affine_grid(back_B23, list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW.float().contiguous(), grid, "bilinear", "zeros", align_corners=False)


def draw(curves: dict[str, Any], path: Path) -> None:
    """One picture of a run: accuracy and agreement against each perturbation."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 3, sharey=True), GRIDS, strict=True):
        axes.plot(*zip(*curves[kind], strict=True), marker="o", ms=4, label="accuracy")
        axes.plot(
            *zip(*curves["agreement"][kind], strict=True), "--", color="#9aa0a6", label="same class as unperturbed"
        )
        axes.set(title=kind, xlabel=LABELS[kind], ylim=(0, 1.02), xticks=GRIDS[kind][:: 2 if kind != "rotation" else 3])
        axes.axvline(NEUTRAL[kind], color="#d0d3d6", lw=1, zorder=0)
        axes.grid(color="#e4e6e8")
    figure.axes[0].legend(frameon=False, loc="lower center")
    with folders.replacing(path) as file:
        figure.savefig(file, format="png", dpi=90)
