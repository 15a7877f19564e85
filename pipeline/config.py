"""The typed whole. A composed DictConfig becomes a `Config` here and goes no further."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline import architecture, data
from pipeline.errors import InputError, at_least, one_of
from pipeline.tracking.config import Tracking
from pipeline.training.config import Optimizer, Trainer


@dataclass
class Experiment:
    """The question that a sweep answers."""

    name: str = "train"
    question: str = ""
    metric: str = "test/acc"
    mode: str = "max"  # max | min: which end of the metric is better
    smallest_effect: float = 0.01  # differences below it do not matter to the asker

    def __post_init__(self) -> None:
        one_of("experiment.mode", self.mode, ("max", "min"))
        if not self.smallest_effect > 0:
            raise InputError(f"experiment.smallest_effect={self.smallest_effect}: must be greater than 0.")
        if not self.name or not all(c.isalnum() or c in "-_." for c in self.name) or self.name.startswith("."):
            raise InputError(f"experiment.name={self.name}: use letters, digits, '-', '_' and '.'; it names a folder.")


@dataclass
class Config:
    """One run: everything that decides its result, and where it is written."""

    data: Any = None
    architecture: Any = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    trainer: Trainer = field(default_factory=Trainer)
    tracking: Tracking = field(default_factory=Tracking)
    experiment: Experiment = field(default_factory=Experiment)
    seed: int = 0
    runs_dir: str = "runs"
    dir: str | None = None  # this run's directory (with -m: the sweep's); null: a new one under runs_dir
    output: str = "table"  # table | json

    def __post_init__(self) -> None:
        if not isinstance(self.data, data.Data):
            return  # Hydra builds the schema itself once, without its sections
        at_least("seed", self.seed, 0)
        one_of("output", self.output, ("table", "json"))
        size, processes = self.data.batch_size, self.trainer.processes
        if size % processes:
            raise InputError(
                f"data.batch_size={size}: the global batch must divide evenly among the {processes} processes of "
                f"trainer.devices={self.trainer.devices} x trainer.num_nodes={self.trainer.num_nodes}; "
                f"try {size // processes * processes or processes}."
            )


def register() -> None:
    """Tell Hydra the schemas that the files in conf/ are checked against."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(group="data", name="schema", node=data.Data)
    store.store(group="optimizer", name="schema", node=Optimizer)
    store.store(group="trainer", name="schema", node=Trainer)
    store.store(group="tracking", name="schema", node=Tracking)
    for name, node in architecture.SCHEMAS.items():
        store.store(group="architecture", name=f"{name}_schema", node=node)


def from_hydra(cfg: DictConfig) -> Config:
    """The composed configuration, typed and checked. Raises InputError on what cannot be."""
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """Plain dicts, lists and scalars: what run.json holds."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
    """The inverse of `to_dict`."""
    sections = {
        "data": data.Data,
        "architecture": architecture.SCHEMAS[values["architecture"]["type"]],
        "optimizer": Optimizer,
        "trainer": Trainer,
        "tracking": Tracking,
        "experiment": Experiment,
    }
    return Config(**{k: sections[k](**v) if k in sections else v for k, v in values.items()})


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}, the names that people type."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            out.update(flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out
