"""What a kind of layer is made of, and what it is placed by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.architecture.geometry import ReceptiveField, Window, is_sequence
from pipeline.architecture.plans import Layer, shape_text
from pipeline.errors import InputError

if TYPE_CHECKING:
    from torch import nn

Options = dict[str, Any]


@dataclass(frozen=True)
class Option:
    """An option of a layer: its default, `...` where it must be given, and what raises InputError(key, value)."""

    default: Any
    check: Callable[[str, object], None]


@dataclass(frozen=True)
class Entry:
    """One layer as a section or a list describes it, before it has a shape.

    `keys` maps an option to the config key that a user would change, for messages; in a list of layers, "" maps to
    the layer's own key.
    """

    name: str
    kind: str
    stage: int
    options: Options
    keys: dict[str, str]


@dataclass(frozen=True)
class Before:
    """What lies before a layer: the image [C, H, W], the layers placed so far, what a unit of the last map sees."""

    image_shape: tuple[int, int, int]
    layers: Sequence[Layer]
    field: ReceptiveField

    @property
    def shape(self) -> tuple[int, ...]:
        """The input of the layer: (C, H, W) or (N,)."""
        return self.layers[-1].output_shape if self.layers else self.image_shape

    @property
    def is_sequence(self) -> bool:
        """Whether the network's input is a sequence, along which windows slide; an image's map of height 1 is none."""
        return is_sequence(self.image_shape)

    def window(self, side: int) -> Window:
        """A window of that side, or its stride, as it slides here."""
        return (1, side) if self.is_sequence else side

    @property
    def extent(self) -> int:
        """Pixels of the image that all units of the last map see together."""
        maps = (layer.output_shape for layer in reversed(self.layers) if len(layer.output_shape) == 3)
        _, height, width = next(maps, self.image_shape)
        return self.field.extent((height, width), self.image_shape[1:])

    def map_for(self, entry: Entry) -> tuple[int, int, int]:
        """The input of a layer that takes a map. Raises InputError where it is a vector."""
        if len(self.shape) != 3:
            raise InputError(
                f"{entry.keys['']}: layer {entry.name} gets a vector of {self.shape[0]}, and a {entry.kind} layer "
                "takes a map. Put it before the first flatten, gap or dense layer."
            )
        return self.shape[0], self.shape[1], self.shape[2]

    def vector_for(self, entry: Entry) -> int:
        """The size of the input of a layer that takes a vector. Raises InputError where it is a map."""
        if len(self.shape) == 3:
            raise InputError(
                f"{entry.keys['']}: layer {entry.name} gets a {shape_text(self.shape)} map, and a {entry.kind} layer "
                "takes a vector. Put {flatten: {}} or {gap: {}} before it."
            )
        return self.shape[0]


class BlockOptions(Protocol):
    """The keys of a section of blocks that a letter may look at; see config.Cnn."""

    kernel_size: int
    stride: int
    padding: str
    activation: str
    pool: str
    pool_size: int
    pool_stride: int | None
    pool_padding: str
    dropout: float
    weight_sharing: bool


def _as_given(options: Options, where: str, classes: int | None) -> None:
    """Of the kinds, most, whose options all have values of their own."""


@dataclass(frozen=True)
class Kind:
    """A kind of layer. A plan's layers are of the `types` that it places, mostly of one.

    `place` gives the planned layer of an entry, `module(layer, input_shape)` the torch module of that one (torch is
    imported in it, not before), which must do as planned: network.assert_as_planned holds it to that.
    """

    types: tuple[str, ...]
    options: Mapping[str, Option]
    place: Callable[[Entry, Before], Layer]
    module: "Callable[[Layer, tuple[int, ...]], nn.Module]"
    shorthand: str = ""
    """The option meant where a list has {activation: relu} in place of {activation: {type: relu}}."""
    complete: Callable[[Options, str, int | None], None] = _as_given
    """complete(options, key, classes) fills in, in a list, what depends on other options or on the data."""
    letter: str = ""
    """Of a block string; `spell(section, filters)` says which layers it stands for there: none, one or several."""
    spell: Callable[[BlockOptions, int], list[tuple[str, Options]]] | None = None
    key_prefix: str = ""
    """Before its options where they are keys of a section: pool_size."""
    family: str = ""
    """conv | pool | activation | dense | widths: which of the guidelines concern it. In a list, a stage opens at each
    conv and at widths."""
    gives_vector: bool = False
    """In a list, the head begins with the first such layer."""
    stacked: "Callable[[Layer, tuple[int, ...], int], nn.Module | None] | None" = None
    """stacked(layer, input_shape, members) is the module of so many networks' layers at once, see stacked.py. None, or
    where it gives none: each member's by itself."""


def bare(
    entry: Entry, layer_type: str, shape: tuple[int, ...], receptive_field: int | None, jump: int | None = None
) -> Layer:
    """The planned layer of an entry, without parameters: a start for `place`."""
    return Layer(entry.name, layer_type, shape, 0, 0, receptive_field, jump, "", entry.stage, {}, prod(shape))


def alike(module: "Callable[[Layer, tuple[int, ...]], nn.Module]") -> "Callable[..., nn.Module]":
    """`stacked` of what looks at each channel alone, and has no weights: it is the same for any number of channels."""

    def made(layer: Layer, input_shape: tuple[int, ...], members: int) -> "nn.Module":
        return module(layer, input_shape)

    return made


def pointwise(entry: Entry, before: Before, layer_type: str) -> Layer:
    """A layer that leaves the shape and the receptive field as they are."""
    size, jump = (before.layers[-1].receptive_field, before.layers[-1].jump) if before.layers else (1, 1)
    return bare(entry, layer_type, before.shape, size, jump)
