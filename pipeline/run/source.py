"""The network that a run starts from: where it is, or the run that is trained for it, once for all that want it.

A run names it (`transfer.source`), or says what it is to be trained on: `transfer.pretrain`, a data section of its
own, or with `transfer=first_layers` one half of its own classes. All else of such a source is the run's: architecture,
augmentation, optimizer, trainer and seed. It is a run like any other, tracked, resumed after a kill, and found again by
its key in <runs_dir>/<experiment>/sources/<the first 16 digits of the key>.
"""

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import config, data, rundir, transfer
from pipeline import key as keys
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.key import Key
from pipeline.tracking import download
from pipeline.transfer import Source, Transfer
from pipeline.transfer.config import SOURCES
from pipeline.transfer.source import concrete


@dataclass(frozen=True)
class SourceRun:
    """A run that is trained for those that start from it."""

    settings: Config

    @functools.cached_property
    def key(self) -> Key:
        """What identifies it. Prepares its data if need be."""
        return _key(json.dumps(config.to_dict(self.settings), sort_keys=True))

    @property
    def dir(self) -> Path:
        """Its directory; with accept=code, one that other code trained, where our own has not."""
        folder = Path(self.settings.runs_dir) / self.settings.experiment.name / "sources"
        own = folder / self.key.digest[:16]
        if self.settings.accept and rundir.get_status(own).status != "finished":
            for file in sorted(folder.glob("*/run.json")):
                finished = rundir.get_status(file.parent).status == "finished"
                if finished and keys.same(rundir.read_run(file.parent), self.key, self.settings.accept):
                    return file.parent
        return own

    @property
    def is_trained(self) -> bool:
        """Whether it is there whole."""
        return rundir.get_status(self.dir).status == "finished"

    @property
    def damage(self) -> str | None:
        """What of it is not as it was trained, and the remedy; None where it is whole, or not trained yet."""
        path = self.dir
        key = None if self.settings.accept else self.key.digest
        if damage := rundir.damage(path, key):
            return damage
        try:
            rundir.check_sealed(path, "checkpoints/best.ckpt")
        except rundir.DamagedError as error:
            return f"{error} To train it again: the same command with retry=true."
        return None

    @property
    def label(self) -> str:
        """It in a word, for progress lines."""
        images = self.settings.data
        half = f"/{images.class_half}" if images.class_half else ""
        return f"source {images.name}{half},seed={self.settings.seed}"

    @property
    def network(self) -> Source:
        """Its network as it will be: no data is read where its shape is known without."""
        shape, classes = input_of(self.settings.data, self.settings.seed)
        section = self.settings.architecture
        return Source(self._named, section, shape[0], size=shape[1:], classes=classes)

    @property
    def trained(self) -> Source:
        """Its network as it was trained. Raises InputError where it was not."""
        path = self.dir
        if (status := rundir.get_status(path)).error:
            raise InputError(f"{self.label}: {status.status}: {status.error} (see {path}).")
        if damage := self.damage:
            raise InputError(f"{self.label}: {damage}")
        return replace(transfer.of_run(path, self._named), key=self.key.digest)

    @property
    def metrics(self) -> dict[str, float]:
        """What it reached, as far as it did."""
        return rundir.get_status(self.dir).metrics

    @property
    def _named(self) -> str:
        return f"pretrain on {self.settings.data.name}"


@functools.cache  # of the many jobs of a sweep, few have another source
def _key(values: str) -> Key:
    settings = config.from_dict(json.loads(values))
    prepared = data.prepare(settings.data, settings.seed)
    shape, classes = prepared.input_shape, len(prepared.classes)
    outline = transfer.outline(settings.architecture, settings.transfer, shape, classes, None)
    definite = replace(config.settled(settings, outline.plan), architecture=outline.section)
    return keys.of(definite, prepared.digest, keys.code_digest(), [])


def source_run(settings: Config) -> SourceRun | None:
    """The run that is trained for the source of `settings`; None where there is none, or it was trained elsewhere."""
    section = settings.transfer
    if section.network is not None:
        images = replace(settings.data, class_half=section.network[0].lower())
    elif section.pretrain is not None:
        images = section.pretrain
    else:
        return None
    shape, classes = input_of(images, settings.seed)
    return SourceRun(
        replace(
            settings,
            data=images,
            # What was scaled to a reference is scaled on the source's data; the run has the same widths.
            architecture=concrete(settings.architecture, shape, classes),
            transfer=Transfer(),
            trainer=replace(settings.trainer, stack="off"),  # it trains alone
            experiment=replace(settings.experiment, invariance=False, localization=False),
            dir=None,
        )
    )


def input_of(images: data.Data, seed: int) -> tuple[tuple[int, int, int], int]:
    """((C, H, W), classes). Data is read only where that is not known before."""
    if declared := data.declared(images):
        return declared
    prepared = data.prepare(images, seed)
    return prepared.input_shape, len(prepared.classes)


def find_source(settings: Config, source_run: SourceRun | None, weights: bool = True) -> Source | None:
    """The source of a configuration, or None where it asks for none.

    `source_run`, where there is one, is not trained here. What is not on this machine is fetched, once, into a folder
    under runs_dir: a run's configuration, and with `weights` its checkpoint; timm's published weights.

    Raises:
        InputError: a source that is not there, has no checkpoint, or cannot be fetched.
    """
    section, named = settings.transfer, settings.transfer.source
    loads = weights and section.strategy != "none" and section.how.loads
    if source_run:
        if loads:
            return source_run.trained
        return replace(source_run.network, key=source_run.key.digest if weights else None)
    if section.strategy == "none" or named is None:
        return None
    fetched = Path(settings.runs_dir) / ".sources"
    if named == "timm":
        source = transfer.of_timm(settings.architecture, section.weights)
        if source.file is None and loads:
            from pipeline.transfer import published

            return replace(source, file=published.fetch(source.section, fetched).resolve())  # type: ignore[arg-type]
        return source
    if (Path(named) / "run.json").exists():
        return transfer.of_run(Path(named), named, loads)
    if download.is_on_mlflow(named):
        return transfer.of_run(download.fetch(settings.tracking, named, fetched, loads), named, loads, fetched=True)
    if Path(named).exists():
        raise InputError(f"transfer.source={named}: not a run directory; it holds no run.json.")
    raise InputError(f"transfer.source={named}: no such run. It must be {SOURCES}.")
