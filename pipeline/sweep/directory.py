"""The directory of a sweep: a new one, or that of the sweep that it goes on with; and those of its runs in it."""

import contextlib
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

from pipeline import config, rundir, terminal
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.names import shortened
from pipeline.records import JobRecord
from pipeline.sweep import earlier
from pipeline.sweep.design import Job


def choose_directory(
    settings: Config,
    factors: list[str],
    jobs: list[Job],
    fresh: Path,
    held: contextlib.ExitStack,
    looks: tuple[int, ...] = (),
) -> Path:
    """The directory of the sweep, its lock held: `fresh`, or in its place that of the sweep it continues.

    One that asked for the same factors, and for no run but those of `jobs`: of several the one that asked for most of
    them, so that what was asked before is that again whatever part of it was asked since, and the newest of these.
    Raises InputError where `fresh` was named by the user and holds another sweep.
    """
    if (fresh / "sweep.json").exists():
        rundir.read_sweep(fresh)
        if not settings.resume:
            raise InputError(f"dir={fresh}: holds a sweep, and resume=false begins anew. Choose another.")
        if not continues(fresh, settings, factors, jobs, looks):
            why = _what_changed(fresh, settings, jobs)
            raise InputError(f"dir={fresh}: holds another sweep{why}. Choose another, or leave dir out for a new one.")
        held.enter_context(rundir.locked(fresh))
        return fresh
    older = sorted(fresh.parent.glob("*/sweep.json"), reverse=True) if settings.resume and not settings.dir else []
    found = [file.parent for file in older if continues(file.parent, settings, factors, jobs, looks)]
    for path in sorted(found, key=lambda path: len(rundir.read_sweep(path).jobs), reverse=True):
        with contextlib.suppress(rundir.BusyError):  # somebody runs it at this moment: then ours is another one
            held.enter_context(rundir.locked(path))
            fresh.rmdir()
            return path
    held.enter_context(rundir.locked(fresh))
    return fresh


def _question(experiment: dict[str, Any]) -> dict[str, str]:
    """By its field what is asked; what an earlier version did not know to ask is as it is by itself."""
    whole = {**dataclasses.asdict(config.Experiment()), **experiment}
    return {name: json.dumps(value, sort_keys=True, default=str) for name, value in whole.items()}


def _what_changed(path: Path, settings: Config, jobs: list[Job]) -> str:
    """Why the sweep at `path` is another, where it asked for the same but for the question, data, source or code."""
    before, asked = rundir.read_sweep(path), _question(config.to_dict(settings)["experiment"])
    was_asked = _question(before.experiment)
    for name in asked:
        if asked[name] != was_asked[name]:
            return f": its experiment.{name} is {before.experiment.get(name)}"
    known = {earlier.cell(job_): job_ for job_ in jobs}
    for was in before.jobs:
        job_ = known.get(earlier.cell(was))
        with contextlib.suppress(rundir.DamagedError):
            if job_ and (why := earlier.reason(rundir.read_run(path / was.dir), job_, same_command=True)):
                return f": {why}"
    return ""


def cells_before(settings: Config, factors: list[str], looks: tuple[int, ...]) -> list[tuple[dict[str, Any], int]]:
    """Levels and seed of all that any sweep has which may be gone on with, of a sequential design.

    Which of them is, is known once the data is prepared: see `choose_directory`.
    """
    parent = Path(settings.runs_dir) / settings.experiment.name
    files = [Path(settings.dir) / "sweep.json"] if settings.dir else parent.glob("*/sweep.json")
    found = []
    for file in files if settings.resume else ():
        with contextlib.suppress(InputError):
            before = rundir.read_sweep(file.parent)
            if before.factors == factors and tuple(before.looks) == looks:
                found += [(job.levels, job.seed) for job in before.jobs]
    return found


def jobs_before(path: Path) -> dict[str, JobRecord]:
    """Those of the sweep at `path`, by `earlier.cell`; none where it has not begun."""
    return {earlier.cell(was): was for was in rundir.read_sweep(path).jobs} if (path / "sweep.json").exists() else {}


def continues(path: Path, settings: Config, factors: list[str], jobs: list[Job], looks: tuple[int, ...] = ()) -> bool:
    """Whether `jobs` are those of the sweep at `path`, each with the same key, and maybe more."""
    try:
        before = rundir.read_sweep(path)
    except InputError as error:
        terminal.say(f"left out: {error}")
        return False
    known = {earlier.cell(job_): job_ for job_ in jobs}
    if tuple(before.looks) != looks:
        return False
    if before.factors != factors or _question(before.experiment) != _question(config.to_dict(settings)["experiment"]):
        return False
    for was in before.jobs:
        job_ = known.get(earlier.cell(was))
        if job_ is None or not job_.is_that(was):
            return False
    return before.tracking.get("uri") == settings.tracking.uri


def run_directories(path: Path, jobs: list[Job]) -> list[Path]:
    """Each job's directory: the one it had before, or the next number and its name."""
    known = jobs_before(path)
    numbers = itertools.count(len(known))
    directories = []
    for job_ in jobs:
        was = known.get(earlier.cell(job_))
        kept = was is not None and job_.is_that(was)
        directories.append(path / (was.dir if was and kept else f"{next(numbers):03d}_{_folder(job_)}"))
    return directories


def _folder(job: Job) -> str:
    """A job's name, fit for a folder on any system (255 bytes), and to be typed after `run=` without quotes."""
    room = 100 if job.arm.isascii() else 50
    name = f"{shortened(job.arm, room)},seed={job.seed}".lstrip(",").replace("=", "-").replace(",", "_")
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def state_before(run: Path, key: str | None = None, weights: bool = False) -> str:
    """new, finished, failed, interrupted or damaged: what became of a run before, of that key where one is given.

    `weights`: whether those are looked at, see `rundir.damage`.
    """
    rundir.left_behind(run)
    if rundir.damage(run, key, weights):
        return "damaged"
    return rundir.get_status(run).status if (run / "run.json").exists() else "new"
