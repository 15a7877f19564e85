"""How a card shows images: side by side, and in words."""

import numpy as np

CLASSES, EACH = 20, 12  # rows and columns


def shape_in_words(shape: tuple[int, int, int]) -> str:
    """Of (C, H, W)."""
    channels, height, width = shape
    return f"{height}x{width} {'grey' if channels == 1 else 'colour'}"


def contact_sheet(images_NHWC: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """uint8 [H, W, 3]: a row for each of the first classes, images evenly spaced through each."""
    size = images_NHWC.shape[1]
    zoom = max(1, 48 // size)
    step = max(1, -(-size // 96))  # large ones are thinned out
    side = len(range(0, size, step)) * zoom
    gap = 2
    rows = min(CLASSES, classes)
    sheet = np.full((rows * (side + gap) - gap, EACH * (side + gap) - gap, 3), 255, np.uint8)
    for row in range(rows):
        members = np.flatnonzero(labels == row)
        chosen = members[np.linspace(0, len(members) - 1, min(EACH, len(members))).astype(int)] if len(members) else []
        for column, i in enumerate(chosen):
            image = np.asarray(images_NHWC[i])[::step, ::step].repeat(zoom, 0).repeat(zoom, 1)
            top, left = row * (side + gap), column * (side + gap)
            sheet[top : top + side, left : left + side] = image
    return sheet
