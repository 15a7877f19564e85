"""The typed whole. A composed DictConfig becomes a `Config` here and goes no further."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import architecture, data, environment, rundir
from pipeline.augmentation import Augmentation
from pipeline.config.experiment import Experiment
from pipeline.config.loss import Loss
from pipeline.config.metrics import METRICS
from pipeline.config.tracking import Tracking
from pipeline.config.trainer import Optimizer, Trainer
from pipeline.data import Data
from pipeline.errors import InputError, nearest, one_of, within
from pipeline.groups import CONF
from pipeline.key import aside, newer
from pipeline.transfer import Transfer

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")


@dataclass
class Config:
    """One run: everything that decides its result, and where it is written."""

    data: Data = field(default_factory=Data)
    architecture: Any = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    transfer: Transfer = field(default_factory=Transfer)
    optimizer: Optimizer = field(default_factory=Optimizer)
    loss: Loss = newer(Loss)
    trainer: Trainer = field(default_factory=Trainer)
    tracking: Tracking = field(default_factory=Tracking, metadata={"decides": False})
    experiment: Experiment = field(default_factory=Experiment)
    seed: int = 0  # the replicate: split, initial weights, data order, augmentation draws
    seeds: str | None = aside(None)  # with -m, auto: added until the question is settled; null: as `seed` says
    runs_dir: str = aside("runs")  # where run and sweep directories go
    dir: str | None = aside(None)  # this run's directory (with -m: the sweep's); null: a new one under runs_dir
    resume: bool = aside(True)  # the same command goes on where it was left; false: always begins anew
    retry: bool = aside(False)  # runs that failed before are tried again
    accept: str | None = aside(None)  # code: what was trained before by other code is taken as it is
    output: str = aside("table")  # for people, or one document for programs
    preview: str | None = aside(None)  # a PNG to draw, of what training will be fed

    def __post_init__(self) -> None:
        within("seed", self.seed, 0, 2**32 - 1)
        one_of("output", self.output, ("table", "json"))
        if self.seeds is not None:
            one_of("seeds", self.seeds, ("auto",))
        if self.accept is not None:
            one_of("accept", self.accept, ("code",))
        for key in ("runs_dir", "dir"):
            if any(ord(c) < 32 or ord(c) == 127 for c in getattr(self, key) or ""):
                # In a SLURM script, what follows a line break would be run.
                raise InputError(f"{key}={getattr(self, key)!r}: names no folder; it has control characters.")
        if self.experiment.mode is None:  # not in the section itself, whose defaults are those of Hydra's schema
            self.experiment.mode = METRICS[self.experiment.metric].better
        if self.experiment.localization and self.data.messy:
            raise InputError(
                f"data.messy={self.data.messy}: moves what the boxes of {self.data.name} are about, so that "
                "experiment.localization=true cannot judge by them."
            )
        trainer = self.trainer
        for key, images in (("data", self.data), ("transfer.pretrain", self.transfer.pretrain)):
            size = images.batch_size if images else trainer.processes
            if size % trainer.processes:
                hosts = f" on each host of trainer.num_nodes={trainer.num_nodes}" if trainer.num_nodes > 1 else ""
                raise InputError(
                    f"{key}.batch_size={size}: the global batch must divide evenly among the processes of "
                    f"trainer.devices={trainer.devices}{hosts}; "
                    f"try {size // trainer.processes * trainer.processes or trainer.processes}."
                )
        self._check_kind()
        if self.transfer.network is not None and self.data.class_half != "b":
            raise InputError(
                f"data.class_half={self.data.class_half}: transfer.network={self.transfer.network} is a network for "
                "half B of the classes; say data.class_half=b."
            )
        if trainer.num_nodes > 1 and not self.dir:
            raise InputError(
                f"trainer.num_nodes={trainer.num_nodes}: needs dir=, the run's directory, in a folder that all see."
            )

    def _check_kind(self) -> None:
        """Refuse what is not for the kind of examples that the data has."""
        kind, source = self.data.kind, f"data.source={self.data.source} gives {self.data.kind.noun}s"
        for one in self.augmentation.words:
            if one not in kind.augmentations:
                fits = ", ".join(kind.augmentations) or "none"
                raise InputError(f"augmentation.transforms={one}: {source}; what can be done to them: {fits}.")
        if self.augmentation.spelled and not kind.spelled:
            named = next(iter(self.augmentation.spelled[0]))
            raise InputError(f"augmentation.transforms={named}: albumentations is for images, and {source}.")
        for name in ("invariance", "localization"):
            if getattr(self.experiment, name) and not kind.pictured:
                raise InputError(f"experiment.{name}=true: is measured on images, and {source}.")
        if kind.worded and self.transfer.strategy != "none":
            raise InputError(
                f"transfer={self.transfer.strategy}: {source}, and a network for these starts from nothing: a token's "
                "number is another word in another run."
            )


def register() -> None:
    """Tell Hydra the schemas that the files in conf/ are checked against."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    store = ConfigStore.instance()
    Plugins.instance()
    # Packages bring launchers under the names of our presets; Hydra warns where a file meets a schema of its name.
    for preset in (CONF / "hydra" / "launcher").glob("*.yaml"):
        store.repo["hydra"].get("launcher", {}).pop(preset.name, None)
    store.store(name="schema", node=Config)
    # Only this section has several types; each file in conf/architecture names its own.
    for name, node in architecture.SCHEMAS.items():
        store.store(name=f"schema_{name}", node=node)


def from_hydra(cfg: "DictConfig") -> Config:
    """The composed configuration, typed and checked. Raises InputError on what cannot be."""
    settings = typed(cfg, Config)
    # Not of the section by itself: a source has the experiment of its runs, and is not measured as they are.
    asked = settings.experiment
    named = [("experiment.metric", asked.metric)]
    named += [("experiment.contrasts.metric", one.metric) for one in asked.contrasts if one.metric]
    source = f"data.source={settings.data.source} gives {settings.data.kind.noun}s"
    for key, metric in named:
        option, kind = METRICS[metric].asked, METRICS[metric].kind
        if kind and kind != settings.data.kind.name:
            fits = ", ".join(name for name, one in METRICS.items() if one.kind in ("", settings.data.kind.name))
            raise InputError(f"{key}={metric}: {source}, of which no run has it. Allowed: {fits}.")
        if option and not getattr(asked, option):
            raise InputError(f"{key}={metric}: runs have it with experiment.{option}=true, which measures it.")
    return settings


def typed(cfg: "DictConfig", kind: type[T]) -> T:
    """A composed configuration as the dataclass that is its schema. Raises InputError on what cannot be."""
    from omegaconf import OmegaConf

    _refuse_unknown(cfg, "")
    found = OmegaConf.to_object(cfg)
    assert isinstance(found, kind)
    for key, value in _numbers(dataclasses.asdict(found)):  # type: ignore[call-overload]
        if not math.isfinite(value):
            raise InputError(f"{key}={value}: must be a finite number.")
    return found


def _numbers(node: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every float below `node`, with the key that is typed for it."""
    if isinstance(node, float):
        yield key, node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _numbers(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _numbers(value, f"{key}[{i}]")


def _refuse_unknown(node: "DictConfig", prefix: str) -> None:
    """Keys that no dataclass has: Hydra lets `+key=value` put them in."""
    from omegaconf import DictConfig, OmegaConf

    kind = OmegaConf.get_type(node)
    allowed = [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else list(node)
    for key in map(str, node):
        if key not in allowed:
            hint = nearest(key, allowed)
            raise InputError(f"+{prefix}{key}={node[key]}: no such key.{hint} Allowed: {', '.join(allowed)}.")
        if not OmegaConf.is_missing(node, key) and isinstance(node[key], DictConfig):
            _refuse_unknown(node[key], f"{prefix}{key}.")


def to_dict(config: Config) -> dict[str, Any]:
    """Plain dicts, lists and scalars: what run.json holds."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
    """The inverse of `to_dict`."""
    sections: dict[str, Any] = {
        "data": Data,
        "architecture": architecture.SCHEMAS[values["architecture"]["type"]],
        "augmentation": Augmentation,
        "transfer": _transfer,
        "optimizer": Optimizer,
        "loss": Loss,
        "trainer": Trainer,
        "tracking": Tracking,
        "experiment": Experiment,
    }
    return Config(**{k: sections[k](**v) if k in sections else v for k, v in values.items()})


def _transfer(**values: Any) -> Transfer:
    inner = values.get("pretrain")
    return Transfer(**values | {"pretrain": Data(**inner) if inner else None})


def of_run(path: Path) -> Config:
    """The configuration of the run at `path`. Raises InputError where run.json holds none that fits this code."""
    record = rundir.read_run(path)
    try:
        return from_dict(record.config)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path / 'run.json'}: was written by another version of the code ({error}).") from None


def card_of_run(run: Path) -> Path | None:
    """The page that describes the data of the run at `run`; None where that set is gone, or the run damaged."""
    try:
        dataset, settings = rundir.read_run(run).dataset, of_run(run)
        return data.card_of(dataset.dir, dataset.digest, settings.data, settings.seed)
    except (InputError, OSError):
        return None


def settled(settings: Config, plan: architecture.Plan) -> Config:
    """With what is left open and decides bits made definite, for a network.

    Threads and stacks follow from the network; `precision=auto` from this machine, and is the same then for all runs
    of a sweep. Raises InputError where seeds are to be stacked of what cannot be.
    """
    trainer = settings.trainer
    work = plan.macs * settings.data.batch_size // trainer.processes
    stack = trainer.stacked(work, _stack_obstacle(settings, plan))
    threads = trainer.cpu_threads(work) if stack == "off" else 1
    precision = trainer.precision
    if precision == "auto":
        precision = "bf16-mixed" if environment.native_bf16(trainer.accelerator) else "32-true"
    definite = dataclasses.replace(trainer, threads=threads, precision=precision, stack=stack)
    return dataclasses.replace(settings, trainer=definite)


def _stack_obstacle(settings: Config, plan: architecture.Plan) -> str | None:
    if settings.transfer.strategy != "none":
        return f"is for runs that start from nothing, not for transfer={settings.transfer.strategy}"
    if settings.data.num_workers:
        return f"loads its own batches, without data.num_workers={settings.data.num_workers}"
    if not architecture.stackable(plan):
        return f"is for networks of our own layers, not architecture={settings.architecture.type}"
    return settings.trainer.stack_obstacle


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}, the names that people type."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            out.update(flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out
