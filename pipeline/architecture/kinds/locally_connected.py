"""A convolution without weight sharing: filters of its own at every position. In blocks: weight_sharing=false."""

from typing import TYPE_CHECKING

from pipeline.architecture import geometry
from pipeline.architecture.kinds.kind import Before, Entry, Kind
from pipeline.architecture.kinds.window import CONV_OPTIONS, place_filters
from pipeline.architecture.plans import Layer

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    formula = "{positions}*{filters}*({area}*{depth}+1)"
    return place_filters(entry, before, "locally_connected", geometry.locally_connected_params, formula)


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from pipeline.architecture.layers import LocallyConnected2d

    filters, kernel, stride, pads = (layer.options[key] for key in ("filters", "kernel_size", "stride", "pads"))
    _, height, width = layer.output_shape
    return LocallyConnected2d(input_shape[0], filters, kernel, stride, pads, (height, width))


KIND = Kind(
    types=("locally_connected",),
    options=CONV_OPTIONS,
    place=_place,
    module=_module,
    family="conv",
)
