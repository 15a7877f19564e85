"""A global average pool: the mean of each map."""

from typing import TYPE_CHECKING

from pipeline.architecture.kinds.kind import Before, Entry, Kind, bare
from pipeline.architecture.plans import Layer

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    channels, _, _ = before.map_for(entry)
    return bare(entry, "gap", (channels,), before.extent)


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from pipeline.architecture.layers import GlobalAveragePool

    return GlobalAveragePool()


KIND = Kind(types=("gap",), options={}, place=_place, module=_module, gives_vector=True)
