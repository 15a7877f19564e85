"""An activation: a function of each value alone."""

from typing import TYPE_CHECKING

from pipeline.architecture.kinds.kind import Before, Entry, Kind, Option, Options, pointwise
from pipeline.architecture.plans import Layer
from pipeline.errors import one_of

if TYPE_CHECKING:
    from torch import nn

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "gelu": "GELU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}
"""What each is called in torch.nn."""


def _check_type(key: str, value: object) -> None:
    one_of(key, value, ACTIVATIONS)


def _place(entry: Entry, before: Before) -> Layer:
    return pointwise(entry, before, entry.options["type"])


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from torch import nn

    module: nn.Module = getattr(nn, ACTIVATIONS[layer.type])()
    return module


def _stacked(layer: Layer, input_shape: tuple[int, ...], members: int) -> "nn.Module | None":
    """The others' last few values of a tensor are computed by other code than the rest."""
    return _module(layer, input_shape) if layer.type in ("relu", "leaky_relu") else None


def spell(activation: str) -> list[tuple[str, Options]]:
    """The layer of a section's `activation`: no layer where it is `none`."""
    return [] if activation == "none" else [("activation", {"type": activation})]


KIND = Kind(
    types=tuple(ACTIVATIONS),
    options={"type": Option("relu", _check_type)},
    place=_place,
    module=_module,
    stacked=_stacked,
    shorthand="type",
    letter="A",
    spell=lambda section, filters: spell(section.activation),
    family="activation",
)
