"""Three ways to bring an image of any shape onto a square.

| policy  | larger than the square          | smaller                        | not square                    |
|---------|---------------------------------|--------------------------------|-------------------------------|
| pad     | shrunk to fit, shape kept       | pixels kept, black around      | black on the two short sides  |
| stretch | shrunk                          | enlarged                       | shape distorted               |
| crop    | shrunk after the crop           | enlarged after the crop        | cut to its central square     |

Shrinking averages over pixel areas, enlarging is bilinear. Where a margin or a cut is odd, the odd pixel
is at the bottom right.
"""

import numpy as np


def fit(images: np.ndarray, size: int, policy: str) -> np.ndarray:
    """uint8 [n, H, W, C] to uint8 [n, size, size, C]. Images that fit already come back as they are."""
    n, height, width, channels = images.shape
    if (height, width) == (size, size):
        return images
    if policy == "pad":
        scale = min(1.0, size / max(height, width))
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        square = np.zeros((n, size, size, channels), np.uint8)
        top, left = (size - height) // 2, (size - width) // 2
        square[:, top : top + height, left : left + width] = _scale(images, height, width)
        return square
    if policy == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, top : top + side, left : left + side]
    return _scale(images, size, size)


def fit_box(box: np.ndarray, height: int, width: int, size: int, policy: str) -> np.ndarray:
    """[xmin, ymin, xmax, ymax] in pixels of an image, in pixels of the square that `fit` makes of it.

    Cut where the image is; four NaN where nothing of the box is left, or it had no area.
    """
    scale_x, scale_y, left, top = size / width, size / height, 0.0, 0.0
    low, high = np.zeros(2), np.array([size, size], np.float64)
    if policy == "pad" and (height, width) != (size, size):
        scale = min(1.0, size / max(height, width))
        inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
        scale_x, scale_y = inner_width / width, inner_height / height
        left, top = (size - inner_width) // 2, (size - inner_height) // 2
        low = np.array([left, top], np.float64)
        high = low + np.array([inner_width, inner_height])
    elif policy == "crop":
        side = min(height, width)
        scale_x = scale_y = size / side
        left, top = -((width - side) // 2) * scale_x, -((height - side) // 2) * scale_y
    corners = np.asarray(box, np.float64).reshape(2, 2) * [scale_x, scale_y] + [left, top]
    corners = np.clip(corners, low, high)
    return corners.reshape(4) if (corners[1] > corners[0]).all() else np.full(4, np.nan)


def _scale(images: np.ndarray, height: int, width: int) -> np.ndarray:
    n, from_height, from_width, channels = images.shape
    if (from_height, from_width) == (height, width):
        return images
    import cv2

    scaled = np.empty((n, height, width, channels), np.uint8)
    for i, image in enumerate(images):
        # First what shrinks, then what grows: each direction gets the method that suits it.
        smaller = (min(width, from_width), min(height, from_height))
        image = cv2.resize(np.ascontiguousarray(image), smaller, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        scaled[i] = image.reshape(height, width, channels)
    return scaled
