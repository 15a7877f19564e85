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
from pipeline.config.tracking import Tracking
from pipeline.config.trainer import TUNED
from pipeline.errors import InputError, machine_said, of_machine
from pipeline.evidence import conclude as evidence
from pipeline.evidence.document import Verdict
from pipeline.evidence.run import arm_key
from pipeline.evidence.sentence import ranges
from pipeline.records import JobRecord, SweepRecord, Word
from pipeline.run.devices import check_devices
from pipeline.run.resolve import Splits, resolve
from pipeline.run.result import document
from pipeline.run.start import prepare_data
from pipeline.sweep import earlier, fairness, launchers, progress, tuning
from pipeline.sweep.design import Job, Multirun, arms, check_sources, expand, levels_of, looks_of, sources_of
from pipeline.sweep.directory import cells_before, choose_directory, jobs_before, run_directories, state_before
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
    tracking: Tracking


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

    With seeds=auto the jobs are those of the first look; as long as a verdict leaves something open, the arms that this
    is about are run at more seeds, up to the next look.
    """
    engine_of(multirun.launcher).warm_up()
    looks = looks_of(multirun)
    factors, jobs = expand(_beginning(multirun, looks))
    if any(job.settings.optimizer.lr == TUNED for job in jobs):
        multirun = tuning.tuned(multirun, run_sweep)
        factors, jobs = expand(_beginning(multirun, looks))
    _check(multirun, jobs)
    first = jobs[0].settings
    parent = Path(first.runs_dir) / first.experiment.name
    given = Path(first.dir) if first.dir else None
    if given and (given / "run.json").exists():
        raise InputError(f"dir={given}: holds a run, not a sweep. Choose another, or leave -m out to go on with it.")
    with rundir.claimed(given, parent) as fresh, contextlib.ExitStack() as held:
        splits: dict[int, Splits] = {}  # by the set as it was opened, which jobs of one data section and seed share
        _resolve(jobs, splits)
        path = choose_directory(first, factors, jobs, fresh, held, looks)
        if looks:
            begun = jobs_before(path)
            jobs = [job for job in jobs if (earlier.cell(job) in begun if begun else job.seed < looks[0])]
        before: list[Job] = []
        while True:
            runs = _begin(multirun, path, factors, jobs, looks, said=before)
            stopped = _train(multirun, path, runs)
            more = [] if stopped or not looks else _more(multirun, path, looks)
            if not more:
                return _conclude(path, runs, stopped)
            added = expand(multirun.of_cells(more))[1]
            _resolve(added, splits, under_way=True)
            before, jobs = jobs, jobs + added


def _beginning(multirun: Multirun, looks: tuple[int, ...]) -> Multirun:
    """With the seeds of the first look, and all that a sweep has which it may go on with."""
    if not looks:
        return multirun
    every = levels_of(multirun)
    arms = {arm_key(levels, levels): arm for arm, levels in enumerate(every)}
    first = config.from_hydra(multirun.compose(multirun.jobs[0]))
    known = {(seed, arm) for seed in range(looks[0]) for arm in range(len(arms))}
    for levels, seed in cells_before(first, list(every[0]), looks):
        if (key := arm_key(levels, every[0])) in arms and seed < looks[-1]:
            known.add((seed, arms[key]))
    return multirun.of_cells((arm, seed) for seed, arm in sorted(known))


def _resolve(jobs: list[Job], splits: dict[int, Splits], under_way: bool = False) -> None:
    """Prepare the data of jobs, and settle what was left open before that."""
    sources = [source.settings for source, _ in sources_of(jobs)]
    prepared = prepare_data([*(job.settings for job in jobs), *sources], under_way)
    for job, one in zip(jobs, prepared, strict=False):
        job.resolved = resolve(job.planned_run, one, splits.get(id(one)))
        splits[id(one)] = job.resolved.splits


def _more(multirun: Multirun, path: Path, looks: tuple[int, ...]) -> list[tuple[int, int]]:
    """What is to be run up to the next look: (arm, seed); nothing where all is settled, or there is no look to come."""
    record = rundir.read_sweep(path)
    found = evidence.judge(path)
    done = 1 + max(job.seed for job in record.jobs)
    following = next((look for look in looks if look > done), None)
    if found.rule.futile and following:
        terminal.say(f"look at {done} seeds: no number of seeds settles what is open, so it ends here")
    if found.rule.ended or following is None:
        return []
    settled = found.rule.contrasts - found.rule.open
    arms = levels_of(multirun)
    going_on = {arm_key(levels, levels) for levels in found.rule.open_arms}
    going = [arm for arm, levels in enumerate(arms) if arm_key(levels, levels) in going_on]
    terminal.say(
        f"look at {done} seeds: {settled} of {found.rule.contrasts} differences are settled; "
        f"{len(going)} of {len(arms)} arms go on to {following} seeds"
    )
    return [(arm, seed) for seed in range(done, following) for arm in going]


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


def _begin(
    multirun: Multirun, path: Path, factors: list[str], jobs: list[Job], looks: tuple[int, ...], said: Sequence[Job]
) -> list[_Run]:
    """Write sweep.json, take finished runs from elsewhere, and say what there is to do, but not what was `said`."""
    first = jobs[0].settings
    judged = [] if looks else _judged_before(path, jobs)
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
        doubts=[*data.apart([line for one in sets.values() for line in one.doubts]), *fairness.tested_apart(jobs)],
        started=time.time(),
        command=sys.argv[1:],
        git_sha=environment.git_sha(),
        uid=rundir.uid(path / "sweep.json"),
        tracking=settings["tracking"],
        judged=judged,
        looks=list(looks),
        tuned=list(multirun.tuned),
        tuned_in=multirun.tuned_in,
    )
    planned = rundir.read_sweep(path).design if (path / "sweep.json").exists() else ""
    record = dataclasses.replace(record, design=planned or evidence.design_of(record))
    rundir.write_record(path / "sweep.json", record)
    rundir.set_status(path, "running", pid=os.getpid(), host=socket.gethostname(), started=time.time())
    live.begin_sweep(path, first.tracking, Path(first.runs_dir))
    if not said:
        counts = f"{len(arms(jobs))} arms x {len({job.seed for job in jobs})} seeds"
        terminal.say(f"{first.experiment.name}: {len(jobs)} runs: {counts}, in {path}")
    found = [job.resolved.seen for job in jobs if job.resolved]
    seen = transfer.seen_sentences([one.counts.get("test", 0) for one in found], [one.untold for one in found])
    terminal.mind([*warnings, *accepted, *seen] if not said else [])
    late = [job for job in jobs if judged and job.seed not in judged]
    if late and not said:
        terminal.mind(
            [
                f"{len(late)} runs are of seeds that were added after the verdict on {ranges(judged)} had been "
                "read, and will not be judged: ask anew with other seeds alone, or with seeds=auto."
            ]
        )
    terminal.mind(earlier.reasons(path, [run.job for run in runs if run.before == "new"]))
    known = set(map(id, said))
    for run in runs:
        if run.before != "new" and id(run.job) not in known:
            became = BEFORE[f"{run.before}, open" if run.is_open else run.before]
            terminal.say(f"{run.name}: {became}{f', in {taken[run.dir]}' if run.dir in taken else ''}")
    return runs


def _judged_before(path: Path, jobs: list[Job]) -> list[int]:
    """The seeds of the verdict that was read before others were added; none where this is the first to be read."""
    if not all((path / name).exists() for name in ("verdict.json", "sweep.json")):
        return []
    before = rundir.read_sweep(path)
    seeds = {job.seed for job in before.jobs}
    if before.judged or len(seeds) < 2 or seeds == {job.seed for job in jobs}:
        return before.judged
    return sorted(seeds)


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
            live.attach(path, **evidence.shown(path, verdict))
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
    else:
        (path / "stop").unlink(missing_ok=True)  # of an earlier stop, where there was nothing left to launch
    record = {
        "sweep": str(path),
        "mlflow_run_id": read_run_id(path),
        "runs": outcomes,
        "verdict": verdict and verdict.to_json(),
    }
    settings = runs[0].job.settings
    return SweepResult(path, record, status, settings.output, verdict, settings.tracking)


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
