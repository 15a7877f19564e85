"""A batch norm."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.architecture.kinds.kind import Before, Entry, Kind, pointwise
from pipeline.architecture.plans import Layer

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    channels = before.shape[0]
    return replace(pointwise(entry, before, "batch_norm"), params=2 * channels, formula=f"2*{channels}")


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from torch import nn

    return nn.BatchNorm2d(input_shape[0]) if len(input_shape) == 3 else nn.BatchNorm1d(input_shape[0])


def _stacked(layer: Layer, input_shape: tuple[int, ...], members: int) -> "nn.Module | None":
    """Over the channels of all, where they fill vector registers: what is left over is summed in another order."""
    from pipeline.architecture.stacked_layers import LANES

    aligned = len(input_shape) == 3 and input_shape[0] % LANES == 0
    return _module(layer, (members * input_shape[0], *input_shape[1:])) if aligned else None


KIND = Kind(
    types=("batch_norm",),
    options={},
    place=_place,
    module=_module,
    stacked=_stacked,
    letter="N",
    spell=lambda section, filters: [("norm", {})],
)
