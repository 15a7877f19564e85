"""A flatten: the values of a map as one vector."""

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from pipeline.architecture.kinds.kind import Before, Entry, Kind, bare
from pipeline.architecture.plans import Layer

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    # Each value still sees what it saw on its map; a view of what is in memory already.
    size = before.layers[-1].receptive_field if len(before.shape) == 1 else before.field.size
    return replace(bare(entry, "flatten", (prod(before.shape),), size), values=0)


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from torch import nn

    return nn.Flatten()


def _stacked(_layer: Layer, _input_shape: tuple[int, ...], members: int) -> "nn.Module":
    from pipeline.architecture.stacked_layers import StackedFlatten

    return StackedFlatten(members)


KIND = Kind(types=("flatten",), options={}, place=_place, module=_module, stacked=_stacked, gives_vector=True)
