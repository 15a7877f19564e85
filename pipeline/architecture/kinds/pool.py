"""A pool: the maximum or the mean of each window."""

from typing import TYPE_CHECKING

from pipeline.architecture import checks
from pipeline.architecture.kinds import activation, conv
from pipeline.architecture.kinds.kind import Before, BlockOptions, Entry, Kind, Option, Options, alike
from pipeline.architecture.kinds.window import slide
from pipeline.architecture.plans import Layer
from pipeline.errors import one_of

if TYPE_CHECKING:
    from torch import nn

POOLS = ("max", "avg")


def _check_type(key: str, value: object) -> None:
    one_of(key, value, POOLS)


def _place(entry: Entry, before: Before) -> Layer:
    channels, _, _ = before.map_for(entry)
    return slide(entry, before, f"{entry.options['type']}_pool", "size", channels)


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from torch import nn

    from pipeline.architecture.layers import UnevenAvgPool2d, UnevenMaxPool2d, are_even

    kernel, stride, pads = (layer.options[key] for key in ("kernel_size", "stride", "pads"))
    (top, _), (left, _) = pads
    if layer.type == "max_pool":
        if are_even(pads):
            return nn.MaxPool2d(kernel, stride, padding=(top, left))
        return UnevenMaxPool2d(kernel, stride, pads)
    if are_even(pads):
        return nn.AvgPool2d(kernel, stride, padding=(top, left), count_include_pad=False)
    return UnevenAvgPool2d(kernel, stride, pads)


def _complete(options: Options, where: str, classes: int | None) -> None:
    if options["stride"] is None:
        options["stride"] = options["size"]


def _spell(section: BlockOptions, filters: int) -> list[tuple[str, Options]]:
    """A pool; or what reduces the map in its place: a convolution with its activation (Springenberg et al. 2015)."""
    if section.pool == "none":
        return []
    stride = section.pool_size if section.pool_stride is None else section.pool_stride
    if section.pool == "conv":
        [(kind, window)] = conv.spell(section, filters)
        return [(kind, {**window, "stride": stride}), *activation.spell(section.activation)]
    options = {"type": section.pool, "size": section.pool_size, "stride": stride, "padding": section.pool_padding}
    return [("pool", options)]


KIND = Kind(
    types=("max_pool", "avg_pool"),
    options={
        "type": Option("max", _check_type),
        "size": Option(2, checks.count),
        "stride": Option(None, checks.count_or_none),  # None: as its size
        "padding": Option("valid", checks.padding),
    },
    place=_place,
    module=_module,
    stacked=alike(_module),
    complete=_complete,
    letter="P",
    spell=_spell,
    key_prefix="pool_",
    family="pool",
)
