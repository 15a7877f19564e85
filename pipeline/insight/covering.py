"""How much less sure a network is of a class where a square of the image is covered (Zeiler and Fergus 2014)."""

import torch
from torch import Tensor

from pipeline.training.module import Classifier

SHARE = 4  # a square is a fourth of the side wide, and moves by half of its own
BATCH = 256


@torch.no_grad()
def occlusion(module: Classifier, x_BCHW: Tensor, classes_B: Tensor) -> Tensor:
    """float [B, H, W]: for each pixel the mean, over the squares that cover it, of the probability lost.

    A square has the mean colour of the training images. One image at a time, its squares as a batch.
    """
    height, width = x_BCHW.shape[2:]
    tall, wide = max(1, height // SHARE), max(1, width // SHARE)
    corners = [(top, left) for top in _starts(height, tall) for left in _starts(width, wide)]
    colour_C = (module.mean.flatten() * 255).round().to(x_BCHW)
    if len(colour_C) != x_BCHW.shape[1]:  # a network of colour looks at grey, or the other way round
        colour_C = colour_C.float().mean().round().to(x_BCHW).expand(x_BCHW.shape[1])
    before_B = module(x_BCHW).softmax(1).gather(1, classes_B[:, None])[:, 0]
    found = []
    for x_CHW, kind, before in zip(x_BCHW, classes_B, before_B, strict=True):
        lost, covers = torch.zeros(2, height, width, device=x_BCHW.device)
        for start in range(0, len(corners), BATCH):
            some = corners[start : start + BATCH]
            covered = x_CHW.repeat(len(some), 1, 1, 1)
            for one, (top, left) in zip(covered, some, strict=True):
                one[:, top : top + tall, left : left + wide] = colour_C[:, None, None]
            after = module(covered).softmax(1)[:, kind]
            for (top, left), drop in zip(some, before - after, strict=True):
                lost[top : top + tall, left : left + wide] += drop
                covers[top : top + tall, left : left + wide] += 1
        found.append(lost / covers)
    return torch.stack(found)


def _starts(side: int, square: int) -> list[int]:
    """Where squares begin, so that every pixel is covered: by half a square, the last at the edge."""
    starts = list(range(0, side - square + 1, max(1, square // 2)))
    return starts if starts[-1] == side - square else [*starts, side - square]
