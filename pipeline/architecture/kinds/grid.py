"""A grid: the means of a map over squares, as one vector; a gap that still knows roughly where things are."""

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from pipeline.architecture import checks
from pipeline.architecture.kinds.kind import Before, Entry, Kind, Option, bare
from pipeline.architecture.plans import Layer

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    channels, *side = before.map_for(entry)
    squares = tuple(min(entry.options["squares"], n) for n in side)
    layer = bare(entry, "grid", (channels * prod(squares),), before.extent)
    return replace(layer, options={"squares": squares})


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from pipeline.architecture.layers import Grid

    return Grid(layer.options["squares"])


KIND = Kind(
    types=("grid",),
    options={"squares": Option(4, checks.count)},  # a side; no more than the map has positions
    place=_place,
    module=_module,
    gives_vector=True,
)
