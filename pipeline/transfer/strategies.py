"""What becomes of a trained network's layers, layer by layer: loaded, frozen, trained, new, dropped. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.architecture import Layer, Plan

FROZEN, TRAINED, NEW = "frozen", "trained", "new"
"""A layer's role: loaded and kept as it is; loaded and trained on; trained from fresh weights."""


TUNING = ("lr_decay", "warmup_epochs", "unfreeze_every")
"""The options of what is trained on."""


@dataclass(frozen=True)
class Strategy:
    """One way to use a trained network."""

    loads: bool
    frozen: bool  # what is before the head, or as much of it as is loaded, stays as it is
    options: tuple[str, ...] = ()  # the keys of the transfer section that it has a use for, besides those of the source
    drops: bool = False  # the stages behind the loaded ones are cut off; otherwise they start from fresh weights
    quadrant: tuple[str, str] | None = None  # where it is advised: how much data, how near to the source's
    source: str = "given"  # given: named, or trained on data that are; halves: it trains its own; none

    @property
    def by_depth(self) -> bool:
        """Whether only the first `transfer.depth` stages are loaded."""
        return "depth" in self.options


# The names and quadrants of the notes' table (Karpathy's CS231n has the same four).
STRATEGIES = {
    "head_only": Strategy(loads=True, frozen=True, quadrant=("small", "similar")),
    "early_layers": Strategy(
        loads=True, frozen=True, options=("depth", "head"), drops=True, quadrant=("small", "dissimilar")
    ),
    "fine_tune": Strategy(loads=True, frozen=False, options=TUNING, quadrant=("large", "similar")),
    "retrain": Strategy(loads=False, frozen=False, quadrant=("large", "dissimilar")),
    # Beside the table: the floor under what is frozen (Jarrett et al. 2009), and the design of Yosinski et al. 2014.
    "random_features": Strategy(loads=False, frozen=True),
    "first_layers": Strategy(loads=True, frozen=True, options=("network", "depth"), source="halves"),
}

QUADRANTS = {one.quadrant: name for name, one in STRATEGIES.items() if one.quadrant}
"""(size, domain) -> the strategy advised there."""

CHOICES = {
    "none": Strategy(loads=False, frozen=False, source="none"),
    **STRATEGIES,
    # Its choice is not known before the data is looked at: until then it stands for head_only, with every option.
    "auto": replace(STRATEGIES["head_only"], options=("depth", "head", *TUNING), quadrant=None),
}
"""What transfer.strategy may be."""

HEADS = {"gap": 1, "pool4": 4, "flatten": None}
"""Of early_layers: to how many squares a side the kept maps are averaged before the class layer; None: not at all."""

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
        inside = [part for part in self.parts if is_within(name, part.name)]
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
            for name in names_of(layer)
            if any(n and is_within(one, name) and trunk.part(one) is None for one, n in sizes.items())
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
        found += [Part(name, role, group) for name in names_of(layer) if name not in head]
    return (*found, *trunk.parts)


def names_of(layer: Layer) -> list[str]:
    """What a row of a plan stands for: one module, or several parameters that belong to none."""
    return layer.name.split() if layer.type == "parameter" else [layer.name]


def is_within(name: str, prefix: str) -> bool:
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
