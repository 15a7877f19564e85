"""The `transfer` section of the configuration."""

from dataclasses import dataclass, fields, replace
from typing import Any

from pipeline.data import Data
from pipeline.errors import InputError, at_least, one_of
from pipeline.key import aside
from pipeline.transfer.strategies import CHOICES, HEADS, NETWORKS, STRATEGIES, Strategy

SOURCES = "a run directory, an MLflow run id, a registered model (models:/NAME/VERSION) or timm"


@dataclass
class Transfer:
    """Which trained network to start from, and what becomes of its layers.

    A key that the strategy has no use for is refused: a sweep over it would compare equals.
    """

    strategy: str = "none"  # what is taken of the source's layers, and what becomes of them
    source: str | None = aside(None)  # a run directory, an MLflow run id, a model (models:/NAME/VERSION) or timm
    weights: str | None = aside(None)  # of source=timm: a file, safetensors or state dict; null: the published ones
    pretrain: Data | None = aside(None)  # the data of a source that is trained first: data@transfer.pretrain=NAME
    network: str | None = None  # first_layers: the half that copied layers saw, A or B; with +, they are trained on
    depth: int | None = None  # early_layers, first_layers: how many stages are kept; null: half of them, rounded up
    head: str = "pool4"  # early_layers: what follows the kept maps
    lr_decay: float = 1.0  # fine_tune: each stage learns at this fraction of the rate of the stage behind it
    warmup_epochs: int = 0  # fine_tune: epochs in which the new head learns alone
    unfreeze_every: int | None = None  # fine_tune: then one more stage every so many epochs; null: all at once
    cache: bool = True  # features of a frozen trunk are computed once, where no image is augmented

    def __post_init__(self) -> None:
        one_of("transfer.strategy", self.strategy, CHOICES)
        one_of("transfer.head", self.head, HEADS)
        if self.depth is not None:
            at_least("transfer.depth", self.depth, 1)
        if not 0 < self.lr_decay <= 1:
            raise InputError(f"transfer.lr_decay={self.lr_decay}: must be above 0 and at most 1.")
        at_least("transfer.warmup_epochs", self.warmup_epochs, 0)
        if self.unfreeze_every is not None:
            at_least("transfer.unfreeze_every", self.unfreeze_every, 1)
        check_source = {"none": self._check_no_source, "halves": self._check_halves, "given": self._check_one_source}
        check_source[CHOICES[self.strategy].source]()
        if self.weights is not None and self.source != "timm":
            raise InputError(
                f"transfer.weights={self.weights}: belongs to transfer.source=timm; "
                f"transfer.source={self.source} has weights of its own."
            )
        for name, default in _optional().items():
            users = [word for word, strategy in CHOICES.items() if name in strategy.options]
            if getattr(self, name) != default and self.strategy not in users:
                raise InputError(
                    f"transfer.{name}={getattr(self, name)}: has no effect with transfer={self.strategy}, "
                    f"only with {', '.join(users)}."
                )

    @property
    def how(self) -> Strategy:
        """What the strategy does. What auto will do is not known yet: it stands for head_only."""
        found = CHOICES[self.strategy]
        return found if self.network is None else replace(found, frozen=not self.network.endswith("+"))

    def with_strategy(self, strategy: str, depth: int | None = None) -> "Transfer":
        """transfer=auto with a strategy chosen, without the options that this one has no use for.

        `depth` counts where the strategy takes one and the user gave none.
        """
        options = CHOICES[strategy].options
        idle = {name: default for name, default in _optional().items() if name not in options}
        chosen = replace(self, strategy=strategy, **idle)
        return replace(chosen, depth=self.depth or depth) if "depth" in options else chosen

    def _check_no_source(self) -> None:
        for name in ("source", "weights", "pretrain"):
            if (value := getattr(self, name)) is not None:
                shown = value.name if isinstance(value, Data) else value
                allowed = ", ".join((*STRATEGIES, "auto"))
                raise InputError(
                    f"transfer.{name}={shown}: nothing is loaded by transfer=none. Choose transfer={allowed}."
                )

    def _check_halves(self) -> None:
        one_of("transfer.network", self.network, NETWORKS)
        for name in ("source", "pretrain"):
            if (value := getattr(self, name)) is not None:
                given = f".name={value.name}" if isinstance(value, Data) else f"={value}"
                raise InputError(
                    f"transfer.{name}{given}: has no effect with transfer={self.strategy}, which trains its own "
                    "sources: networks on halves of the run's classes."
                )

    def _check_one_source(self) -> None:
        if self.pretrain is not None and self.source is not None:
            raise InputError(
                f"transfer.source={self.source}, transfer.pretrain.name={self.pretrain.name}: name a source, or the "
                "data that one is to be trained on; not both."
            )
        if self.pretrain is None and not str(self.source or "").strip():
            raise InputError(
                f"transfer.source={self.source}: transfer={self.strategy} needs a network to start from: {SOURCES}; "
                "or data to train one on, data@transfer.pretrain=NAME."
            )


def _optional() -> dict[str, Any]:
    """{key: its default} of the keys that some strategies take and others do not."""
    optional = {name for strategy in CHOICES.values() for name in strategy.options}
    return {one.name: one.default for one in fields(Transfer) if one.name in optional}
