"""The architecture section of a configuration: what may be asked for, checked when it is built.

Each dataclass is a Hydra schema (conf/architecture/*.yaml) and, from Python, may be given as a plain dict, in
which `type` says which of them is meant (default cnn). Messages name a key as a user types it:
architecture.kernel_size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.architecture import checks
from pipeline.architecture.kinds import letters
from pipeline.architecture.kinds.activation import ACTIVATIONS
from pipeline.architecture.kinds.pool import POOLS
from pipeline.errors import InputError, nearest, one_of
from pipeline.key import newer

MATCHES = ("none", "params", "macs")


@dataclass
class Cnn:
    """A convolutional network: blocks of layers, one per entry of `filters`, then a head.

    A block is a string of letters: C conv, N batch norm, A activation, P pool, D dropout, W depthwise conv.
    `activation: none` and `pool: none` leave out what A and P stand for. `pool: conv` puts in place of P a
    convolution with `pool_stride` and, where there is one, the activation (Springenberg et al. 2015). The head
    flattens the last map or averages it (gap), then come dense layers of the sizes `dense`, each with the
    activation, then the class layer. Text begins with an embedding, and its windows go along it.
    """

    type: str = "cnn"  # which kind of network these keys are about; architecture=NAME changes it
    block: str = "CAP"  # the layers of each block, in their order
    filters: list[int] = field(default_factory=lambda: [32, 64, 128])  # of each block, so one entry per block
    kernel_size: int = 3  # side of a kernel in pixels
    stride: int = 1  # pixels from one position of a kernel to the next
    padding: str = "same"  # of convolutions, as in Keras
    activation: str = "relu"  # what A stands for
    pool: str = "max"  # what P stands for; conv: a convolution of stride pool_stride
    pool_size: int = 2  # side of a pool in pixels
    pool_stride: int | None = 2
    """None: as pool_size."""
    pool_padding: str = "valid"  # of pools, as in Keras
    head: str = "flatten"  # what follows the last map: all of it, or the mean of each map (gap)
    dense: list[int] = field(default_factory=list)  # sizes of hidden layers between the head and the class layer
    dropout: float = 0.0
    """Rate of every D of `block`."""
    head_dropout: float = 0.0
    """Rate of a dropout before every dense layer of the head, the class layer included."""
    weight_sharing: bool = True
    """False: every position has filters of its own (locally connected)."""
    match: str = "none"
    """params | macs: scale all filters by one factor until the network costs what the reference does."""
    match_reference: Any = None
    """The reference: this section with these keys replaced, e.g. {kernel_size: 3}; with `type`, another kind."""
    layers: Any = None
    """An explicit list of layers, in place of everything above."""
    embedding: int | None = newer(None)  # numbers by which each token of a text is known; null: 64

    def __post_init__(self) -> None:
        one_of("architecture.type", self.type, ["cnn"])
        _block("architecture.block", self.block)
        self.filters = _sizes("architecture.filters", self.filters)
        if not self.filters:
            raise InputError("architecture.filters=[]: must have one entry per block, so at least one.")
        checks.kernel("architecture.kernel_size", self.kernel_size)
        checks.count("architecture.stride", self.stride)
        checks.padding("architecture.padding", self.padding)
        one_of("architecture.activation", self.activation, [*ACTIVATIONS, "none"])
        one_of("architecture.pool", self.pool, [*POOLS, "conv", "none"])
        checks.count("architecture.pool_size", self.pool_size)
        checks.count_or_none("architecture.pool_stride", self.pool_stride)
        checks.padding("architecture.pool_padding", self.pool_padding)
        one_of("architecture.head", self.head, ["flatten", "gap"])
        self.dense = _sizes("architecture.dense", self.dense)
        checks.rate("architecture.dropout", self.dropout)
        checks.rate("architecture.head_dropout", self.head_dropout)
        checks.yes_or_no("architecture.weight_sharing", self.weight_sharing)
        checks.count_or_none("architecture.embedding", self.embedding)
        _match(self.match, self.match_reference, self.type)
        if self.layers is not None:
            self._layers_alone()
        elif self.dropout and "D" not in self.block:
            raise InputError(
                f"architecture.dropout={self.dropout}: has no effect, as architecture.block={self.block} has no D. "
                f"Use architecture.block={self.block}D, or architecture.head_dropout for the dense layers."
            )

    def _layers_alone(self) -> None:
        """Refuse a key that an explicit list would silently overrule: a sweep over it would compare equals."""
        plain = Cnn()
        for name in (f.name for f in fields(self) if f.name != "layers"):
            if getattr(self, name) != getattr(plain, name):
                raise InputError(
                    f"architecture.{name}={getattr(self, name)}: has no effect beside architecture.layers. "
                    "Use one or the other."
                )


@dataclass
class Mlp:
    """A multilayer perceptron: the input flattened, dense layers of the sizes `hidden`, the class layer."""

    type: str = "mlp"  # which kind of network these keys are about; architecture=NAME changes it
    hidden: list[int] = field(default_factory=lambda: [256, 128])  # sizes of the hidden layers
    activation: str = "relu"  # after each hidden layer
    norm: bool = False
    """Batch norm between each hidden layer and its activation."""
    dropout: float = 0.0
    """Rate of a dropout after each hidden layer."""
    match: str = "none"
    """params | macs: scale the hidden sizes by one factor until the network costs what the reference does."""
    match_reference: Any = None  # the reference: this section with these keys replaced; with `type`, another kind
    embedding: int | None = newer(None)  # numbers by which each token of a text is known; null: 64

    def __post_init__(self) -> None:
        one_of("architecture.type", self.type, ["mlp"])
        self.hidden = _sizes("architecture.hidden", self.hidden)
        one_of("architecture.activation", self.activation, [*ACTIVATIONS, "none"])
        checks.yes_or_no("architecture.norm", self.norm)
        checks.rate("architecture.dropout", self.dropout)
        checks.count_or_none("architecture.embedding", self.embedding)
        _match(self.match, self.match_reference, self.type)
        if self.match != "none" and not self.hidden:
            raise InputError(f"architecture.match={self.match}: architecture.hidden=[] leaves nothing to scale.")


@dataclass
class TextCnn:
    """A convolutional network for text: filters of several widths side by side, of each the most that it finds
    anywhere (Kim 2014, Convolutional neural networks for sentence classification), dropout, the class layer."""

    type: str = "text_cnn"  # which kind of network these keys are about; architecture=NAME changes it
    embedding: int = 128  # numbers by which each token is known
    widths: list[int] = field(default_factory=lambda: [3, 4, 5])  # how many tokens in a row filters see
    filters: int = 100  # of each width
    activation: str = "relu"  # of what the filters find
    padding: str = "valid"  # of the filters, as in Keras
    dropout: float = 0.5  # rate of the dropout before the class layer

    def __post_init__(self) -> None:
        one_of("architecture.type", self.type, ["text_cnn"])
        checks.count("architecture.embedding", self.embedding)
        checks.kernels("architecture.widths", self.widths)
        self.widths = list(self.widths)
        checks.count("architecture.filters", self.filters)
        one_of("architecture.activation", self.activation, [*ACTIVATIONS, "none"])
        checks.padding("architecture.padding", self.padding)
        checks.rate("architecture.dropout", self.dropout)


@dataclass
class Timm:
    """A backbone of the timm library by its name, with fresh weights (transfer.* loads trained ones)."""

    type: str = "timm"  # which kind of network these keys are about; architecture=NAME changes it
    name: str = "resnet18"  # timm's name of the model
    small_input: bool = False
    """Fit the stem to small images: its first convolution at stride 1, no max pool; patches in proportion."""

    def __post_init__(self) -> None:
        one_of("architecture.type", self.type, ["timm"])
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"architecture.name={self.name!r}: must be the name of a timm model, as resnet18.")
        checks.yes_or_no("architecture.small_input", self.small_input)


Section = Cnn | Mlp | TextCnn | Timm
SCHEMAS: dict[str, type[Section]] = {"cnn": Cnn, "mlp": Mlp, "text_cnn": TextCnn, "timm": Timm}


def section(spec: Mapping[str, Any], where: str = "architecture") -> Section:
    """The section that a plain dict describes; missing keys take their defaults.

    Raises:
        InputError: an unknown key, with the nearest right one, or a value that its key does not allow.
    """
    kind = spec.get("type", "cnn")
    one_of(f"{where}.type", kind, SCHEMAS)
    allowed = [f.name for f in fields(SCHEMAS[kind])]
    for key, value in spec.items():
        if key not in allowed:
            raise InputError(
                f"{where}.{key}={value}: no such key.{nearest(key, allowed)} Keys are {', '.join(allowed)}."
            )
    return SCHEMAS[kind](**spec)


def _sizes(key: str, values: object) -> list[int]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InputError(f"{key}={values}: must be a list of whole numbers, as [32,64,128].")
    for i, value in enumerate(values):
        checks.count(f"{key}[{i}]", value)
    return list(values)


def _block(key: str, block: object) -> None:
    known = letters()
    listed = ", ".join(f"{letter} {kind}" for letter, kind in known.items())
    if not isinstance(block, str):
        raise InputError(f"{key}={block}: must be a string of the letters {listed}.")
    unknown = [letter for letter in block if letter not in known]
    if unknown:
        upper = block.upper()
        hint = f" Did you mean {upper}?" if set(upper) <= set(known) else ""
        raise InputError(f"{key}={block}: unknown letter {unknown[0]!r}.{hint} Letters are {listed}.")
    if "C" not in block:
        raise InputError(f"{key}={block}: must have at least one C (conv). Letters are {listed}.")


def _match(match: str, reference: object, own_type: str) -> None:
    one_of("architecture.match", match, MATCHES)
    if match == "none":
        return
    if not isinstance(reference, Mapping):
        raise InputError(
            f"architecture.match_reference={reference}: architecture.match={match} needs the keys that make the "
            "reference of this section, as {kernel_size: 3}."
        )
    kind = reference.get("type", own_type)
    one_of("architecture.match_reference.type", kind, SCHEMAS)
    allowed = [f.name for f in fields(SCHEMAS[kind]) if not f.name.startswith("match")]
    for key, value in reference.items():
        if key not in allowed:
            raise InputError(
                f"architecture.match_reference.{key}={value}: no such key of {kind}.{nearest(key, allowed)}"
            )
