"""Labelled photos for who has none at hand: pieces of the two photos that scikit-learn embeds, a folder for each class.

What they show was told by eye. Pieces do not overlap, so that none has pixels of another. Colours tell most of them
apart, and not all: walls and petals, trees and leaves. A small network reaches about 0.97.
"""

import io
from collections.abc import Iterator

SIDE_PX = 24
MOST = 90  # of a class

# Class -> the photo, and rectangles (left, top, right, bottom) of it that show nothing else.
PLACES = {
    "leaf": ("flower", [(0, 0, 160, 427), (450, 0, 640, 390)]),
    "pagoda": ("china", [(114, 78, 312, 132), (108, 132, 312, 240), (80, 240, 344, 348), (204, 348, 340, 384)]),
    "petal": ("flower", [(200, 140, 420, 310), (240, 100, 380, 140), (230, 310, 390, 345), (300, 388, 440, 427)]),
    "sky": ("china", [(330, 0, 640, 130), (330, 130, 540, 196), (0, 0, 96, 180)]),
    "tree": ("china", [(0, 340, 200, 427), (376, 320, 640, 427), (566, 190, 640, 320), (420, 290, 566, 320)]),
}


def photos() -> Iterator[tuple[str, bytes]]:
    """(class/name.png, the file's bytes): about 430 of 24x24 pixels, the same every time."""
    from PIL import Image
    from sklearn.datasets import load_sample_image  # half a second

    for kind, (photo, rectangles) in PLACES.items():
        photo_HWC = load_sample_image(f"{photo}.jpg")
        found = [
            (left, top)
            for x, y, right, bottom in rectangles
            for top in range(y, bottom - SIDE_PX + 1, SIDE_PX)
            for left in range(x, right - SIDE_PX + 1, SIDE_PX)
        ]
        # As many as wanted, evenly over the whole.
        n = min(len(found), MOST)
        for left, top in (found[i * len(found) // n] for i in range(n)):
            file = io.BytesIO()
            Image.fromarray(photo_HWC[top : top + SIDE_PX, left : left + SIDE_PX]).save(file, "png")
            yield f"{kind}/{photo}-{left:03}-{top:03}.png", file.getvalue()
