"""What the network will be fed, as one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.augmentation.apply import build
from pipeline.augmentation.config import Augmentation

CELL, GAP, HEAD = 72, 4, 18  # pixels


def sheet(
    images_NHWC: np.ndarray,
    indices: Sequence[int] | np.ndarray,
    config: Augmentation,
    seed: int,
    path: Path,
    epochs: int = 8,
) -> Path:
    """Write a PNG: a row for each of `indices`, first the original, then what each epoch shows of it.

    The draws are those that a run with this configuration and seed trains on.
    """
    from PIL import Image, ImageDraw

    indices = np.asarray(indices, np.int64)
    some = np.asarray(images_NHWC[indices])
    augment = build(config, seed)
    columns = [some, *(augment(some, epoch, indices) if augment else some for epoch in range(epochs))]
    step = CELL + GAP
    page = Image.new("RGB", (GAP + len(columns) * step, HEAD + len(indices) * step), "white")
    draw = ImageDraw.Draw(page)
    for column, images_BHWC in enumerate(columns):
        left = GAP + column * step
        draw.text((left, 3), "original" if column == 0 else f"epoch {column}", fill="black")
        for row, image_HWC in enumerate(images_BHWC):
            image = Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC).convert("RGB")
            # Enlarged pixel by pixel: the network sees no smoother ones.
            smaller = max(image.size) <= CELL
            image = image.resize((CELL, CELL), Image.Resampling.NEAREST if smaller else Image.Resampling.BOX)
            page.paste(image, (left, HEAD + row * step))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, format="PNG")
    return path
