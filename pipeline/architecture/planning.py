"""What a network is before it exists: every layer's shape, parameters, costs, receptive field. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.architecture import geometry
from pipeline.architecture.blocks import Entry, cnn_entries, list_entries, mlp_entries
from pipeline.architecture.config import MAX_KERNEL, Cnn, Mlp, Section, Timm, section, whole
from pipeline.errors import InputError

Spec = Sequence[Mapping[str, Any]] | Mapping[str, Any] | Section
"""A `layers` list, an architecture section as a plain dict, or the section itself."""

MAX_PARAMS = 2_000_000_000
"""More than this (8 GB as float32) is refused: a slip of the keyboard, or more than one machine holds."""

MAX_LAYERS = 10_000
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
        channels, height, width = self.input_shape
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


def plan(spec: Spec, input_shape: Sequence[int], classes: int | None) -> Plan:
    """Every layer of the network that `spec` describes, for an input of shape (C, H, W).

    A `layers` list is taken at its word: its last dense layer may have any number of units (by default
    `classes`), and a list without a dense layer at its end is a feature extractor. A section is a classifier:
    where `classes` is given, a list in it must end in a dense layer of that many units; `classes=None` leaves
    the class layer out.

    Raises: InputError: a network that is misspelt, does not fit its input, or has more than MAX_PARAMS
    parameters.
    """
    shape = _checked_shape(input_shape)
    if classes is not None:
        whole("classes", classes, 1)
        classes = int(classes)  # NumPy's integers are welcome, but would not go into JSON
    if isinstance(spec, Mapping):
        spec = section(spec)
    if isinstance(spec, Timm):
        from pipeline.architecture.backbone import plan_backbone  # torch and timm: only for who asks for them

        planned = plan_backbone(spec, shape, classes)
    elif isinstance(spec, Cnn | Mlp) and spec.match != "none":
        from pipeline.architecture.matching import plan_matched  # it plans many candidates with this module

        planned = plan_matched(spec, shape, classes)
    elif isinstance(spec, Cnn | Mlp):
        planned = plan_section(spec, shape, classes)
    else:
        planned = _place_list(list_entries(spec, classes), shape)
    return _checked_size(planned)


def plan_section(spec: Cnn | Mlp, shape: tuple[int, int, int], classes: int | None) -> Plan:
    """The plan of a section as it stands: nothing is matched, and its size is not checked."""
    if isinstance(spec, Mlp):
        return Plan(shape, place(mlp_entries(spec, classes), shape))
    if spec.layers is None:
        _refuse_beyond_image(spec, shape)
        try:
            return Plan(shape, place(cnn_entries(spec, classes), shape))
        except DoesNotFitError as problem:
            raise problem.with_remedies(_remedies(problem, spec, shape, classes)) from None
    planned = _place_list(list_entries(spec.layers, classes), shape)
    last = planned.layers[-1]
    if classes is not None and (last.type, last.output_shape) != ("dense", (classes,)):
        raise InputError(
            f"architecture.layers[{len(planned.layers) - 1}]: the last layer gives {_text(last.output_shape)}, "
            f"and the data has {classes} classes. End the list in {{dense: {{}}}}, which has one unit per class."
        )
    return planned


def _refuse_beyond_image(spec: Cnn, shape: tuple[int, int, int]) -> None:
    """Same padding would let a kernel be larger than the whole image: mostly pads, and a slip more often than a
    wish. A valid one is refused where it does not fit, with what would."""
    side = min(shape[1:])
    if spec.padding == "same" and spec.kernel_size > side:
        raise InputError(
            f"architecture.kernel_size={spec.kernel_size}: is larger than the {_text(shape[1:])} image. "
            f"Use a kernel_size of at most {side}, or a larger data.size."
        )


class DoesNotFitError(InputError):
    """A valid window that is larger than what it gets."""

    def __init__(self, entry: Entry, option: str, map_hw: tuple[int, int], remedies: str = "") -> None:
        size = entry.options[option]
        what = "pool" if entry.kind == "pool" else "kernel"
        super().__init__(
            f"{entry.keys[option]}={size}: layer {entry.name} gets a {_text(map_hw)} input, and a valid "
            f"{size}x{size} {what} needs at least {size}x{size}.{remedies}"
        )
        self.entry, self.option, self.map_hw = entry, option, map_hw

    def with_remedies(self, remedies: list[str]) -> "DoesNotFitError":
        """The same with what would fit."""
        *most, last = remedies
        text = f" Use {', '.join(most)}{',' if len(most) > 1 else ''}{' or ' if most else ''}{last}."
        return DoesNotFitError(self.entry, self.option, self.map_hw, text)


def _remedies(problem: DoesNotFitError, cnn: Cnn, shape: tuple[int, int, int], classes: int | None) -> list[str]:
    """Single changes of the section that would make it fit, each of them tried."""

    def fits(candidate: Cnn, shape: tuple[int, int, int] = shape) -> bool:
        try:
            place(cnn_entries(candidate, classes), shape)
        except DoesNotFitError:
            return False
        return True

    remedies = []
    padding = "pool_padding" if problem.entry.kind == "pool" else "padding"
    if fits(_changed(cnn, padding, "same")):
        remedies.append(f"architecture.{padding}=same")
    key = "pool_size" if problem.entry.kind == "pool" else "kernel_size"
    smaller = range(min(getattr(cnn, key) - 1, MAX_KERNEL), 0, -1)
    size = next((size for size in smaller if fits(_changed(cnn, key, size))), None)
    if size:
        remedies.append(f"a {key} of at most {size}")
    shallower = range(len(cnn.filters) - 1, 0, -1)
    blocks = next((n for n in shallower if fits(replace(cnn, filters=cnn.filters[:n]))), None)
    if blocks:
        remedies.append(f"at most {blocks} block{'s' * (blocks > 1)} in architecture.filters")
    sides = [2**n for n in range(LARGEST_SIDE.bit_length()) if 2**n > min(shape[1:])]
    side = next((side for side in sides if fits(cnn, (shape[0], side, side))), None)
    if side:
        remedies.append(f"data.size={side}")
    return remedies or ["fewer layers"]


def _changed(cnn: Cnn, key: str, value: object) -> Cnn:
    changes: dict[str, Any] = {key: value}
    return replace(cnn, **changes)


def _place_list(entries: list[Entry], shape: tuple[int, int, int]) -> Plan:
    try:
        return Plan(shape, place(entries, shape))
    except DoesNotFitError as problem:
        largest = min(problem.map_hw)
        remedies = ["padding: same", f"a {problem.option} of at most {largest}", "a larger data.size"]
        raise problem.with_remedies(remedies) from None


def place(entries: list[Entry], input_shape: tuple[int, int, int]) -> tuple[Layer, ...]:
    """Every entry's layer, in order, for an input of shape (C, H, W).

    Raises:
        DoesNotFitError: a valid window larger than its input.
        InputError: a layer that needs a map behind a layer that gives a vector, or the other way round.
    """
    if len(entries) > MAX_LAYERS:
        raise InputError(f"architecture: {len(entries)} layers are more than {MAX_LAYERS}.")
    layers: list[Layer] = []
    shape: tuple[int, ...] = input_shape
    seen = geometry.ReceptiveField()
    for entry in entries:
        if entry.kind in ("conv", "locally_connected", "pool"):
            layer, seen = _window(entry, _map(entry, shape), seen)
        elif entry.kind == "gap":
            channels, *map_hw = _map(entry, shape)
            extent = seen.extent((map_hw[0], map_hw[1]), input_shape[1:])
            layer = _layer(entry, "gap", (channels,), extent, None)
        elif entry.kind == "flatten":
            units = 1
            for size in shape:
                units *= size
            # Each value still sees what it saw on its map; a view of what is in memory already.
            field_size = layers[-1].receptive_field if len(shape) == 1 else seen.size
            layer = replace(_layer(entry, "flatten", (units,), field_size, None), values=0)
        elif entry.kind == "dense":
            layer = _dense(entry, shape, layers, seen, input_shape)
        else:
            layer = _pointwise(entry, shape, layers[-1] if layers else None)
        layers.append(layer)
        shape = layer.output_shape
    return tuple(layers)


def _window(
    entry: Entry, shape: tuple[int, int, int], seen: geometry.ReceptiveField
) -> tuple[Layer, geometry.ReceptiveField]:
    """A conv, locally connected or pool layer on a map of shape (C, H, W)."""
    options = entry.options
    is_pool = entry.kind == "pool"
    option = "size" if is_pool else "kernel_size"
    kernel, stride, padding = options[option], options["stride"], options["padding"]
    depth, *map_hw = shape
    height, width = (geometry.output_size(size, kernel, stride, padding) for size in map_hw)
    if min(height, width) < 1:
        raise DoesNotFitError(entry, option, (map_hw[0], map_hw[1]))
    vertical, horizontal = (geometry.pads(size, kernel, stride, padding) for size in map_hw)
    seen = seen.through(kernel, stride, (vertical, horizontal))
    facts = {"kernel_size": kernel, "stride": stride, "padding": padding, "pads": (vertical, horizontal)}
    if is_pool:
        layer = _layer(entry, f"{options['type']}_pool", (depth, height, width), seen.size, seen.jump)
        return replace(layer, options=facts), seen
    filters, positions = options["filters"], height * width
    layer = _layer(entry, entry.kind, (filters, height, width), seen.size, seen.jump)
    formula = f"{filters}*({kernel}*{kernel}*{depth}+1)"
    params = geometry.conv_params(filters, kernel, depth)
    if entry.kind == "locally_connected":
        formula = f"{height}*{width}*{formula}"
        params = geometry.locally_connected_params(positions, filters, kernel, depth)
    macs = geometry.conv_macs(positions, filters, kernel, depth)
    facts = {"filters": filters, **facts}
    return replace(layer, params=params, macs=macs, formula=formula, options=facts), seen


def _dense(
    entry: Entry,
    shape: tuple[int, ...],
    layers: list[Layer],
    seen: geometry.ReceptiveField,
    image_shape: tuple[int, int, int],
) -> Layer:
    if len(shape) == 3:
        raise InputError(
            f"{entry.keys['']}: layer {entry.name} gets a {_text(shape)} map, and a dense layer takes a vector. "
            "Put {flatten: {}} or {gap: {}} before it."
        )
    units, inputs = entry.options["units"], shape[0]
    maps = [layer.output_shape for layer in layers if len(layer.output_shape) == 3] or [image_shape]
    extent = seen.extent((maps[-1][1], maps[-1][2]), image_shape[1:])
    layer = _layer(entry, "dense", (units,), extent, None)
    return replace(
        layer,
        params=geometry.dense_params(units, inputs),
        macs=units * inputs,
        formula=f"{units}*({inputs}+1)",
        options={"units": units},
    )


def _pointwise(entry: Entry, shape: tuple[int, ...], before: Layer | None) -> Layer:
    """An activation, norm or dropout layer: the shape and the receptive field stay."""
    kind = entry.options["type"] if entry.kind == "activation" else entry.kind
    field_size, jump = (before.receptive_field, before.jump) if before else (1, 1)
    layer = _layer(entry, "batch_norm" if kind == "norm" else kind, shape, field_size, jump)
    if entry.kind == "norm":
        return replace(layer, params=2 * shape[0], formula=f"2*{shape[0]}")
    return replace(layer, options={"rate": entry.options["rate"]}) if kind == "dropout" else layer


def _layer(entry: Entry, kind: str, shape: tuple[int, ...], receptive_field: int | None, jump: int | None) -> Layer:
    """A layer without parameters, as a start."""
    values = 1
    for size in shape:
        values *= size
    return Layer(entry.name, kind, shape, 0, 0, receptive_field, jump, "", entry.stage, {}, values)


def _map(entry: Entry, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise InputError(
            f"{entry.keys['']}: layer {entry.name} gets a vector of {shape[0]}, and a {entry.kind} layer takes "
            "a map. Put it before the first flatten, gap or dense layer."
        )
    return shape[0], shape[1], shape[2]


def _checked_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise InputError(f"input_shape={tuple(input_shape)}: must be (channels, height, width).")
    for i, size in enumerate(input_shape):
        whole(f"input_shape[{i}]", size, 1)
    channels, height, width = map(int, input_shape)
    return channels, height, width


def _checked_size(planned: Plan) -> Plan:
    if planned.params > MAX_PARAMS:
        largest = max(planned.layers, key=lambda layer: layer.params)
        how = f" = {largest.formula}" if largest.formula else ""
        raise InputError(
            f"architecture: {planned.params:,} parameters are more than {MAX_PARAMS:,}. Most of them, "
            f"{largest.params:,}{how}, are in layer {largest.name}."
        )
    return planned


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]} values"


def _jsonable(value: Any) -> Any:
    return [_jsonable(v) for v in value] if isinstance(value, tuple) else value
