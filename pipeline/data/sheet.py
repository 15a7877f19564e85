"""How pages show pictures of examples: side by side, a row for each class."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np

from pipeline.terminal import literal

CLASSES, EACH = 20, 12  # rows and columns


def chosen(labels: np.ndarray, label: int, most: int = EACH) -> np.ndarray:
    """Indices of up to so many examples of a class, evenly spaced through it."""
    members = np.flatnonzero(labels == label)
    return members[np.linspace(0, len(members) - 1, min(most, len(members))).astype(int)] if len(members) else members


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
        for column, i in enumerate(chosen(labels, row)):
            image = np.asarray(images_NHWC[i])[::step, ::step].repeat(zoom, 0).repeat(zoom, 1)
            top, left = row * (side + gap), column * (side + gap)
            sheet[top : top + side, left : left + side] = image
    return sheet


def embedded(picture_HWC: np.ndarray, alt: str, kind: str = "") -> str:
    """HTML: a picture uint8 [H, W, 3] that needs no file beside the page."""
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(picture_HWC).save(png, "PNG", optimize=True)
    data = base64.b64encode(png.getvalue()).decode()
    named = f' class="{kind}"' if kind else ""
    return f'<img{named} alt="{alt}" src="data:image/png;base64,{data}">'


def named_rows(classes: Sequence[str]) -> str:
    """HTML: which class each row of a contact sheet is."""
    more = f", the first {CLASSES} of {len(classes)} classes" if len(classes) > CLASSES else ""
    names = html.escape(literal(", ".join(map(str, classes[:CLASSES]))))
    return f'<p class="sub">One class in a row{more}, from the top: {names}.</p>'
