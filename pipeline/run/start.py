"""Begin a run, or go on with it, in its directory."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline import data, rundir, terminal, transfer
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.names import arm
from pipeline.records import RunRecord
from pipeline.run import launch
from pipeline.run.devices import check_devices
from pipeline.run.resolve import make_record, plan_run, resolve
from pipeline.run.source import SourceRun
from pipeline.tracking import connect, live, trust

WAIT_S = 1.0  # for another process that trains the source


def prepare_data(runs: list[Config], under_way: bool = False) -> list[data.Prepared]:
    """Prepare the data of all runs, once and before they could race for it, and reach the tracking they share.

    A server is asked first, which leaves nothing here; a database is made last, when all else was found good. What
    earlier runs missed is sent first, unless these belong to a sweep that is `under_way`.
    """
    tracking, experiment = runs[0].tracking, runs[0].experiment.name
    trust.check_named(tracking)
    reached = tracking.remote and connect.check(tracking, experiment)
    names = [str((one.data, one.seed)) for one in runs]
    prepared = {name: data.prepare(one.data, one.seed) for name, one in dict(zip(names, runs, strict=True)).items()}
    if not tracking.remote:
        reached = connect.check(tracking, experiment)
    if reached and not under_way:
        live.send_missed(Path(runs[0].runs_dir), tracking)
    return [prepared[name] for name in names]


def describe(settings: Config, arm: str) -> RunRecord:
    """What run.json says of a new run on this machine, found out from its configuration alone."""
    check_devices(settings.trainer)  # a launcher's machine may be another than that of the command
    resolved = resolve(plan_run(settings, advise=False), data.prepare(settings.data, settings.seed))
    return make_record(resolved, arm)


def train_run(run: Path, settings: Config, describe: Callable[[str], RunRecord], key: str | None = None) -> None:
    """Train in the run directory, from the start or from where it was left, and show it on MLflow.

    `describe`: what run.json says of it in an arm, where it is new; one that goes on needs nothing but its directory.
    `key`: of the run that belongs there, where no sweep says it.
    """
    with _begun(run, settings, describe, key) as ours:
        if ours:
            launch.train(run)


def train_stack(runs: Sequence[tuple[Path, Config]]) -> None:
    """The same for runs that are trained at once, each with its settings. What keeps one from it stands in its status.

    One that another process is at is left to that one.
    """
    with contextlib.ExitStack() as held:
        ours = []
        for run, settings in runs:
            try:
                begun = _begun(run, settings, functools.partial(describe, settings), together=len(runs))
                if held.enter_context(begun):
                    ours.append(run)
            except rundir.BusyError as error:
                terminal.say(error)
            except Exception as error:
                rundir.fail(run, error)
        if ours:
            launch.train(*ours)


@contextlib.contextmanager
def _begun(
    run: Path, settings: Config, describe: Callable[[str], RunRecord], key: str | None = None, together: int = 1
) -> Iterator[bool]:
    """Hold a run's directory, its run.json written, and show it on MLflow. False where there is nothing to train."""
    if run.is_symlink():
        raise InputError(f"{run}: is a link, and a run lies in its own folder.")
    run.mkdir(parents=True, exist_ok=True)
    with launch.leading(run, settings.trainer) as leads:
        if not leads:  # another of its hosts does
            launch.follow(run)
            yield False
            return
        job = rundir.job_of(run)
        key = job.key if job else key
        damage = rundir.damage(run, key, weights=settings.retry)
        if damage and not settings.retry:
            raise InputError(damage)
        if not damage and rundir.get_status(run).status == "finished":  # by another process, a moment ago
            yield False
            return
        if damage:
            terminal.say(f"{run}: begins anew. {damage}")
            rundir.clear(run, key)
        if (run / "run.json").exists() and not damage:
            rundir.resume(run, together)
        else:
            record = describe(arm(job.levels) if job else "")
            rundir.start(run, record, together)
            if advice := record.transfer.get("advice"):
                rundir.append_metrics(run, 0, transfer.numbers(advice))
                terminal.say("\n  ".join(transfer.sentences(advice)))
        with live.show_run(run, settings.tracking):
            yield True


def train_source(source: SourceRun) -> None:
    """Train a source, unless it is trained already; where another process is at it, wait for that one.

    One that failed is left so: the runs that start from it say why they cannot. `retry` tries it again.
    """
    path, settings = source.dir, source.settings
    path.mkdir(parents=True, exist_ok=True)
    if (damage := source.damage) and not settings.retry:  # the runs that start from it say so
        return
    key = None if settings.accept else source.key.digest
    if damage:
        terminal.say(f"{path}: begins anew. {damage}")
        rundir.clear(path, key)
    failed = ("failed",) if not settings.retry else ()
    waits = False
    while rundir.get_status(path).status not in ("finished", *failed):
        try:
            train_run(path, settings, functools.partial(describe, settings), key)
            return
        except rundir.BusyError as error:
            if not waits:
                terminal.say(f"{error} Waiting for it.")
            waits = True
            time.sleep(WAIT_S)
        except Exception as error:
            rundir.fail(path, error)
            return
