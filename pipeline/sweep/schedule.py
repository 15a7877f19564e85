"""A sweep from its first run to its verdict."""

import contextlib
import dataclasses
import os
import re
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import config, data, environment, rundir, stopping, terminal, transfer
from pipeline.errors import InputError, machine_said, of_machine
from pipeline.evidence import conclude as evidence
from pipeline.evidence.document import Verdict
from pipeline.records import JobRecord, SweepRecord, Word
from pipeline.run.devices import check_devices
from pipeline.run.resolve import Splits, resolve
from pipeline.run.result import document
from pipeline.run.start import prepare_data
from pipeline.sweep import earlier, fairness, launchers, progress
from pipeline.sweep.design import Job, Multirun, arms, check_sources, expand, sources_of
from pipeline.sweep.directory import choose_directory, run_directories, state_before
from pipeline.sweep.engines import engine_of
from pipeline.sweep.stacks import share_out
from pipeline.sweep.workers import Task
from pipeline.tracking import live
from pipeline.tracking.state import read_run_id

BEFORE = {
    "finished": "finished before",
    "failed": "failed before; retry=true tries it again",
    "failed, open": "failed before, is tried again",
    "interrupted, open": "interrupted before, goes on",
    "running, open": "a process that the sweep before left behind is still at it",
    "damaged": "damaged before and left out; retry=true trains it again",
    "damaged, open": "damaged before, is trained again",
}


@dataclass(frozen=True)
class SweepResult:
    """What came of a sweep."""

    dir: Path
    document: dict[str, Any]
    status: Word  # finished | failed | interrupted
    output: str  # table | json
    verdict: Verdict | None  # None where the sweep was stopped


@dataclass(frozen=True)
class _Run:
    """A job, its directory, the key of the run that belongs there, what became of it before, and its stack."""

    job: Job
    dir: Path
    key: str
    before: str
    stack: str = ""  # the directory of the first of those that train at once with it; empty: it trains alone

    @property
    def name(self) -> str:
        return f"{self.job.arm},seed={self.job.seed}".lstrip(",")

    @property
    def is_open(self) -> bool:
        done = ("finished",) if self.job.settings.retry else ("finished", "failed", "damaged")
        return self.before not in done and not self.dir.is_symlink()


def run_sweep(multirun: Multirun) -> SweepResult:
    """All jobs of a multirun, checked before the first one starts; then the verdict.

    The same sweep again goes on in the same directory: finished runs are kept, interrupted ones taken up, failed
    ones tried again with retry=true, and what is new in it is run. Finished runs of other sweeps are taken.
    """
    factors, jobs = expand(multirun)
    _check(multirun, jobs)
    engine_of(multirun.launcher).warm_up()
    first = jobs[0].settings
    parent = Path(first.runs_dir) / first.experiment.name
    given = Path(first.dir) if first.dir else None
    if given and (given / "run.json").exists():
        raise InputError(f"dir={given}: holds a run, not a sweep. Choose another, or leave -m out to go on with it.")
    with rundir.claimed(given, parent) as fresh, contextlib.ExitStack() as held:
        sources = [source.settings for source, _ in sources_of(jobs)]
        prepared = prepare_data([*(job.settings for job in jobs), *sources])
        splits: dict[int, Splits] = {}  # by the set as it was opened, which jobs of one data section and seed share
        for job, one in zip(jobs, prepared, strict=False):
            job.resolved = resolve(job.planned_run, one, splits.get(id(one)))
            splits[id(one)] = job.resolved.splits
        path = choose_directory(first, factors, jobs, fresh, held)
        runs = _begin(multirun, path, factors, jobs)
        stopped = _train(multirun, path, runs)
        return _conclude(path, runs, stopped)


def _check(multirun: Multirun, jobs: Sequence[Job]) -> None:
    """Raise InputError where a run cannot be on this machine, or the launcher or the weights are not there."""
    if (hosts := max(job.settings.trainer.num_nodes for job in jobs)) > 1:
        raise InputError(
            f"trainer.num_nodes={hosts}: several hosts train one run at a time; leave -m out, or let a launcher "
            "give each run a host of its own (hydra/launcher=slurm)."
        )
    if not engine_of(multirun.launcher).elsewhere:
        for job in jobs:
            check_devices(job.settings.trainer)
    engine_of(multirun.launcher).check(multirun.launcher)
    check_sources(jobs)


def _begin(multirun: Multirun, path: Path, factors: list[str], jobs: list[Job]) -> list[_Run]:
    """Write sweep.json, take finished runs from elsewhere, and say what there is to do."""
    first = jobs[0].settings
    dirs = run_directories(path, jobs)
    taken = earlier.serve(path, jobs, dirs)
    keys = [earlier.key_there(directory, job) for directory, job in zip(dirs, jobs, strict=True)]
    runs = [_Run(j, d, k, state_before(d, k, weights=first.retry)) for j, d, k in zip(jobs, dirs, keys, strict=True)]
    runs = _stacked(runs, engine_of(multirun.launcher).places(multirun.launcher))
    warnings, accepted = fairness.warnings(factors, jobs), earlier.other_code(dirs)
    settings = config.to_dict(first)
    sets = {id(one.prepared): one for job in jobs if (one := job.resolved)}
    record = SweepRecord(
        experiment=settings["experiment"],
        factors=factors,
        jobs=[
            JobRecord(job.levels, job.seed, run.dir.name, run.key, job.overrides, job.key.under(""), run.stack)
            for job, run in zip(jobs, runs, strict=True)
        ],
        warnings=[*warnings, *accepted],
        accepted=accepted,
        doubts=data.apart([line for one in sets.values() for line in one.doubts]),
        started=time.time(),
        command=sys.argv[1:],
        git_sha=environment.git_sha(),
        uid=rundir.uid(path / "sweep.json"),
        tracking=settings["tracking"],
    )
    rundir.write_record(path / "sweep.json", record)
    rundir.set_status(path, "running", pid=os.getpid(), host=socket.gethostname(), started=time.time())
    live.begin_sweep(path, first.tracking, Path(first.runs_dir))
    counts = f"{len(arms(jobs))} arms x {len({job.seed for job in jobs})} seeds"
    terminal.say(f"{first.experiment.name}: {len(jobs)} runs: {counts}, in {path}")
    found = [job.resolved.seen for job in jobs if job.resolved]
    seen = transfer.seen_sentences([one.counts.get("test", 0) for one in found], [one.untold for one in found])
    terminal.mind([*warnings, *accepted, *seen])
    terminal.mind(earlier.reasons(path, [run.job for run in runs if run.before == "new"]))
    for run in runs:
        if run.before != "new":
            said = BEFORE[f"{run.before}, open" if run.is_open else run.before]
            terminal.say(f"{run.name}: {said}{f', in {taken[run.dir]}' if run.dir in taken else ''}")
    return runs


def _stacked(runs: list[_Run], places: int) -> list[_Run]:
    """The same with the stacks of those that are open."""
    todo = [run for run in runs if run.is_open and run.job.definite.trainer.stack != "off"]
    leads = {one.dir: stack[0].dir.name for stack in share_out(todo, lambda run: run.job, places) for one in stack}
    return [dataclasses.replace(run, stack=leads.get(run.dir, "")) for run in runs]


def _train(multirun: Multirun, path: Path, runs: list[_Run]) -> bool:
    """Have the launcher train the open runs, and the sources that they start from; whether it was stopped."""
    todo = [run for run in runs if run.is_open]
    try:
        _train_sources(multirun, path, [run.job for run in todo])
        with progress.shown([(run.name, run.dir) for run in todo]):
            if todo:
                launchers.launch(multirun.launcher, _tasks(todo, path), path)
    except (stopping.Stopped, KeyboardInterrupt):
        return True
    except launchers.LauncherError as error:
        terminal.say(f"the launcher gave up ({error})")
        return True
    except BaseException:
        _end(path, runs, "interrupted")
        raise
    return False


def _train_sources(multirun: Multirun, path: Path, jobs: list[Job]) -> None:
    """By the launcher, as jobs: a job whose directory is its source's trains that instead of itself."""
    todo = {source.dir: (source, job) for source, job in sources_of(jobs)}
    todo = {place: pair for place, pair in todo.items() if state_before(place) != "finished" or pair[0].damage}
    if not todo:
        return
    plural = "" if len(todo) == 1 else "s"
    terminal.say(f"first {len(todo)} source{plural} to start from, in {next(iter(todo)).parent}")
    with progress.shown([(source.label, place) for place, (source, _) in todo.items()]):
        launchers.launch(multirun.launcher, [_task(job, place, path) for place, (_, job) in todo.items()], path)


def _tasks(runs: list[_Run], sweep: Path) -> list[Task]:
    """One for each run that trains alone, and one for each stack: that of its first.

    Stacks are few and long, so the longest go first: no core waits for another at the end.
    """
    first = [run for run in runs if run.stack in ("", run.dir.name)]
    first.sort(key=lambda run: -run.job.planned.macs * run.job.settings.trainer.max_epochs if run.stack else 0)
    mates = {run.dir: tuple(one.dir for one in runs if run.stack and one.stack == run.stack) for run in first}
    return [dataclasses.replace(_task(run.job, run.dir, sweep), mates=mates[run.dir]) for run in first]


def _task(job: Job, directory: Path, sweep: Path) -> Task:
    """What a launcher gets of a job, to be done in `directory`: on any machine in the precision of this one."""
    definite = job.definite.trainer
    trainer = dataclasses.replace(job.asked.trainer, precision=definite.precision)
    places = [f"dir={quoted(directory)}", f"hydra.sweep.dir={quoted(sweep.absolute())}"]
    return Task(
        dataclasses.replace(job.asked, dir=str(directory), trainer=trainer),
        [*job.overrides, f"trainer.precision={definite.precision}", *places],
        definite,
    )


def _conclude(path: Path, runs: list[_Run], stopped: bool) -> SweepResult:
    """The verdict, unless the sweep was stopped: whoever asked may not wait long."""
    for run in runs:
        rundir.left_behind(run.dir)  # by a process of the launcher that was killed
    outcomes = [document(run.dir, run.key) for run in runs]
    verdict = None
    if not stopped:
        try:
            verdict = evidence.conclude(path)
            live.attach(path, evidence.artifacts(path), evidence.headline(verdict))
        except Exception as error:
            if not (found := of_machine(error)):
                raise
            terminal.say(f"no verdict: {machine_said(found, path)}")
    kinds = {outcome["status"] for outcome in outcomes}
    status: Word
    if verdict is None:
        status = "interrupted"
    elif kinds & {"failed", "damaged"}:
        status = "failed"
    else:
        status = "interrupted" if kinds & {"interrupted", "missing", "running"} else "finished"
    _end(path, runs, status, shown="interrupted" if verdict is None else "ended")
    for run, outcome in zip(runs, outcomes, strict=True):  # runs that were taken from elsewhere are shown only now
        outcome["mlflow_run_id"] = read_run_id(run.dir)
    if verdict is None:
        terminal.say("stopped; the same command goes on from there")
    record = {
        "sweep": str(path),
        "mlflow_run_id": read_run_id(path),
        "runs": outcomes,
        "verdict": verdict and verdict.to_json(),
    }
    return SweepResult(path, record, status, runs[0].job.settings.output, verdict)


def _end(path: Path, runs: list[_Run], status: Word, shown: str = "interrupted") -> None:
    rundir.end(path, status, ended=time.time())
    live.end_sweep(path, runs[0].job.settings.tracking, shown)


def quoted(path: Path) -> str:
    """As a value on Hydra's command line, where ',' and '=' would have a meaning, and '${' in quotes as well.

    A backslash is one but before a quote or '${', where it takes another.
    """
    text = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", str(path))
    text = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)
    return f"'{text}'"
