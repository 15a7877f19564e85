"""What a run is, found out once: from its configuration to the network, the weights, the data and the key.

planned = plan_run(settings)              # no data is read where its shape is known without; no torch
resolved = resolve(planned, prepared)     # with the data and the digest of the weights: the key
record = make_record(resolved, arm)       # what run.json says; nothing is open any more
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import config, data, environment, rundir, transfer
from pipeline import key as keys
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.key import Key
from pipeline.records import Counts, DatasetRecord, RunRecord
from pipeline.run.source import SourceRun, find_source, input_of, source_run
from pipeline.transfer import Outline, Source

Splits = dict[str, np.ndarray]  # which examples a run is trained, chosen and tested by
MOST_SOURCES = 20  # one behind the other


@dataclass(frozen=True)
class PlannedRun:
    """A run as far as it is known before its data is read."""

    settings: Config  # its architecture is the source's, where the network of a run is started from
    outline: Outline
    source_run: SourceRun | None = None  # that is trained for it

    @property
    def first(self) -> SourceRun | None:
        """The source run, where its weights are loaded: then it has to be trained first."""
        return self.source_run if self.outline.loads else None


@dataclass(frozen=True)
class Seen:
    """What the run's source, or that one's own, was trained on of what this run is tested on.

    On what a network has seen it does better than on what is new, whatever it has learnt.
    """

    counts: dict[str, int] = field(default_factory=dict)  # split -> how many of its images, where there are some
    untold: str = ""  # why that cannot be told; empty where it can


@dataclass(frozen=True)
class ResolvedRun:
    """A run whose data is prepared, and what identifies it."""

    planned: PlannedRun
    prepared: data.Prepared
    splits: Splits
    source: Source | None  # found with its weights, unless it is a source run, which may not be trained yet
    definite: Config  # the settings, with what was left open and decides bits settled
    key: Key
    seen: Seen

    @property
    def settings(self) -> Config:
        """As planned."""
        return self.planned.settings

    @property
    def doubts(self) -> list[str]:
        """What of its data makes its result doubtful, a line each."""
        return data.doubts(self.prepared, self.settings.data, self.splits)

    @property
    def tested_on(self) -> str:
        """A digest: the same for runs that are tested on the same examples of the same set, at whatever size."""
        parts = (self.prepared.labels, self.splits["test"])
        return hashlib.sha256(b"".join(np.ascontiguousarray(one, "<i8").tobytes() for one in parts)).hexdigest()


def plan_run(settings: Config, outlines: dict[str, Outline] | None = None, advise: bool = True) -> PlannedRun:
    """Find the run's source and plan its network. Runs that differ by their seed alone share what is in `outlines`.

    To `advise` is to look at the data where transfer=auto asks for it and there is a source to look through; else auto
    stands for head_only. Raises InputError where the run cannot be.
    """
    trained = source_run(settings)
    name = f"{settings.data} {settings.architecture} {settings.transfer}"
    outlines = {} if outlines is None else outlines
    if name not in outlines:
        outlines[name] = _outline(settings, trained, advise)
    outline = outlines[name]
    return PlannedRun(dataclasses.replace(settings, architecture=outline.section), outline, trained)


def _outline(settings: Config, trained: SourceRun | None, advise: bool) -> Outline:
    advised = advise and settings.transfer.strategy == "auto" and (trained is None or trained.is_trained)
    source = find_source(settings, trained, weights=advised)
    if advised:
        prepared = data.prepare(settings.data, settings.seed)
        return transfer.settle(settings.architecture, settings.transfer, prepared, settings.data, settings.seed, source)
    shape, classes = input_of(settings.data, settings.seed)
    return transfer.outline(settings.architecture, settings.transfer, shape, classes, source)


def resolve(planned: PlannedRun, prepared: data.Prepared, splits: Splits | None = None) -> ResolvedRun:
    """Read what the run begins with, and name the run. `splits` are its data's, where they are known.

    Raises InputError where the set lacks the class that is asked about, or the boxes that maps are to find.

    Of transfer=auto the question counts, not the answer: it follows from the same source, data and code.
    """
    settings, trained = planned.settings, planned.source_run
    settings.experiment.asked(prepared.classes)
    if settings.experiment.localization and prepared.boxes is None:
        raise InputError(
            f"experiment.localization=true: {settings.data.name} has no boxes. data=manifest reads them from columns "
            "xmin, ymin, xmax and ymax; data=placed_digits has some."
        )
    source = find_source(settings, trained, weights=trained is None)
    shape, classes = prepared.input_shape, len(prepared.classes)
    outline = transfer.outline(settings.architecture, settings.transfer, shape, classes, source)
    if trained:  # not yet, maybe; named without its code, which is the run's own
        begins: dict[str, Any] = {**outline.record(), "source": {"key": trained.key.under("")}}
    else:
        begins = transfer.record(outline, source)
    definite = dataclasses.replace(config.settled(settings, outline.plan), architecture=outline.section)
    key = keys.of(definite, prepared.digest, keys.code_digest(), transfer.deciding(begins))
    splits = splits or data.split(prepared, settings.data, settings.seed)
    seen = _seen(planned, prepared, splits, source) if outline.loads else Seen()
    return ResolvedRun(planned, prepared, splits, source, definite, key, seen)


def _seen(planned: PlannedRun, prepared: data.Prepared, splits: Splits, source: Source | None) -> Seen:
    settings, trained = planned.settings, planned.source_run
    if source is None or not source.is_run:
        return Seen()
    counts: dict[str, int] = {}
    try:
        if trained:
            sets = [(data.prepare(trained.settings.data, settings.seed), trained.settings)]
        else:
            assert source.file is not None
            sets = list(_trained_on(source.file.parents[1]))
    except InputError as error:
        return Seen(untold=str(error))
    for theirs, their in sets:
        used = data.split(theirs, their.data, their.seed)
        trained_on = np.concatenate([used["train"], used["val"]])  # or was chosen by
        for name in ("val", "test"):
            if (count := data.overlap(prepared, splits[name], theirs, trained_on)) is None:
                return Seen(counts, f"its set {their.data.name} has other labels than the one of that name here")
            if count > counts.get(name, 0):
                counts[name] = count
    return Seen(counts)


def _trained_on(run: Path) -> Iterator[tuple[data.Prepared, Config]]:
    """The set of a run with its settings, and those of the run that it was started from, and so on.

    Raises InputError where one of them is not here.
    """
    for _ in range(MOST_SOURCES):
        their, record = config.of_run(run), rundir.read_run(run)
        if not Path(record.dataset.dir).is_dir():
            raise InputError(f"the data of {run} is not at {record.dataset.dir} any more")
        yield data.open_prepared(record.dataset.dir, their.data, their.seed), their
        begins = record.transfer.get("source", {})
        if not (begins.get("run") and begins.get("file")):
            return
        run, was = Path(begins["file"]).parents[1], begins.get("run_key")
        if not (run / "run.json").exists():
            raise InputError(f"{run}, which {begins['named']} names, is not there any more")
        if was is not None and rundir.read_run(run).key != was:
            raise InputError(f"{run} holds another run than the one that {begins['named']} named")


def make_record(resolved: ResolvedRun, arm: str) -> RunRecord:
    """What run.json says of a new run: what was left open is settled, for whoever takes it up on another machine."""
    settings, prepared, trained = resolved.settings, resolved.prepared, resolved.planned.source_run
    source = find_source(settings, trained) if trained else resolved.source
    outline = transfer.settle(settings.architecture, settings.transfer, prepared, settings.data, settings.seed, source)
    begins = transfer.record(outline, source)
    if trained:
        begins["source"]["metrics"] = trained.metrics
    if source and source.run_key:
        begins["source"]["run_key"] = source.run_key
    if resolved.seen.counts:
        begins["source"]["seen"] = resolved.seen.counts
    if resolved.seen.untold:
        begins["source"]["seen_untold"] = resolved.seen.untold
    settings = dataclasses.replace(config.settled(settings, outline.plan), architecture=outline.section)
    dataset = DatasetRecord(
        name=settings.data.name,
        dir=str(prepared.dir),
        digest=prepared.digest,
        input_shape=prepared.input_shape,
        classes=list(prepared.classes),
        counts=Counts(**{name: len(indices) for name, indices in resolved.splits.items()}),
        group=data.column_of(prepared, settings.data),
        overlap={name: share for name in ("val", "test") if (share := data.redrawn(prepared, settings.data, name))},
    )
    return RunRecord(
        config=config.to_dict(settings),
        key=resolved.key.digest,
        key_parts=dataclasses.asdict(resolved.key),
        arm=arm,
        dataset=dataset,
        transfer=begins,
        parameters=outline.plan.params,
        macs=outline.plan.macs,
        code_digest=resolved.key.code,
        code=keys.code(),
        git_sha=environment.git_sha(),
        environment=environment.describe(),
    )


def describe_transfer(planned: PlannedRun) -> dict[str, Any]:
    """What a run would take from its source, for people. Weights that would have to be downloaded are left alone.

    Raises InputError where the weights do not fit.
    """
    section = planned.settings.transfer
    published = section.source == "timm" and section.weights is None
    source = find_source(planned.settings, planned.source_run, weights=not published)
    record = planned.outline.record() if published else transfer.record(planned.outline, source)
    return {name: value for name, value in record.items() if name != "tuning"}
