"""What a strategy makes of a source on some data: the network to be trained and the fate of each of its layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.architecture import Layer, Plan, Section, Timm
from pipeline.errors import InputError
from pipeline.transfer.config import Transfer
from pipeline.transfer.cutting import head_of, kept
from pipeline.transfer.record import Advice, tuning_to_json
from pipeline.transfer.source import Source, planned, same
from pipeline.transfer.strategies import CHOICES, Tuning, counts, is_within, names_of, parts, roles

CHANNELS = ((1, 3), (3, 1))
"""(data, network) that can be brought together: grey into RGB, RGB into grey."""


@dataclass(frozen=True)
class Outline:
    """A network before it exists, and how it is to be trained.

    `plan.input_shape` has the network's channels, which need not be the data's. `sizes` counts parameters, by name
    or by layer. `head` names what is new at the end, in the order in which it runs.
    """

    section: Section
    plan: Plan
    depth: int | None = None  # how many stages of the architecture are kept; None: all
    behind: str = "gap"  # what early_layers has put behind them: a key of strategies.HEADS
    strategy: str = "none"
    tuning: Tuning | None = None
    head: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    advice: Advice | None = None  # of transfer=auto: see advise.py

    @property
    def parameters(self) -> dict[str, int]:
        """{"trained": n, "frozen": n}."""
        if self.tuning is None:
            return {"trained": self.plan.params, "frozen": 0}
        return counts(self.sizes, self.tuning)

    @property
    def loads(self) -> bool:
        """Whether weights of the source are used."""
        return CHOICES[self.strategy].loads

    def of_layer(self, layer: Layer) -> dict[str, Any]:
        """{"role", "trained", "frozen"} of a row of the plan: `role` is "" where nothing is to be learnt."""
        assert self.tuning is not None
        sizes = {n: size for n, size in self.sizes.items() if any(is_within(n, name) for name in names_of(layer))}
        return {"role": roles(sizes, self.tuning), **counts(sizes, self.tuning)}

    def record(self) -> dict[str, Any]:
        """For run.json: all that building and training the network takes besides the configuration."""
        if self.tuning is None:
            return {}
        by_role: dict[str, list[str]] = {}
        for layer in self.plan.layers:
            if role := self.of_layer(layer)["role"]:
                by_role.setdefault(role.split(",")[0], []).append(layer.name)
        return {
            "strategy": self.strategy,
            "network": {"channels": self.plan.input_shape[0], "depth": self.depth, "head": self.behind},
            "head": list(self.head),
            "tuning": tuning_to_json(self.tuning),
            "loaded": by_role.get("frozen", []) + by_role.get("trained", []),
            "frozen": by_role.get("frozen", []),
            "new": by_role.get("new", []),
            "parameters": self.parameters,
            **({"advice": self.advice.to_json()} if self.advice else {}),
        }


def outline(
    section: Section, transfer: Transfer, input_shape: Sequence[int], classes: int, source: Source | None = None
) -> Outline:
    """The network that `transfer` makes of `source` for images [C, H, W] of so many classes.

    `section` is that of the architecture, which must be the default or the source's own where the source is a run. What
    auto will choose is not known before the data is looked at (see advise.advised): it stands for head_only here.

    Raises:
        InputError: an architecture of one's own beside a run's, channels that cannot be brought together, an input
            that the network does not take, a depth that it does not have.
    """
    shape = (input_shape[0], input_shape[1], input_shape[2])
    if transfer.strategy == "none":
        return Outline(section, planned(section, shape, classes))
    if transfer.strategy == "auto":
        transfer = transfer.with_strategy("head_only")
    assert source is not None
    if source.is_run and not same(section, source):
        raise InputError(
            f"architecture: is another one than that of transfer.source={source.named}, whose network is used. "
            "Leave the architecture out."
        )
    strategy = transfer.how
    if strategy.loads:
        if shape[0] != source.channels and (shape[0], source.channels) not in CHANNELS:
            raise InputError(
                f"transfer.source={source.named}: takes images of {source.channels} channels, and the data has "
                f"{shape[0]}. Grey and RGB images can be made of each other; nothing else can."
            )
        shape = (source.channels, *shape[1:])
    whole = planned(source.section, shape, classes, source.depth, source.head)
    depth = kept(whole, transfer.depth) if strategy.by_depth else None
    cut = depth if strategy.drops else source.depth
    behind = transfer.head if strategy.drops else source.head
    plan = planned(source.section, shape, classes, cut, behind)
    head, sizes = _head_and_sizes(source.section, plan, classes, cut)
    if source.is_run and strategy.loads:
        head = _fitting(plan, source, head, depth)
    tuning = Tuning(
        parts(plan, sizes, strategy, depth, head), transfer.lr_decay, transfer.warmup_epochs, transfer.unfreeze_every
    )
    return Outline(source.section, plan, cut, behind, transfer.strategy, tuning, head, sizes)


def _head_and_sizes(
    section: Section, plan: Plan, classes: int, cut: int | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The names of what is new at the end, and the parameters by name (of our own stacks: by layer)."""
    if not isinstance(section, Timm):
        return head_of(plan), {layer.name: layer.params for layer in plan.layers}
    import torch

    from pipeline.architecture.backbone import classifier
    from pipeline.transfer.build import construct

    with torch.device("meta"):
        network = construct(section, plan, classes)
    sizes = {name: tensor.numel() for name, tensor in network.named_parameters()}
    if cut is not None:
        return ("head_classes",), sizes
    names = classifier(network)
    if not names:
        raise InputError(f"architecture.name={section.name}: timm does not say which layer is its classifier.")
    return names, sizes


def _fitting(plan: Plan, source: Source, head: tuple[str, ...], depth: int | None) -> tuple[str, ...]:
    """The head, begun earlier where its hidden layers do not fit the size of the data.

    Raises InputError where a layer of the trunk does not: one that is not a convolution knows its input's size.
    """
    theirs = {layer.name: layer.params for layer in source.plan().layers}
    end = plan.layers[-1].stage
    for i, layer in enumerate(plan.layers):
        if layer.name in head or (depth is not None and layer.stage >= depth):
            continue
        name = layer.name.removeprefix("trunk.")
        before = theirs.get(layer.name, theirs.get(name))
        if layer.type == "parameter":
            before = sum(x.params for x in source.plan().layers if x.type == "parameter")
        if before == layer.params:
            continue
        if layer.stage == end:
            return tuple(x.name for x in plan.layers[i:])
        assert source.size is not None
        side, our_side = source.size[0], plan.input_shape[1]
        raise InputError(
            f"transfer.source={source.named}: layer {name} has {before:,} parameters at data.size={side} and "
            f"would have {layer.params:,} at data.size={our_side}: its weights fit no other size. Use data.size={side}."
        )
    return head
