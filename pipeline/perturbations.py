"""What a network's test images are perturbed by, an entry each: what is done to them, by how much, how it is shown.

Read by whatever measures, draws or compares; importing it does not import torch. Images are perturbed about their
centre with bilinear interpolation, and what comes in from outside is black. Nothing is drawn by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # (x, y), y down


@dataclass(frozen=True)
class Perturbation:
    """A way of changing images by an amount.

    apply(x_BCHW, amount): the images changed, float32 on the scale of those given. grid: the amounts that are measured,
    neutral among them, which changes nothing. label: what an amount is. ticks: the amounts named on an axis of a page,
    None for matplotlib's choice; every: of the grid, each which is named on the narrow axes of a run's own picture.
    """

    apply: "Callable[[Tensor, float], Tensor]"
    grid: tuple[float, ...]
    neutral: float
    label: str
    ticks: Sequence[float] | None = None
    every: int = 2


def rotate(x_BCHW: "Tensor", degrees: float) -> "Tensor":
    """Images turned counterclockwise."""
    angle = np.deg2rad(degrees)
    return _warp(x_BCHW, cos=float(np.cos(angle)), sin=float(np.sin(angle)))


def scale(x_BCHW: "Tensor", factor: float) -> "Tensor":
    """Images sized by a factor."""
    return _warp(x_BCHW, size=factor)


def shift(x_BCHW: "Tensor", share: float) -> "Tensor":
    """Images moved by a share of their side, image i in direction i mod 4."""
    return _warp(x_BCHW, by=share)


def _warp(x_BCHW: "Tensor", cos: float = 1.0, sin: float = 0.0, size: float = 1.0, by: float = 0.0) -> "Tensor":
    import torch
    from torch.nn import functional as F

    back_B23 = torch.zeros(len(x_BCHW), 2, 3, device=x_BCHW.device)  # from output to input, in half sides
    if by:
        ways = torch.tensor(DIRECTIONS, dtype=torch.float32, device=x_BCHW.device)
        back_B23[:, :, 2] = -2 * by * ways[torch.arange(len(x_BCHW), device=x_BCHW.device) % 4]
    back_B23[:, 0, 0] = back_B23[:, 1, 1] = cos / size
    # y points down, so that a turn counterclockwise to the eye takes the output's x to the input's +y.
    back_B23[:, 0, 1], back_B23[:, 1, 0] = -sin / size, sin / size
    grid = F.affine_grid(back_B23, list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW.float().contiguous(), grid, "bilinear", "zeros", align_corners=False)


# A share of 1/16 is a whole pixel on sides of 16, 32, ...; on 8x8 every second shift is half a pixel and blurs.
PERTURBATIONS = {
    "rotation": Perturbation(
        rotate,
        grid=tuple(float(degrees) for degrees in range(-90, 91, 15)),
        neutral=0.0,
        label="degrees counterclockwise",
        ticks=range(-90, 91, 30),
        every=3,
    ),
    "scale": Perturbation(
        scale, grid=(0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5), neutral=1.0, label="times the size"
    ),
    "shift": Perturbation(shift, grid=tuple(k / 16 for k in range(7)), neutral=0.0, label="share of the side"),
}
