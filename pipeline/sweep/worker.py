"""A job of a sweep, whoever does it: its run is trained, or the source of such runs."""

import functools
from collections.abc import Callable
from pathlib import Path

from pipeline import data, rundir, terminal
from pipeline.config import Config
from pipeline.run.source import SourceRun, source_run
from pipeline.run.start import describe, train_run, train_source
from pipeline.sweep import stop_file


def source_in(settings: Config) -> SourceRun | None:
    """The source of runs of a sweep, where `settings.dir` is its directory and not a run's."""
    source, path = source_run(settings), Path(settings.dir or "")
    return source if source and path.parent.name == "sources" and path == source.dir else None


def do(settings: Config, sweep: Path, here: bool) -> None:
    """Train what lies in `settings.dir`, in the sweep's own process (`here`) or in one that a launcher started."""
    if source := source_in(settings):
        _as_job(sweep, functools.partial(train_source, source), here)
        return
    run = Path(settings.dir or "")

    def work() -> None:
        source = source_run(settings)
        if source and settings.transfer.how.loads:  # it is there already, unless the code was changed since
            train_source(source)
        train_run(run, settings, functools.partial(describe, settings))

    try:
        _as_job(run.parent, work, here)
    except rundir.BusyError as error:  # a launcher's process that outlived its sweep
        terminal.say(error)
    except Exception as error:  # the sweep goes on, and reads the outcome from the run directory
        rundir.fail(run, error)


def _as_job(sweep: Path, work: Callable[[], None], here: bool) -> None:
    if here:
        work()
    else:
        data.trust_command()
        stop_file.in_worker(sweep, work)
