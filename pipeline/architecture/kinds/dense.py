"""A dense layer. In a list, its units are as many as there are classes, unless they are given."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.architecture import checks, geometry
from pipeline.architecture.kinds.kind import Before, Entry, Kind, Option, Options, bare
from pipeline.architecture.plans import Layer
from pipeline.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    inputs, units = before.vector_for(entry), entry.options["units"]
    return replace(
        bare(entry, "dense", (units,), before.extent),
        params=geometry.dense_params(units, inputs),
        macs=units * inputs,
        formula=f"{units}*({inputs}+1)",
        options={"units": units},
    )


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from torch import nn

    return nn.Linear(input_shape[0], layer.options["units"])


def _complete(options: Options, where: str, classes: int | None) -> None:
    if options["units"] is None:
        if classes is None:
            raise InputError(f"{where}.units: must be given, as the number of classes is unknown.")
        options["units"] = classes


def _stacked(layer: Layer, input_shape: tuple[int, ...], members: int) -> "nn.Module":
    from pipeline.architecture.stacked_layers import StackedLinear

    return StackedLinear(members, input_shape[0], layer.options["units"])


KIND = Kind(
    types=("dense",),
    options={"units": Option(None, checks.count_or_none)},
    place=_place,
    module=_module,
    stacked=_stacked,
    shorthand="units",
    complete=_complete,
    family="dense",
    gives_vector=True,
)
