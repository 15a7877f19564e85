"""What a launcher starts for a job of a sweep: its run, or the source of such runs."""

import functools
from collections.abc import Callable
from pathlib import Path

from pipeline import data, rundir, terminal
from pipeline.config import Config
from pipeline.run.source import SourceRun
from pipeline.run.start import describe, train_run, train_source
from pipeline.sweep import stop_file


def train_job(settings: Config, source: SourceRun | None, run: Path, here: bool) -> None:
    """A run of a sweep, in the sweep's own process (`here`) or in one that a launcher started."""

    def work() -> None:
        if source and settings.transfer.how.loads:  # it is there already, unless the code was changed since
            train_source(source)
        train_run(run, settings, functools.partial(describe, settings))

    try:
        _as_job(run.parent, work, here)
    except rundir.BusyError as error:  # a launcher's process that outlived its sweep
        terminal.say(error)
    except Exception as error:  # the sweep goes on, and reads the outcome from the run directory
        rundir.fail(run, error)


def train_source_job(source: SourceRun, sweep: Path, here: bool) -> None:
    """The source of runs of a sweep, likewise."""
    _as_job(sweep, lambda: train_source(source), here)


def _as_job(sweep: Path, work: Callable[[], None], here: bool) -> None:
    if here:
        work()
    else:
        data.trust_command()
        stop_file.in_worker(sweep, work)
