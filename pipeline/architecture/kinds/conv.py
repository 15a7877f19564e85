"""A convolution: the same filters at every position."""

from typing import TYPE_CHECKING

from pipeline.architecture import geometry
from pipeline.architecture.kinds.kind import Before, BlockOptions, Entry, Kind, Options
from pipeline.architecture.kinds.window import CONV_OPTIONS, conv_options, place_filters
from pipeline.architecture.plans import Layer

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    def params(_positions: int, filters: int, kernel: geometry.Window, depth: int) -> int:
        return geometry.conv_params(filters, kernel, depth)

    return place_filters(entry, before, "conv", params, "{filters}*({area}*{depth}+1)")


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from pipeline.architecture.layers import convolution

    filters, kernel, stride, pads = (layer.options[key] for key in ("filters", "kernel_size", "stride", "pads"))
    return convolution(input_shape[0], filters, kernel, stride, pads)


def _stacked(layer: Layer, input_shape: tuple[int, ...], members: int) -> "nn.Module | None":
    """One convolution in as many groups, where those are of a size that all are computed alike."""
    from torch import nn

    from pipeline.architecture.layers import convolution
    from pipeline.architecture.stacked_layers import StackedFirstConv2d

    filters, kernel, stride, pads = (layer.options[key] for key in ("filters", "kernel_size", "stride", "pads"))
    depth, of_images = input_shape[0], input_shape[0] in (1, 3)
    if filters % 8 or (depth % 8 and not of_images):
        return None
    even = StackedFirstConv2d if of_images else nn.Conv2d
    return convolution(members * depth, members * filters, kernel, stride, pads, groups=members, even=even)


def spell(section: BlockOptions, filters: int) -> list[tuple[str, Options]]:
    """The convolution of a block, with filters of its own at every position where weights are not shared."""
    return [("conv" if section.weight_sharing else "locally_connected", conv_options(section, filters))]


KIND = Kind(
    types=("conv",),
    options=CONV_OPTIONS,
    place=_place,
    module=_module,
    stacked=_stacked,
    letter="C",
    spell=spell,
    family="conv",
)
