"""Convolutions of several widths side by side along a sequence, each filter's maximum over it (Kim 2014).

One vector comes of it: what each filter found, wherever it was.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.architecture import checks, geometry
from pipeline.architecture.kinds import activation
from pipeline.architecture.kinds.kind import Before, Entry, Kind, Option, bare
from pipeline.architecture.kinds.window import DoesNotFitError
from pipeline.architecture.plans import Layer, shape_text
from pipeline.errors import InputError, one_of

if TYPE_CHECKING:
    from torch import nn


def _check_activation(key: str, value: object) -> None:
    one_of(key, value, [*activation.ACTIVATIONS, "none"])


def _place(entry: Entry, before: Before) -> Layer:
    depth, height, places = before.map_for(entry)
    if not before.is_sequence:
        raise InputError(
            f"{entry.keys['']}: layer {entry.name} goes along a sequence, and the input is a "
            f"{shape_text(before.image_shape)} image. Use conv layers."
        )
    widths, filters, padding = (entry.options[option] for option in ("widths", "filters", "padding"))
    outputs = [geometry.output_size(places, width, 1, padding) for width in widths]
    for i, (width, found) in enumerate(zip(widths, outputs, strict=True)):
        if found < 1:
            key = f"{entry.keys['widths']}[{i}]"
            raise DoesNotFitError(entry, "widths", (1, width), (height, places), key)
    convs = list(zip(outputs, widths, strict=True))
    units = filters * len(widths)
    seen = f"({'+'.join(map(str, widths))})" if len(widths) > 1 else f"{widths[0]}"
    return replace(
        bare(entry, "widths", (units,), before.extent),
        params=sum(geometry.conv_params(filters, (1, width), depth) for width in widths),
        macs=sum(geometry.conv_macs(found, filters, (1, width), depth) for found, width in convs),
        formula=f"{filters}*({seen}*{depth}+{len(widths)})",
        options={
            "widths": tuple(widths),
            "filters": filters,
            "activation": entry.options["activation"],
            "padding": padding,
        },
        # What the convolutions write, and the activation behind them.
        values=sum(outputs) * filters * (1 if entry.options["activation"] == "none" else 2) + units,
    )


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from torch import nn

    from pipeline.architecture.layers import Widths

    depth, _, places = input_shape
    widths, filters, name, padding = (layer.options[key] for key in ("widths", "filters", "activation", "padding"))
    pads = [(width, ((0, 0), geometry.pads(places, width, 1, padding))) for width in widths]
    made: nn.Module = nn.Identity() if name == "none" else getattr(nn, activation.ACTIVATIONS[name])()
    return Widths(depth, filters, pads, made)


KIND = Kind(
    types=("widths",),
    options={
        "widths": Option((3, 4, 5), checks.kernels),
        "filters": Option(..., checks.count),
        "activation": Option("relu", _check_activation),
        "padding": Option("valid", checks.padding),
    },
    place=_place,
    module=_module,
    family="widths",
)
