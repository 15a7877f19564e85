"""A job of a sweep, whoever does it: its run is trained, or the source of such runs."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline import data, rundir, terminal
from pipeline.config import Config
from pipeline.run.source import SourceRun, source_run
from pipeline.run.start import describe, train_run, train_source, train_stack
from pipeline.sweep import stop_file


def source_in(settings: Config) -> SourceRun | None:
    """The source of runs of a sweep, where `settings.dir` is its directory and not a run's."""
    source, path = source_run(settings), Path(settings.dir or "")
    return source if source and path.parent.name == "sources" and path == source.dir else None


def stack_of(run: Path, settings: Config, sweep: Path) -> list[tuple[Path, Config]]:
    """The runs of a sweep that are trained at once with the one at `run`, that one first; none where it is alone.

    They differ by their seeds. A launcher is given the first, and which are with it stands in sweep.json.
    """
    if settings.trainer.stack == "off":
        return []
    jobs = [job for job in rundir.read_sweep(sweep).jobs if job.stack == run.name]
    folder = run.parent
    return [(folder / one.dir, replace(settings, seed=one.seed, dir=str(folder / one.dir))) for one in jobs]


def do(settings: Config, sweep: Path, here: bool) -> None:
    """Train what lies in `settings.dir`, in the sweep's own process (`here`) or in one that a launcher started."""
    if source := source_in(settings):
        _as_job(sweep, functools.partial(train_source, source), here)
        return
    run = Path(settings.dir or "")
    if mates := stack_of(run, settings, sweep):
        _as_job(sweep, functools.partial(train_stack, mates), here)
        return

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
