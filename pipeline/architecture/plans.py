"""What a network is before it exists: every layer's shape, parameters, costs, receptive field. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.architecture.geometry import ReceptiveField, is_sequence

LARGEST_SIDE = 1024
"""The largest data.size that a message proposes."""


@dataclass(frozen=True)
class Layer:
    """One planned layer.

    `output_shape` is (C, H, W) or (N,). `params` counts what training changes (a batch norm's 2 * C; its
    running mean and variance, which Keras lists as non-trainable parameters, are not in it). `macs` are
    multiply-accumulates for one example, half of torch's count of FLOPs. `receptive_field` is the side in
    pixels of what one unit sees, pads included; behind a gap or dense layer, of what all units of the map see
    of the image together. `jump` is the distance in input pixels of two neighbours. Both are None where
    nobody counts them (timm). `values` is how many numbers the layer writes for one example.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    receptive_field: int | None
    jump: int | None
    formula: str
    stage: int
    options: dict[str, Any] = field(hash=False)
    values: int

    def field_behind(self, seen: ReceptiveField) -> ReceptiveField:
        """What a unit of the layer's output sees, where one of its input sees `seen`."""
        if "pads" not in self.options:
            return seen
        return seen.through(self.options["kernel_size"], self.options["stride"], self.options["pads"])

    def to_dict(self) -> dict[str, Any]:
        """The layer as a row of the plan document."""
        return {
            "name": self.name,
            "type": self.type,
            "output_shape": list(self.output_shape),
            "params": self.params,
            "macs": self.macs,
            "receptive_field": self.receptive_field,
            "jump": self.jump,
            "formula": self.formula,
            "stage": self.stage,
            "options": {key: _jsonable(value) for key, value in self.options.items()},
        }


@dataclass(frozen=True)
class Match:
    """How a network was scaled to cost what its reference does: `asked` times `factor` gave `widths`."""

    by: str
    target: int
    reached: int
    factor: float
    asked: tuple[int, ...]
    widths: tuple[int, ...]
    matched: bool

    @property
    def difference(self) -> float:
        """How far off, as a fraction of the target."""
        return self.reached / self.target - 1

    @property
    def note(self) -> str:
        """What was chosen, or what could not be matched, in a sentence."""
        widths = ",".join(map(str, self.widths))
        asked = ",".join(map(str, self.asked))
        what = f"{self.by} {self.reached:,} against {self.target:,} of the reference ({self.difference:+.1%})"
        if self.matched:
            return f"widths [{widths}] in place of [{asked}] (times {self.factor:.3g}): {what}"
        return f"not matched within 5 %: the nearest widths are [{widths}] in place of [{asked}]: {what}"

    def to_dict(self) -> dict[str, Any]:
        """As part of the plan document."""
        return {
            "by": self.by,
            "target": self.target,
            "reached": self.reached,
            "difference": self.difference,
            "factor": self.factor,
            "asked": list(self.asked),
            "widths": list(self.widths),
            "matched": self.matched,
            "note": self.note,
        }


@dataclass(frozen=True)
class Plan:
    """A network's layers in order, for one input shape (C, H, W)."""

    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    match: Match | None = None

    @property
    def takes_tokens(self) -> bool:
        """Whether the network is given whole numbers, one for each token, in place of what they stand for."""
        return is_sequence(self.input_shape)

    @property
    def given_shape(self) -> tuple[int, int, int]:
        """The shape of what the network is given: images (C, H, W), or the numbers of tokens (1, 1, T)."""
        channels, height, width = self.input_shape
        return (1 if self.takes_tokens else channels), height, width

    @property
    def params(self) -> int:
        """Trainable parameters of all layers."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass of one example."""
        return sum(layer.macs for layer in self.layers)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """What the last layer gives for one example."""
        return self.layers[-1].output_shape

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The names of the layers of each stage, from the input to the head."""
        count = 1 + max(layer.stage for layer in self.layers)
        return tuple(tuple(x.name for x in self.layers if x.stage == stage) for stage in range(count))

    def activation_bytes(self, batch_size: int, bytes_per_value: int = 4) -> int:
        """Memory for the input and every layer's output of a batch, as training keeps them for the backward
        pass.

        An upper estimate of that part alone: workspaces and gradients come on top, and a layer that works in
        place saves its share. `bytes_per_value` is 4 for float32 and 2 for bfloat16.
        """
        channels, height, width = self.given_shape
        values = channels * height * width + sum(layer.values for layer in self.layers)
        return batch_size * bytes_per_value * values

    def to_dict(self) -> dict[str, Any]:
        """The plan document."""
        document: dict[str, Any] = {
            "input_shape": list(self.input_shape),
            "layers": [layer.to_dict() for layer in self.layers],
            "total": {"params": self.params, "macs": self.macs},
        }
        if self.match:
            document["match"] = self.match.to_dict()
        return document


def shape_text(shape: Sequence[int]) -> str:
    """A shape in a message: 8x8x16, or 128 values."""
    return "x".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]} values"


def _jsonable(value: Any) -> Any:
    return [_jsonable(v) for v in value] if isinstance(value, tuple) else value
