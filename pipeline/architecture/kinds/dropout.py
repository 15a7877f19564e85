"""A dropout."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.architecture import checks
from pipeline.architecture.kinds.kind import Before, Entry, Kind, Option, pointwise
from pipeline.architecture.plans import Layer

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    return replace(pointwise(entry, before, "dropout"), options={"rate": entry.options["rate"]})


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from torch import nn

    return nn.Dropout(layer.options["rate"])


def _stacked(layer: Layer, input_shape: tuple[int, ...], members: int) -> "nn.Module":
    from pipeline.architecture.stacked_layers import StackedDropout

    return StackedDropout(members, layer.options["rate"])


KIND = Kind(
    types=("dropout",),
    options={"rate": Option(..., checks.rate)},
    place=_place,
    module=_module,
    stacked=_stacked,
    shorthand="rate",
    letter="D",
    spell=lambda section, filters: [("dropout", {"rate": section.dropout})] if section.dropout else [],
)
