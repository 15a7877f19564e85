"""The design of an experiment, checked before its first run: is every arm possible, and are the arms fair?"""

import functools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import config, data, transfer
from pipeline.architecture import Plan
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.evaluation import metrics
from pipeline.key import Key
from pipeline.names import shortened
from pipeline.training import pretrain
from pipeline.transfer import Outline

if TYPE_CHECKING:
    from pipeline import cli

LONGEST = 60  # characters of a level in the name of its arm
TOLERANCE = 0.05  # costs that differ by less are called the same

# What arms can differ in besides their factors.
QUANTITIES = {
    "params": lambda planned: planned.params,
    "macs": lambda planned: planned.macs,
    "layers": lambda planned: sum(layer.params > 0 for layer in planned.layers),
}
WORDS = {"params": "parameters", "macs": "MACs", "layers": "layers with weights"}


@dataclass
class Job:
    """One run to be: its arm's levels, its seed, and what they make of the configuration."""

    levels: dict[str, Any]
    seed: int
    overrides: list[str]
    settings: Config  # its architecture is the source's, where the network of a run is started from
    outline: Outline
    key: Key | None = None  # what identifies the run; known once its data is prepared

    @property
    def known_key(self) -> Key:
        """The key, once it is known."""
        assert self.key is not None
        return self.key

    def is_that(self, was: Mapping[str, Any]) -> bool:
        """Whether this is the job `was` of a sweep.json; with accept=code, whatever code it was for."""
        accepted = self.settings.accept == "code" and was.get("work") == self.known_key.under("")
        return accepted or was["key"] == self.known_key.digest

    @property
    def planned(self) -> Plan:
        """The network, layer by layer."""
        return self.outline.plan

    @property
    def arm(self) -> str:
        """The levels in a word."""
        return arm(self.levels)


def arm(levels: dict[str, Any]) -> str:
    """`kernel_size=3,padding=same`: the levels by the last part of their names, where that is not ambiguous."""
    short = [key.rpartition(".")[2] for key in levels]
    names = short if len(set(short)) == len(short) else list(levels)
    words = [shortened(str(value).replace(" ", ""), LONGEST) for value in levels.values()]
    return ",".join(f"{name}={word}" for name, word in zip(names, words, strict=True))


def expand(sweep: "cli.Sweep") -> tuple[list[str], list[Job]]:
    """The factors of a sweep and its jobs, each one composed, checked and planned.

    Raises InputError, naming the arm, where one of them cannot be.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse = functools.cache(OverridesParser.create().parse_override)
    factors = [key for key in sweep.swept if key != "seed"]
    outlines: dict[str, Outline] = {}
    jobs = []
    for overrides in sweep.jobs:
        values = {o.get_key_element(): o.value() for o in map(parse, overrides)}
        levels = {key: values[key] for key in factors}
        try:
            settings = config.from_hydra(sweep.compose(overrides))
            made = _outline(settings, outlines)
            settings.architecture = made.section
            jobs.append(Job(levels, settings.seed, overrides, settings, made))
        except InputError as error:
            raise InputError(f"arm {arm(levels)}: {error}" if levels else str(error)) from None
    seen: set[str] = set()
    for job in jobs:
        name = f"{job.arm}, seed={job.seed}".removeprefix(", ")
        if name in seen:
            raise InputError(f"{name}: is listed twice; the same run again says nothing new.")
        seen.add(name)
    return factors, jobs


def _outline(settings: Config, outlines: dict[str, Outline]) -> Outline:
    """The outline of a run's network; seeds share it. Data is read only where its shape is not known before."""
    key = f"{settings.data} {settings.architecture} {settings.transfer}"
    if key not in outlines:
        outlines[key] = outline(settings)
    return outlines[key]


def outline(settings: Config, settle: bool = True) -> Outline:
    """The network of a configuration, planned for the input and the classes of its data.

    To `settle` is to look at the data where transfer=auto asks for it; else auto stands for head_only.
    """
    from pipeline.tracking import sources

    own = pretrain.wanted(settings)
    # What auto advises is known once there is a source to look through.
    settle = settle and settings.transfer.strategy == "auto" and (own is None or pretrain.is_trained(own))
    source = sources.find(settings, weights=settle)
    if settle:
        prepared = data.prepare(settings.data, settings.seed)
        return transfer.settle(settings.architecture, settings.transfer, prepared, settings.data, settings.seed, source)
    shape, classes = pretrain.known(settings.data, settings.seed)
    return transfer.outline(settings.architecture, settings.transfer, shape, classes, source)


def sources_of(jobs: Sequence[Job]) -> list[tuple[Config, Job]]:
    """The sources to be trained before the jobs that start from them, each with one of these jobs."""
    found: dict[str, tuple[Config, Job]] = {}
    for job in jobs:
        if (source := pretrain.wanted(job.settings)) and job.outline.loads:
            found.setdefault(str(source), (source, job))
    return list(found.values())


def begins(settings: Config, made: Outline) -> dict[str, Any]:
    """What a run would take from its source, for people. Weights that would have to be downloaded are left alone.

    Raises InputError where the weights do not fit.
    """
    from pipeline.tracking import sources

    published = settings.transfer.source == "timm" and settings.transfer.weights is None
    source = sources.find(settings, weights=not published)
    found = made.record() if published else transfer.record(made, source)
    return {k: v for k, v in found.items() if k != "tuning"}


def check_sources(jobs: Sequence[Job]) -> None:
    """Raise InputError, naming the arm, where the weights that a job starts from cannot be had or do not fit."""
    from pipeline.tracking import sources

    for job in arms(jobs):
        if pretrain.wanted(job.settings):  # not trained yet
            continue
        try:
            transfer.record(job.outline, sources.find(job.settings))
        except InputError as error:
            raise InputError(f"arm {job.arm}: {error}" if job.levels else str(error)) from None


def arms(jobs: Sequence[Job]) -> list[Job]:
    """One job for each arm, in order."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(json.dumps(job.levels, sort_keys=True, default=str), job)
    return list(first.values())


def duplicates(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Arms that would train the same network in the same way, under different names."""
    same: dict[str, list[Job]] = {}
    for job in arms(jobs):
        same.setdefault(_identity(job), []).append(job)
    return [
        {"arms": [job.levels for job in group], "text": " and ".join(job.arm for job in group) + " are the same"}
        for group in same.values()
        if len(group) > 1
    ]


def _identity(job: Job) -> str:
    layers = [[layer.type, layer.options, layer.output_shape] for layer in job.planned.layers]
    sections = ("data", "augmentation", "transfer", "optimizer", "trainer")
    rest = {k: v for k, v in config.to_dict(job.settings).items() if k in sections}
    # A section of a kind that names no layers (timm) is told apart by its own keys.
    section = job.settings.architecture if job.settings.architecture.type == "timm" else None
    return json.dumps([layers, rest, str(section)], sort_keys=True, default=str)


def confounds(factors: Sequence[str], jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """What changes with a factor besides the factor: per level the cost against that of the first level.

    Each names factor, level, reference, quantity and ratio. `meant` is true where the experiment's
    `meant_to_differ` lists the quantity: then it is part of the question, not a flaw of its design.
    """
    found = []
    all_arms = arms(jobs)
    for factor in factors:
        levels: dict[str, list[Job]] = {}
        for job in all_arms:
            levels.setdefault(json.dumps(job.levels[factor], default=str), []).append(job)
        groups = list(levels.values())
        for quantity, measure in QUANTITIES.items():
            means = [statistics.mean(measure(job.planned) for job in group) for group in groups]
            for group, mean in zip(groups[1:], means[1:], strict=True):
                ratio = mean / means[0] if means[0] else float("inf")
                if abs(ratio - 1) <= TOLERANCE:
                    continue
                level, reference = group[0].levels[factor], groups[0][0].levels[factor]
                short = factor.rpartition(".")[2]
                this, that = (shortened(str(one), LONGEST) for one in (level, reference))
                found.append(
                    {
                        "factor": factor,
                        "level": level,
                        "reference": reference,
                        "quantity": quantity,
                        "ratio": ratio,
                        "meant": quantity in group[0].settings.experiment.meant_to_differ,
                        "text": f"{short} {this} has {ratio:.2g} times the {WORDS[quantity]} of {that}",
                    }
                )
    return found


def unmatched(jobs: Sequence[Job]) -> list[str]:
    """Arms that should cost what their reference costs, and could not be brought within 5 %."""
    return [f"{job.arm}: {job.planned.match.note}" for job in arms(jobs)
            if job.planned.match and not job.planned.match.matched]  # fmt: skip


def contradictions(settings: Config) -> list[str]:
    """What the question says against itself, a line each."""
    return metrics.contradiction(settings.experiment.metric, str(settings.experiment.mode))


def warnings(factors: Sequence[str], jobs: Sequence[Job]) -> list[str]:
    """All that a reviewer would hold against this design, a line each."""
    return [
        *contradictions(jobs[0].settings),
        *(one["text"] for one in duplicates(jobs)),
        *(one["text"] for one in confounds(factors, jobs) if not one["meant"]),
        *unmatched(jobs),
    ]
