"""Work that was done before: found by its key and taken, or told why it is trained again.

A finished run serves any sweep under the same runs_dir that asks for it. The run's directory is copied into the
sweep's, its big files linked, so that either can be deleted without the other.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline import artifacts, config, key, rundir
from pipeline.config import Config
from pipeline.directories import find_directories
from pipeline.errors import InputError
from pipeline.records import JobRecord, RunRecord, SweepRecord
from pipeline.sweep.design import Job

UNREADABLE = (InputError, OSError, KeyError, TypeError, AttributeError)  # of a directory that is not what it seems


def serve(sweep: Path, jobs: Sequence[Job], places: Sequence[Path]) -> dict[Path, Path]:
    """Take finished runs of other sweeps, and single ones, that are what `jobs` ask for into their `places`.

    Returns place -> the directory that it was copied from.
    """
    settings = jobs[0].settings if jobs else None
    if settings is None or not settings.resume:
        return {}
    open_ = {place: job for place, job in zip(places, jobs, strict=True) if not (place / "run.json").exists()}
    by_key = {job.key.digest: place for place, job in open_.items()}
    taken: dict[Path, Path] = {}
    for record, run in _finished(Path(settings.runs_dir), sweep) if open_ else ():
        place = by_key.get(record.key)
        if place is None and settings.accept:
            place = next((p for p, job in open_.items() if key.same(record, job.key, settings.accept)), None)
        if place and not rundir.damage(run):
            with contextlib.suppress(OSError):  # it is trained then
                _copy(run, place, record, open_[place])
                taken[place] = run
                by_key.pop(open_.pop(place).key.digest, None)  # arms that are the same have one key
        if not open_:
            break
    return taken


def key_there(run: Path, job: Job) -> str:
    """The key of the run in the directory of `job`: its own, or with accept=code that of the run that was there."""
    if job.settings.accept:
        with contextlib.suppress(rundir.DamagedError):
            record = rundir.read_run(run)
            if key.same(record, job.key, job.settings.accept):
                return record.key
    return job.key.digest


def _finished(runs_dir: Path, own: Path) -> Iterator[tuple[RunRecord, Path]]:
    """(run.json, directory) of every finished run under `runs_dir`, but those of the sweep `own`; newest first."""
    for path in find_directories(runs_dir, newest_first=True, but=own):
        if record := _record(path):
            yield record, path


def _record(run: Path) -> RunRecord | None:
    """run.json of a finished run; None of any other, or of what cannot be read."""
    with contextlib.suppress(*UNREADABLE):
        if rundir.get_status(run).status == "finished":
            return rundir.read_run(run)
    return None


def _copy(run: Path, place: Path, record: RunRecord, job: Job) -> None:
    """The run's directory at `place`, as if it had been trained there; whole, or not there."""
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    settings = config.to_dict(job.settings)
    # What does not decide is this sweep's: under which name it is shown, and where.
    shown = {f.name: settings[f.name] for f in dataclasses.fields(Config) if not f.metadata.get("decides", True)}
    shown["experiment"] = settings["experiment"]
    own = dataclasses.replace(
        record,
        config=record.config | shown,
        uid=rundir.uid(place / "run.json"),
        arm=job.arm,
        taken_from=str(run),
    )
    try:
        left = shutil.ignore_patterns(*artifacts.kept_names(), ".*")
        shutil.copytree(run, beside, symlinks=True, copy_function=_link, ignore=left)
        rundir.write_record(beside / "run.json", own)
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            place.rmdir()
        os.replace(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _link(source: str, target: str) -> str:
    if artifacts.is_linked(source):
        try:
            os.link(source, target)
            return target
        except OSError:  # another file system, or one without links
            pass
    return shutil.copy2(source, target)


def reasons(sweep: Path, jobs: Sequence[Job]) -> list[str]:
    """Why runs are trained that had finished before, as far as no override asks for another one; a line each."""
    if not jobs:
        return []
    runs_dir = Path(jobs[0].settings.runs_dir)
    wanted = {cell(job): job for job in jobs}
    told: Counter[tuple[str, str]] = Counter()
    for document, path in _sweeps(runs_dir / jobs[0].settings.experiment.name, sweep):
        same = _said(document.command) == _said(sys.argv[1:])
        for before in document.jobs:
            with contextlib.suppress(*UNREADABLE):
                run = path / before.dir
                record = _record(run) if (place := cell(before)) in wanted else None
                if record and (why := reason(record, wanted[place], same_command=same)):
                    told[why, str(path)] += 1
                    del wanted[place]
    return [
        f"{n} run{'s' * (n > 1)} that finished before, in {path}, {'are' if n > 1 else 'is'} trained again: {why}"
        for (why, path), n in told.items()
    ]


def _said(command: Sequence[str]) -> list[str]:
    """What a command line says of its runs; seeds are in their cells, and how it goes on changes none."""
    free = ("seed=", "accept=", "retry=", "resume=", "output=", "dir=", "runs_dir=", "hydra", "tracking")
    return sorted(word for word in command if not word.startswith(free))


def cell(job: Job | JobRecord) -> str:
    """Its place in a design, levels and seed: the same for a job that is asked for and for one that was written."""
    return json.dumps([job.levels, job.seed], sort_keys=True, default=str)


def _sweeps(folder: Path, own: Path) -> Iterator[tuple[SweepRecord, Path]]:
    """(sweep.json, directory) of the sweeps in `folder` but `own`, the newest first."""
    for file in sorted(folder.glob("*/sweep.json"), reverse=True):
        with contextlib.suppress(*UNREADABLE):
            if file.parent.resolve() != own.resolve():
                yield rundir.read_sweep(file.parent), file.parent


def reason(record: RunRecord, job: Job, same_command: bool) -> str:
    """Why the finished run of this run.json does not serve `job`; "" where it does, or is meant to be another."""
    wanted = job.key
    parts = key.changed(record, wanted)
    if not parts or ("config" in parts and not same_command):
        return ""
    words = {"data": "the data has changed", "source": "the network that they begin with has changed"}
    said = [words[part] for part in parts if part in words]
    if "config" in parts:
        said.append(f"the configuration has changed ({_differences(record, job.definite)})")
    if "code" in parts:
        said.append(f"code that computes numbers has changed ({key.other_modules(record)})")
    return "; ".join(said) + (f". {key.ACCEPT}" if parts == ["code"] else "")


def _differences(record: RunRecord, settings: Config) -> str:
    then, now = config.flat(record.config), config.flat(config.to_dict(settings))
    free = {one.name for one in dataclasses.fields(Config) if not one.metadata.get("decides", True)} | {"experiment"}
    names = [name for name in now if then.get(name) != now[name] and name.split(".")[0] not in free]
    return key.listed([f"{name}: {then.get(name)} -> {now[name]}" for name in names])


def other_code(runs: Sequence[Path]) -> list[str]:
    """What a reviewer has to know where a sweep holds runs that other code trained."""
    told: Counter[str] = Counter()
    for run in runs:
        with contextlib.suppress(*UNREADABLE):
            record = rundir.read_run(run)
            if record.code_digest != key.code_digest():
                told[key.other_modules(record)] += 1
    return [f"{n} of {len(runs)} runs were trained by other code (accept=code): {names}" for names, n in told.items()]
