"""run.json and sweep.json: read, and found by the names that users give."""

from pathlib import Path

from pipeline import terminal
from pipeline.directories import find_directories
from pipeline.errors import InputError
from pipeline.records import JobRecord, RunRecord, SweepRecord
from pipeline.rundir.documents import DamagedError, read_record
from pipeline.rundir.status import get_status


def read_run(run: Path) -> RunRecord:
    """run.json. Raises DamagedError where it is not whole, or is another run's than status.json."""
    found = read_record(run / "run.json", RunRecord)
    if get_status(run).key not in (None, found.key):
        raise DamagedError(f"{run / 'run.json'}: is of another run than status.json.")
    return found


def read_sweep(sweep: Path) -> SweepRecord:
    """sweep.json. Raises DamagedError where it is not whole, or its runs lie elsewhere: it may be somebody else's."""
    found = read_record(sweep / "sweep.json", SweepRecord)
    for job in found.jobs:
        if job.dir in ("", ".", "..") or Path(job.dir).name != job.dir:
            raise DamagedError(f"{sweep / 'sweep.json'}: is damaged: {job.dir!r} is no folder of its own.")
    return found


def job_of(run: Path) -> JobRecord | None:
    """The job of the sweep whose directory this run's lies in; None for a run by itself."""
    jobs = read_sweep(run.parent).jobs if (run.parent / "sweep.json").exists() else []
    return next((job for job in jobs if job.dir == run.name), None)


def find_run(path: str, key: str = "run") -> Path:
    """The run directory that a user named, by that key."""
    run = Path(path)
    if not (run / "run.json").exists():
        raise InputError(f"{key}={path}: not a run directory; it holds no run.json.")
    return run


def find_sweep(path: str, runs_dir: Path) -> Path:
    """The sweep directory that a user named; `latest` is the one begun last under `runs_dir`."""
    if path != "latest":
        sweep = Path(path)
        if not (sweep / "sweep.json").exists():
            raise InputError(f"sweep={path}: not a sweep directory; it holds no sweep.json. Or say sweep=latest.")
        read_sweep(sweep)
        return sweep
    begun = {}
    for sweep in find_directories(runs_dir):
        if not (sweep / "sweep.json").exists():
            continue
        try:
            begun[sweep] = read_sweep(sweep).started
        except InputError as error:
            terminal.say(f"left out: {error}")
    if not begun:
        raise InputError(f"sweep=latest: no sweep under runs_dir={runs_dir}. Run `python -m pipeline.train -m ...`.")
    return max(begun, key=lambda sweep: begun[sweep])
