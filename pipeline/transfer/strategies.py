"""What becomes of a trained network's layers, layer by layer: loaded, frozen, trained, new, dropped. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.architecture import Layer, Plan, geometry
from pipeline.errors import InputError

FROZEN, TRAINED, NEW = "frozen", "trained", "new"
"""A layer's role: loaded and kept as it is; loaded and trained on; trained from fresh weights."""


@dataclass(frozen=True)
class Strategy:
    """One way to use a trained network. `by_depth`: only its first `transfer.depth` stages are loaded."""

    loads: bool
    frozen: bool  # what is before the head, or as much of it as is loaded, stays as it is
    by_depth: bool = False
    drops: bool = False  # the stages behind the loaded ones are cut off; otherwise they start from fresh weights


# The names of the notes' table (Karpathy's CS231n has the same four quadrants).
STRATEGIES = {
    "head_only": Strategy(loads=True, frozen=True),
    "early_layers": Strategy(loads=True, frozen=True, by_depth=True, drops=True),
    "fine_tune": Strategy(loads=True, frozen=False),
    "retrain": Strategy(loads=False, frozen=False),
    # Beside the table: the floor under what is frozen (Jarrett et al. 2009), and the design of Yosinski et al. 2014.
    "random_features": Strategy(loads=False, frozen=True),
    "first_layers": Strategy(loads=True, frozen=True, by_depth=True),
}

NETWORKS = ("AnB", "AnB+", "BnB", "BnB+")
"""Of first_layers, in Yosinski's words: the half of the classes that the copied layers were trained on, then B, the
one that the network is trained on; with + the copied layers are trained on, without it they are frozen."""


@dataclass(frozen=True)
class Part:
    """Modules or parameters of one fate: all whose name is `name` or begins with it and a dot.

    Where parts lie within one another, the longest name counts. `group` is how many groups of layers lie between
    this one and the output: 0 for the new head.
    """

    name: str
    role: str
    group: int


@dataclass(frozen=True)
class Tuning:
    """Which weights learn, when and how fast: a function of the epoch's number and of nothing else.

    So a resumed run goes on as if it had never stopped, which Lightning's own finetuning callbacks do not.
    """

    parts: tuple[Part, ...]
    lr_decay: float = 1.0
    warmup_epochs: int = 0
    unfreeze_every: int | None = None

    @property
    def head(self) -> tuple[str, ...]:
        """The modules that are new at the network's end, in the order in which they run."""
        return tuple(part.name for part in self.parts if part.group == 0)

    def part(self, name: str) -> Part | None:
        """The part that a module or parameter belongs to; None for one that holds several."""
        inside = [part for part in self.parts if _within(name, part.name)]
        return max(inside, key=lambda part: len(part.name), default=None)

    def learns(self, part: Part, epoch: int) -> bool:
        """Whether the part's weights are changed in this epoch.

        The head learns from the start, what is next to it after `warmup_epochs`, then one more group every
        `unfreeze_every` epochs (gradual unfreezing: Howard & Ruder 2018).
        """
        if part.role == FROZEN:
            return False
        if part.role == NEW:
            return True
        return epoch >= self.warmup_epochs + (part.group - 1) * (self.unfreeze_every or 0)

    def rests(self, name: str, epoch: int) -> bool:
        """Whether a module is to behave as in evaluation: batch norm keeps its statistics, dropout drops nothing."""
        part = self.part(name)
        if part is not None:
            return not self.learns(part, epoch)
        prefix = f"{name}." if name else ""
        below = [part for part in self.parts if part.name.startswith(prefix)]
        return bool(below) and not any(self.learns(part, epoch) for part in below)

    def rate(self, part: Part) -> float:
        """The part's learning rate as a fraction of the head's (discriminative rates: Howard & Ruder 2018)."""
        return self.lr_decay**part.group


def parts(
    planned: Plan, sizes: Mapping[str, int], strategy: Strategy, depth: int | None, head: Sequence[str]
) -> tuple[Part, ...]:
    """The fate of every layer of `planned`.

    `sizes` counts parameters by name, or by layer; `head` names what is new at the end: layers, or modules in them.
    """
    trunk = Tuning(tuple(Part(name, NEW, 0) for name in head))
    weighty = sorted(
        {
            layer.stage
            for layer in planned.layers
            for name in _names(layer)
            if any(n and _within(one, name) and trunk.part(one) is None for one, n in sizes.items())
        },
        reverse=True,
    )
    found = []
    for layer in planned.layers:
        loaded = strategy.loads and (depth is None or strategy.drops or layer.stage < depth)
        role = (FROZEN if strategy.frozen else TRAINED) if loaded else NEW
        if strategy.frozen and not strategy.loads:
            role = FROZEN  # as it was drawn
        # A layer without weights goes with the nearest stage before it that has some.
        group = next((i for i, stage in enumerate(weighty, start=1) if stage <= layer.stage), max(1, len(weighty)))
        found += [Part(name, role, group) for name in _names(layer) if name not in head]
    return (*found, *trunk.parts)


def _names(layer: Layer) -> list[str]:
    """What a row of a plan stands for: one module, or several parameters that belong to none."""
    return layer.name.split() if layer.type == "parameter" else [layer.name]


def _within(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


def counts(sizes: Mapping[str, int], tuning: Tuning) -> dict[str, int]:
    """{"trained": n, "frozen": n} of parameters {name: count}."""
    found = {"trained": 0, "frozen": 0}
    for name, size in sizes.items():
        part = tuning.part(name)
        found["frozen" if part is not None and part.role == FROZEN else "trained"] += size
    return found


def roles(sizes: Mapping[str, int], tuning: Tuning) -> str:
    """The roles of some parameters, most of them first: `new`, or `frozen, new` for a layer that holds both."""
    total: dict[str, int] = {}
    for name, size in sizes.items():
        part = tuning.part(name)
        role = part.role if part else NEW
        total[role] = total.get(role, 0) + size
    return ", ".join(sorted((role for role, size in total.items() if size), key=lambda role: -total[role]))


def head_of(planned: Plan) -> tuple[str, ...]:
    """The class layer of one of our own stacks, with the dropout before it."""
    names: list[str] = []
    for layer in reversed(planned.layers):
        if names and layer.type != "dropout":
            break
        names.append(layer.name)
    return tuple(reversed(names))


def kept(planned: Plan, depth: int | None) -> int:
    """How many stages early_layers keeps of `planned`. Raises InputError where it has not so many."""
    trunk = planned.layers[-1].stage
    if depth is None:
        return (trunk + 1) // 2
    if not 1 <= depth <= trunk:
        raise InputError(
            f"transfer.depth={depth}: the source has {trunk} stages before its head; keep 1 to {trunk} of them."
        )
    return depth


def cut(planned: Plan, depth: int, classes: int, prefix: str = "", channels_last: bool = False) -> Plan:
    """The first `depth` stages, each map averaged over its positions, and a new class layer.

    The mean of a map leaves one number for each filter whatever the size of the input, so the head stays small
    where data is. `prefix` stands before the names of what is kept.
    """
    layers = [replace(x, name=_prefixed(x, prefix)) for x in planned.layers if x.stage < depth]
    last = next(x for x in reversed(layers) if x.output_shape)
    shape = last.output_shape
    seen = _extent(planned, layers) if last.receptive_field is not None else None
    if len(shape) > 1:
        # A map is [C, H, W], or [H, W, C] in some transformers; tokens are [N, C].
        units = shape[0] if len(shape) == 3 and not channels_last else shape[-1]
        layers.append(Layer("head_gap", "gap", (units,), 0, 0, seen, None, "", depth, {}, units))
    else:
        units = shape[0]
    layers.append(
        Layer(
            name="head_classes",
            type="dense",
            output_shape=(classes,),
            params=geometry.dense_params(classes, units),
            macs=classes * units,
            receptive_field=seen,
            jump=None,
            formula=f"{classes}*({units}+1)",
            stage=depth,
            options={"units": classes},
            values=classes,
        )
    )
    return Plan(planned.input_shape, tuple(layers))


def _prefixed(layer: Layer, prefix: str) -> str:
    return " ".join(prefix + name for name in _names(layer))


def _extent(planned: Plan, layers: Iterable[Layer]) -> int:
    """Pixels that all units of the last map see together."""
    seen, map_hw = geometry.ReceptiveField(), planned.input_shape[1:]
    last = 0
    for layer in layers:
        if len(layer.output_shape) != 3:
            return layer.receptive_field or last
        if "pads" in layer.options:
            seen = seen.through(layer.options["kernel_size"], layer.options["stride"], layer.options["pads"])
        map_hw, last = (layer.output_shape[1], layer.output_shape[2]), layer.receptive_field or 0
    return seen.extent(map_hw, planned.input_shape[1:])


def to_json(tuning: Tuning) -> dict[str, Any]:
    """As run.json holds it."""
    return asdict(tuning)


def from_json(values: dict[str, Any]) -> Tuning:
    """The inverse of `to_json`."""
    return Tuning(**{**values, "parts": tuple(Part(**one) for one in values["parts"])})
