"""The `transfer` section of the configuration."""

from dataclasses import dataclass, replace

from pipeline.data import Data
from pipeline.errors import InputError, at_least, one_of
from pipeline.key import aside
from pipeline.transfer.strategies import NETWORKS, STRATEGIES, Strategy

SOURCES = "a run directory, an MLflow run id, a registered model (models:/NAME/VERSION) or timm"


@dataclass
class Transfer:
    """Which trained network to start from, and what becomes of its layers.

    A key that the strategy has no use for is refused: a sweep over it would compare equals.
    """

    strategy: str = "none"  # none, auto (see advise.py), or a key of strategies.STRATEGIES
    source: str | None = aside(None)  # see SOURCES
    weights: str | None = aside(None)  # of source=timm: a local safetensors or state dict; null: the published ones
    pretrain: Data | None = aside(None)  # the data of a source that is trained first, see training/pretrain.py
    network: str | None = None  # first_layers: one of strategies.NETWORKS
    depth: int | None = None  # early_layers, first_layers: how many stages are kept; null: half of them, rounded up
    lr_decay: float = 1.0  # fine_tune: each stage learns at this fraction of the rate of the stage behind it
    warmup_epochs: int = 0  # fine_tune: the new head learns alone for so long
    unfreeze_every: int | None = None  # fine_tune: then one more stage every so many epochs; null: all at once
    cache: bool = True  # features of a frozen trunk are computed once, where no image is augmented

    def __post_init__(self) -> None:
        one_of("transfer.strategy", self.strategy, ("none", *STRATEGIES, "auto"))
        if self.depth is not None:
            at_least("transfer.depth", self.depth, 1)
        if not 0 < self.lr_decay <= 1:
            raise InputError(f"transfer.lr_decay={self.lr_decay}: must be above 0 and at most 1.")
        at_least("transfer.warmup_epochs", self.warmup_epochs, 0)
        if self.unfreeze_every is not None:
            at_least("transfer.unfreeze_every", self.unfreeze_every, 1)
        if self.strategy == "none":
            for name in ("source", "weights", "pretrain"):
                if (value := getattr(self, name)) is not None:
                    shown = value.name if isinstance(value, Data) else value
                    allowed = ", ".join((*STRATEGIES, "auto"))
                    raise InputError(
                        f"transfer.{name}={shown}: nothing is loaded by transfer=none. Choose transfer={allowed}."
                    )
        elif self.strategy == "first_layers":
            one_of("transfer.network", self.network, NETWORKS)
            for name, given in (("source", self.source), ("pretrain", self.pretrain)):
                if given is not None:
                    raise InputError(
                        f"transfer.{name}: has no effect with transfer=first_layers, which trains its own sources: "
                        "networks on halves of the run's classes."
                    )
        elif self.pretrain is not None and self.source is not None:
            raise InputError(
                f"transfer.source={self.source}, transfer.pretrain.name={self.pretrain.name}: name a source, or the "
                "data that one is to be trained on; not both."
            )
        elif self.pretrain is None and not str(self.source or "").strip():
            raise InputError(
                f"transfer.source={self.source}: transfer={self.strategy} needs a network to start from: {SOURCES}; "
                "or data to train one on, data@transfer.pretrain=NAME."
            )
        if self.weights is not None and self.source != "timm":
            raise InputError(
                f"transfer.weights={self.weights}: belongs to transfer.source=timm; "
                f"transfer.source={self.source} has weights of its own."
            )
        self._has_effect("network", self.network is not None, lambda s: s is STRATEGIES["first_layers"])
        self._has_effect("depth", self.depth is not None, lambda s: s.by_depth)
        self._has_effect("lr_decay", self.lr_decay != 1, lambda s: s.loads and not s.frozen)
        self._has_effect("warmup_epochs", self.warmup_epochs > 0, lambda s: s.loads and not s.frozen)
        self._has_effect("unfreeze_every", self.unfreeze_every is not None, lambda s: s.loads and not s.frozen)

    @property
    def how(self) -> Strategy:
        """What the strategy does; not of none. What auto will do is not known yet: it stands for head_only."""
        found = STRATEGIES["head_only" if self.strategy == "auto" else self.strategy]
        return found if self.network is None else replace(found, frozen=not self.network.endswith("+"))

    def _has_effect(self, name: str, given: bool, used: object) -> None:
        assert callable(used)
        users = [*(word for word, strategy in STRATEGIES.items() if used(strategy)), "auto"]
        if given and self.strategy not in users:
            raise InputError(
                f"transfer.{name}={getattr(self, name)}: has no effect with transfer={self.strategy}, "
                f"only with {', '.join(users)}."
            )
