"""How well maps find what an image shows, where it is known by a box: the pointing game, and boxes drawn from maps.

Boxes are [N, 4] in pixels of the prepared square, xmin ymin xmax ymax, as `Prepared.boxes`; maps are [N, side, side].
Beside a network stand what needs none: the middle of the image, and where its edges are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from pipeline.insight.attention import class_maps
from pipeline.insight.sanity import shuffled
from pipeline.training.module import Classifier

THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2)  # of a map scaled to 0..1
ENOUGH = 0.5  # of intersection over union
MOST, BATCH = 2000, 100  # images


@dataclass(frozen=True)
class Found:
    """What maps find: each figure is a share of the images that have a box."""

    images: int
    pointing: float
    box: float  # intersection over union of at least ENOUGH, with the threshold that is best on validation
    best_box: float  # MaxBoxAcc: with the threshold that is best on these very images, which nobody knows beforehand
    pixels: float  # PxAP, the box taken for the mask
    threshold: float


def hits(maps_NHW: np.ndarray, boxes_N4: np.ndarray) -> np.ndarray:
    """bool [N]: whether a map's highest pixel lies in the box (Zhang et al. 2016, without their tolerance).

    Of several the mean is taken, so that a map without any peak points at the middle.
    """
    highest = maps_NHW == maps_NHW.max((1, 2), keepdims=True)
    rows, columns = np.mgrid[: maps_NHW.shape[1], : maps_NHW.shape[2]] + 0.5
    counts = highest.sum((1, 2))
    y, x = ((highest * places).sum((1, 2)) / counts for places in (rows, columns))
    xmin, ymin, xmax, ymax = boxes_N4.T
    return (x >= xmin) & (x <= xmax) & (y >= ymin) & (y <= ymax)


def scaled(maps_NHW: np.ndarray) -> np.ndarray:
    """Each map to 0..1; one that is the same everywhere is 1, so that its box is the image."""
    low, high = (f(maps_NHW, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    return np.where(high > low, (maps_NHW - low) / np.where(high > low, high - low, 1), 1.0)


def overlaps(maps_NHW: np.ndarray, boxes_N4: np.ndarray) -> np.ndarray:
    """float [N, thresholds]: the intersection over union of the box and the one about the largest part of the map that
    reaches the threshold."""
    found = np.zeros((len(maps_NHW), len(THRESHOLDS)))
    for n, (one, box) in enumerate(zip(scaled(maps_NHW), boxes_N4, strict=True)):
        for t, threshold in enumerate(THRESHOLDS):
            found[n, t] = union_share(largest_box(one >= threshold), box)
    return found


def largest_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The box about the largest connected part of a mask that holds something."""
    parts, _ = ndimage.label(mask)
    rows, columns = ndimage.find_objects(parts)[np.bincount(parts.ravel())[1:].argmax()]
    return columns.start, rows.start, columns.stop, rows.stop


def union_share(one: tuple[float, float, float, float] | np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = width * height
    return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)


def pixel_precision(maps_NHW: np.ndarray, boxes_N4: np.ndarray) -> float:
    """PxAP (Choe et al. 2020): the average precision of all pixels of all maps, those in a box being the positives."""
    rows, columns = np.mgrid[: maps_NHW.shape[1], : maps_NHW.shape[2]] + 0.5
    xmin, ymin, xmax, ymax = (edge[:, None, None] for edge in boxes_N4.T)
    inside = (columns >= xmin) & (columns <= xmax) & (rows >= ymin) & (rows <= ymax)
    # In 1,000 steps as theirs: 20,000 images of 64 pixels would be a gigabyte to sort.
    steps = np.round(scaled(maps_NHW) * 1000).astype(int)
    within = np.bincount(steps[inside], minlength=1001)[::-1].cumsum()
    all_of_them = np.bincount(steps.ravel(), minlength=1001)[::-1].cumsum()
    precision = within / np.maximum(all_of_them, 1)
    recall = within / max(within[-1], 1)
    return float((np.diff(recall, prepend=0) * precision).sum())


def judge(maps_NHW: np.ndarray, boxes_N4: np.ndarray, val_maps_NHW: np.ndarray, val_boxes_N4: np.ndarray) -> Found:
    """All figures of the maps of some images, with the threshold that those of validation want: of several the middle.

    There must be some of both.
    """
    wanted = (overlaps(val_maps_NHW, val_boxes_N4) >= ENOUGH).mean(0)
    best = np.flatnonzero(wanted == wanted.max())
    chosen = best[len(best) // 2]
    reached = (overlaps(maps_NHW, boxes_N4) >= ENOUGH).mean(0)
    return Found(
        images=len(maps_NHW),
        pointing=float(hits(maps_NHW, boxes_N4).mean()),
        box=float(reached[chosen]),
        best_box=float(reached.max()),
        pixels=pixel_precision(maps_NHW, boxes_N4),
        threshold=float(THRESHOLDS[chosen]),
    )


def middle(images_NHWC: np.ndarray) -> np.ndarray:
    """Maps [N, H, W] that fall off from the middle of each image: what a photographer does already."""
    height, width = images_NHWC.shape[1:3]
    rows, columns = np.mgrid[:height, :width] + 0.5
    away = np.maximum(abs(rows / height - 0.5), abs(columns / width - 0.5))
    return np.broadcast_to(0.5 - away, (len(images_NHWC), height, width)).copy()


def edges(images_NHWC: np.ndarray) -> np.ndarray:
    """Maps [N, H, W] of how much edge there is: the size of the slope of grey, smoothed over a tenth of the side."""
    grey = images_NHWC.astype(np.float64).mean(3)
    slope = np.hypot(*np.gradient(grey, axis=(1, 2)))
    return ndimage.gaussian_filter(slope, (0, *(side / 10 for side in grey.shape[1:])))


def measure(
    module: Classifier,
    images_NHWC: np.ndarray,
    labels: np.ndarray,
    boxes_N4: np.ndarray,
    val: np.ndarray,
    test: np.ndarray,
    alone: bool = False,
) -> dict[str, Found]:
    """What the maps of a network find, and beside them, unless alone, those of shuffled weights, the middle, the edges.

    The maps are those of the class that an image is of, also where the network calls it another. `val` and `test` are
    the indices of the splits. Images without a box are passed by, and of more than 2,000 as many are taken, evenly;
    empty where either split has none.
    """
    parts = [_with_box(boxes_N4, some) for some in (val, test)]
    if not all(len(some) for some in parts):
        return {}
    pictures = [np.asarray(images_NHWC[some]) for some in parts]
    boxes = [np.asarray(boxes_N4[some], np.float64) for some in parts]
    found = {}
    drawings: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "network": lambda some, x: _maps(module, x, labels[some])
    }
    if not alone:
        other = shuffled(module)
        drawings |= {
            "shuffled weights": lambda some, x: _maps(other, x, labels[some]),
            "the middle": lambda _some, x: middle(x),
            "edges": lambda _some, x: edges(x),
        }
    for name, draw in drawings.items():
        of_val, of_test = (draw(some, x) for some, x in zip(parts, pictures, strict=True))
        found[name] = judge(of_test, boxes[1], of_val, boxes[0])
    return found


def _with_box(boxes_N4: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Those that have one, at most MOST of them, evenly."""
    some = some[~np.isnan(np.asarray(boxes_N4[some])).any(1)]
    return some[np.unique(np.linspace(0, len(some) - 1, min(MOST, len(some))).astype(int))] if len(some) else some


def _maps(module: Classifier, images_NHWC: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Maps [N, side, side] of each image's own class."""
    drawn = []
    for start in range(0, len(images_NHWC), BATCH):
        x_BCHW = torch.from_numpy(images_NHWC[start : start + BATCH]).permute(0, 3, 1, 2).to(module.device)
        own = torch.from_numpy(np.asarray(labels[start : start + BATCH], dtype=np.int64)).to(module.device)
        drawn.append(class_maps(module, x_BCHW, own).upsampled(images_NHWC.shape[1]).double().cpu().numpy())
    return np.concatenate(drawn)
