"""A depthwise convolution: one filter for each channel, which sees that channel alone (Chollet 2017, Xception)."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.architecture import geometry
from pipeline.architecture.kinds.kind import Before, BlockOptions, Entry, Kind, Options
from pipeline.architecture.kinds.window import CONV_OPTIONS, conv_options, slide
from pipeline.architecture.plans import Layer
from pipeline.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    channels, _, _ = before.map_for(entry)
    layer = slide(entry, before, "depthwise", "kernel_size", channels)
    kernel = layer.options["kernel_size"]
    _, height, width = layer.output_shape
    return replace(
        layer,
        params=geometry.conv_params(channels, kernel, 1),
        macs=geometry.conv_macs(height * width, channels, kernel, 1),
        formula=f"{channels}*({geometry.area_text(kernel)}+1)",
    )


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from pipeline.architecture.layers import convolution

    channels = input_shape[0]
    kernel, stride, pads = (layer.options[key] for key in ("kernel_size", "stride", "pads"))
    return convolution(channels, channels, kernel, stride, pads, groups=channels)


def _stacked(layer: Layer, input_shape: tuple[int, ...], members: int) -> "nn.Module":
    return _module(layer, (members * input_shape[0], *input_shape[1:]))


def _spell(section: BlockOptions, filters: int) -> list[tuple[str, Options]]:
    """With the window of the block's convolution. It keeps the channels it gets, whatever `filters` says."""
    if not section.weight_sharing:
        raise InputError(
            "architecture.weight_sharing=false: is not to be had for W (depthwise) in architecture.block. "
            "Leave out W, or share weights."
        )
    window = conv_options(section, filters)
    return [("depthwise", {option: window[option] for option in KIND.options})]


KIND = Kind(
    types=("depthwise",),
    options={name: option for name, option in CONV_OPTIONS.items() if name != "filters"},
    place=_place,
    module=_module,
    stacked=_stacked,
    letter="W",
    spell=_spell,
    family="conv",
)
