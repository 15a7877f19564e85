"""The design of an experiment: its factors, and every run that they and the seeds make, each one possible."""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline import config, transfer
from pipeline.architecture import Plan
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.evidence.rule import looks_until
from pipeline.key import Key
from pipeline.names import arm
from pipeline.records import JobRecord, Tuned
from pipeline.run.resolve import PlannedRun, ResolvedRun, plan_run
from pipeline.run.source import SourceRun, find_source
from pipeline.transfer import Outline

SEED = re.compile(r"seed=(0|[1-9]\d*)")


@dataclass
class Multirun:
    """A sweep as Hydra's command line gives it: what a command needs to check it and to start it."""

    jobs: list[list[str]]  # per job, its overrides
    swept: list[str]  # the keys that vary, in the order given
    compose: Callable[[list[str]], DictConfig]  # a job's overrides -> its configuration
    launcher: Any  # Hydra's, that was chosen to run them
    tuned: Sequence[Tuned] = ()  # the learning rates that were tuned for its arms
    tuned_in: str = ""
    auto: bool = False  # seeds=auto: the jobs are arms, without their seeds

    def of_cells(self, cells: Iterable[tuple[int, int]]) -> "Multirun":
        """One with a job for each (arm, seed), an arm being the index of a job of this one."""
        return replace(self, jobs=[[*self.jobs[arm], f"seed={seed}"] for arm, seed in cells])

    def of_seeds(self, seeds: int) -> "Multirun":
        """One with all arms at so many seeds."""
        return self.of_cells((arm, seed) for seed in range(seeds) for arm in range(len(self.jobs)))


@dataclass
class Job:
    """One run to be: its arm's levels, its seed, and what they make of the configuration."""

    levels: dict[str, Any]
    seed: int
    overrides: list[str]
    asked: Config  # as it was composed
    planned_run: PlannedRun
    resolved: ResolvedRun | None = None  # once its data is prepared

    @property
    def settings(self) -> Config:
        """Its configuration, as far as it is known before its data is."""
        return self.planned_run.settings

    @property
    def key(self) -> Key:
        """What identifies the run, once its data is prepared."""
        assert self.resolved is not None
        return self.resolved.key

    @property
    def planned(self) -> Plan:
        """The network, layer by layer."""
        return self.planned_run.outline.plan

    @property
    def arm(self) -> str:
        """The levels in a word."""
        return arm(self.levels)

    @property
    def definite(self) -> Config:
        """Its configuration with what was left open settled, once its data is prepared."""
        assert self.resolved is not None
        return self.resolved.definite

    def is_that(self, was: JobRecord) -> bool:
        """Whether this is the job `was` of a sweep.json; with accept=code, whatever code it was for."""
        accepted = self.settings.accept == "code" and was.work == self.key.under("")
        return accepted or was.key == self.key.digest


def looks_of(multirun: Multirun) -> tuple[int, ...]:
    """At how many seeds a sequential design is looked at; none of a fixed list of seeds."""
    if not multirun.auto:
        return ()
    with contextlib.suppress(InputError):  # of which `expand` tells, by the arm
        return looks_until(config.from_hydra(multirun.compose(multirun.jobs[0])).experiment.max_seeds)
    return ()


def levels_of(multirun: Multirun) -> list[dict[str, Any]]:
    """The levels of each job's arm, in order."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse = functools.cache(OverridesParser.create().parse_override)
    factors = [key for key in multirun.swept if key != "seed"]
    found = []
    for overrides in multirun.jobs:
        values = {o.get_key_element(): o.value() for o in map(parse, overrides)}
        found.append({key: values[key] for key in factors})
    return found


def _configs(multirun: Multirun) -> Callable[[list[str]], Config]:
    """A job's overrides -> its configuration. Of an arm one seed's is composed, 15 ms or more, and serves the others.

    Raises InputError where it cannot be.
    """
    known: dict[tuple[str, ...], Config] = {}

    def of(overrides: list[str]) -> Config:
        seeds = [int(found[1]) for line in overrides if (found := SEED.fullmatch(line))]
        rest = tuple(line for line in overrides if not SEED.fullmatch(line))
        if rest in known and len(seeds) == 1:
            return replace(known[rest], seed=seeds[0])
        composed = multirun.compose(overrides)
        settings = config.from_hydra(composed)
        # A value may be said by the seed, as in ${seed}.
        if [settings.seed] == seeds and "${" not in str(OmegaConf.to_container(composed, resolve=False)):
            known[rest] = settings
        return settings

    return of


def expand(multirun: Multirun) -> tuple[list[str], list[Job]]:
    """The factors of a sweep and its jobs, each one composed, checked and planned.

    Raises InputError, naming the arm, where one of them cannot be.
    """
    factors = [key for key in multirun.swept if key != "seed"]
    outlines: dict[str, Outline] = {}
    compose = _configs(multirun)
    jobs = []
    for overrides, levels in zip(multirun.jobs, levels_of(multirun), strict=True):
        try:
            settings = compose(overrides)
            jobs.append(Job(levels, settings.seed, overrides, settings, plan_run(settings, outlines)))
        except InputError as error:
            raise InputError(f"arm {arm(levels)}: {error}" if levels else str(error)) from None
    seen: set[str] = set()
    for job in jobs:
        name = f"{job.arm}, seed={job.seed}".removeprefix(", ")
        if name in seen:
            raise InputError(f"{name}: is listed twice; the same run again says nothing new.")
        seen.add(name)
    return factors, jobs


def arms(jobs: Sequence[Job]) -> list[Job]:
    """One job for each arm, in order."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(json.dumps(job.levels, sort_keys=True, default=str), job)
    return list(first.values())


def sources_of(jobs: Sequence[Job]) -> list[tuple[SourceRun, Job]]:
    """The sources to be trained before the jobs that start from them, each with one of these jobs."""
    found: dict[str, tuple[SourceRun, Job]] = {}
    for job in jobs:
        if source := job.planned_run.first:
            found.setdefault(str(source.settings), (source, job))
    return list(found.values())


def check_sources(jobs: Sequence[Job]) -> None:
    """Raise InputError, naming the arm, where the weights that a job starts from cannot be had or do not fit."""
    for job in arms(jobs):
        if job.planned_run.source_run:  # not trained yet
            continue
        try:
            transfer.record(job.planned_run.outline, find_source(job.settings, None))
        except InputError as error:
            raise InputError(f"arm {job.arm}: {error}" if job.levels else str(error)) from None
