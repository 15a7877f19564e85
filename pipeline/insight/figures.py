"""The insides of a network, drawn: maps over images, filters, what excites them, and an image layer by layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pipeline.insight import attention, filters, sanity, taps
from pipeline.training.module import Classifier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOR, AGAINST = (200, 64, 31), (33, 102, 172)  # RGB
MOST_FILTERS, MOST_LAYERS = 32, 8  # in a figure


def maps(
    module: Classifier, x_BCHW: Tensor, truth_B: Tensor, names: Sequence[str], titles: Sequence[str]
) -> "tuple[Figure, list[str]]":
    """A row for each image: what spoke for the class it was given and for its own, what covering says, and the same
    of a network of shuffled weights. With it sentences on how far the maps can be trusted.

    Red speaks for the class, blue against it; a map has a scale of its own, except that the two classes share one.
    """
    with torch.no_grad():
        given_B = module(x_BCHW).argmax(1)
    chosen, own = (attention.class_maps(module, x_BCHW, kind) for kind in (given_B, truth_B))
    covered = attention.class_maps(module, x_BCHW, given_B, "occlusion")
    other = attention.class_maps(sanity.shuffled(module), x_BCHW, given_B, chosen.method)
    side = x_BCHW.shape[2]
    kind = {"cam": "map", "grad_cam": "Grad-CAM", "occlusion": "covering"}[chosen.method]
    figure = _figure(9.2, 1.95 * len(x_BCHW))
    grid = figure.subplots(len(x_BCHW), 5, squeeze=False)
    for n, axes in enumerate(grid):
        image = _image(x_BCHW[n])
        _picture(axes[0], image, titles[n])
        top = float(torch.stack([chosen.values[n], own.values[n]]).abs().max())
        for where, maps_, word, scale in (
            (axes[1], chosen, f"{kind}: {names[int(given_B[n])]}", top),
            (axes[2], own, f"{kind}: {names[int(truth_B[n])]} (true)", top),
            (axes[3], covered, f"covering: {names[int(given_B[n])]}", None),
            (axes[4], other, f"{kind}, weights shuffled", None),
        ):
            over(where, image, maps_.upsampled(side)[n].cpu().numpy(), word, scale)
            if bool(maps_.silent()[n]):
                where.text(0.5, 0.04, "nothing for it", transform=where.transAxes, ha="center", fontsize=8,
                           bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
    return figure, _trust(chosen, covered, other, side)


def _trust(
    chosen: attention.ClassMaps, covered: attention.ClassMaps, other: attention.ClassMaps, side: int
) -> list[str]:
    """How like the maps are to those that need no gradient, and to those of no learning."""
    said = []
    few = min(10, side)  # more would only repeat the ranks of what is interpolated between a few places
    for what, others, note in (
        ("what covering says", covered, ""),
        ("the maps of the same network with shuffled weights", other,
         "; the nearer that is to 1, the more they tell of the images alone (Adebayo et al. 2018)"),
    ):  # fmt: skip
        if others.method == chosen.method == "occlusion" and others is covered:
            continue
        alike = sanity.likeness(chosen.upsampled(few), others.upsampled(few))
        known = alike[~alike.isnan()]
        if len(known):
            said.append(f"Rank correlation of the maps with {what}: {known.median().item():+.2f} (median){note}.")
        if len(known) < len(alike):
            said.append(f"{len(alike) - len(known)} of {len(alike)} maps cannot be set beside {what}: "
                        "one of the two is the same everywhere.")  # fmt: skip
    return said


def first_filters(module: Classifier) -> "Figure | None":
    """The first convolution's filters as they weigh pixels; None where the network begins with none."""
    found = filters.first_filters(module)
    if found is None:
        return None
    grey = found.shape[3] == 1
    return _tiles([one[:, :, 0] if grey else one for one in found[:MOST_FILTERS]], "gray" if grey else None)


def exciting(module: Classifier, images_NHWC: np.ndarray) -> "tuple[Figure, str] | None":
    """For some filters of the last map, the images that they answer most to, a cross at the peak; and what is shown.

    Filters that answer to no image more than to another are counted alone.
    """
    found = filters.exciting(module, images_NHWC)
    if found is None:
        return None
    alive = np.flatnonzero(found.values[:, 0] != found.values[:, -1])
    said = f"{len(found.images)} filters of {found.layer}"
    if dead := len(found.images) - len(alive):
        said += f", {dead} of which answer to all of the {len(images_NHWC):,} images alike"
    if not len(alive):
        return None
    shown = alive[np.linspace(0, len(alive) - 1, min(12, len(alive))).astype(int)]
    figure = _figure(9.2, 0.95 * -(-len(shown) // 2))
    width = found.images.shape[1]
    grid = figure.subplots(-(-len(shown) // 2), 2 * width, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    side = images_NHWC.shape[1]
    for i, one in enumerate(shown):
        for k in range(width):
            axes = grid[i // 2, (i % 2) * width + k]
            _picture(axes, _pixels(images_NHWC[found.images[one, k]]), f"filter {one}" if k == 0 else "")
            row, column = found.peaks[one, k] * side - 0.5
            axes.plot(column, row, "+", color=[one / 255 for one in FOR], ms=9, mew=1.6)
    return figure, said


def layers(module: Classifier, x_CHW: Tensor) -> "Figure | None":
    """One image as the network's maps show it, a row for each layer, its most active channels first."""
    found = {name: values for name, values in taps.outputs(module, x_CHW[None]).items() if max(values.shape[2:]) > 1}
    if not found:
        return None
    names = [
        list(found)[i] for i in np.unique(np.linspace(0, len(found) - 1, min(MOST_LAYERS, len(found))).astype(int))
    ]
    figure = _figure(9.2, 1.1 * len(names))
    for name, axes in zip(names, figure.subplots(len(names), 9, squeeze=False), strict=True):
        map_CHW = found[name][0].float().cpu()
        order = map_CHW.abs().mean((1, 2)).argsort(descending=True)[: len(axes) - 1]
        for one in axes:
            one.axis("off")
        height, width = map_CHW.shape[1:]
        axes[0].text(0, 0.5, f"{name}\n{len(map_CHW)} maps, {height}x{width}", va="center", fontsize=8.5)
        for place, channel in zip(axes[1:], order, strict=False):
            _picture(place, map_CHW[channel].numpy(), f"{int(channel)}", cmap="viridis", small=True)
    return figure


def over(axes: "Axes", image: np.ndarray, map_HW: np.ndarray, title: str, scale: float | None = None) -> None:
    """A map over its image, see `blended`."""
    _picture(axes, blended(image, map_HW, scale), title)


def blended(image: np.ndarray, map_HW: np.ndarray, scale: float | None = None) -> np.ndarray:
    """float [H, W, 3] in 0..1: the image ([H, W] or [H, W, 3], in 0..1) in grey, with the map over it.

    Red where that is above 0, blue below. scale: what is coloured most; None: the largest value of the map.
    """
    top = scale or float(np.abs(map_HW).max()) or 1.0
    grey = image if image.ndim == 2 else image.mean(2)
    base = (0.35 + 0.6 * grey)[..., None].repeat(3, 2)
    strength = np.clip(np.abs(map_HW) / top, 0, 1)[..., None] * 0.8
    colour = np.where((map_HW > 0)[..., None], FOR, AGAINST) / 255
    mixed: np.ndarray = base * (1 - strength) + colour * strength
    return mixed


def _picture(axes: "Axes", image: np.ndarray, title: str, cmap: str | None = None, small: bool = False) -> None:
    axes.axis("off")
    options: dict[str, Any] = {"cmap": cmap} if cmap else {"cmap": "gray", "vmin": 0, "vmax": 1}
    axes.imshow(image, interpolation="nearest", **options)
    axes.set_title(title.replace("$", r"\$"), fontsize=7 if small else 8, loc="center", pad=2)


def _tiles(images: list[np.ndarray], cmap: str | None) -> "Figure":
    columns = min(16, len(images))
    rows = -(-len(images) // columns)
    figure = _figure(0.58 * columns, 0.62 * rows)
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, image in zip(figure.axes, images, strict=False):
        axes.imshow(image, cmap=cmap, vmin=0, vmax=1, interpolation="nearest")
    return figure


def _image(x_CHW: Tensor) -> np.ndarray:
    return _pixels(x_CHW.permute(1, 2, 0).cpu().numpy())


def _pixels(image_HWC: np.ndarray) -> np.ndarray:
    image = image_HWC.astype(np.float32) / 255
    return image[:, :, 0] if image.shape[2] == 1 else image


def _figure(width_in: float, height_in: float) -> "Figure":
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    return Figure(figsize=(width_in, height_in), layout="constrained")
