"""Which directory a single run is trained in: a new one, or where the same run was interrupted."""

import contextlib
import os
from pathlib import Path

from pipeline import key as keys
from pipeline import rundir, terminal
from pipeline.errors import InputError
from pipeline.run.resolve import ResolvedRun


def choose_directory(resolved: ResolvedRun, fresh: Path) -> Path:
    """`fresh`, or in its place the newest directory that this very run was interrupted in.

    Raises InputError where `fresh` was named by the user and holds another run, or one that failed.
    """
    settings = resolved.settings
    if os.path.lexists(fresh / "run.json") or rundir.get_status(fresh).status == "finished":
        _check(resolved, fresh)
        return fresh
    open_ = ("interrupted", "failed") if settings.retry else ("interrupted",)
    for run in sorted(fresh.parent.iterdir(), reverse=True) if settings.resume and not settings.dir else ():
        if run == fresh or not (run / "run.json").exists():
            continue
        rundir.left_behind(run)
        status = rundir.get_status(run).status
        if status not in (*open_, "finished", "damaged"):
            continue
        if damage := rundir.damage(run):
            if status != "finished":
                terminal.say(f"{run} is left out: {damage}")
            continue
        record = rundir.read_run(run)
        if keys.same(record, resolved.key, settings.accept):
            if status == "finished":  # a sweep would take it
                terminal.say(f"{run}: the same run, finished before; a single one is trained anew")
                return fresh
            fresh.rmdir()
            terminal.say(f"{run}: {status} before, goes on")
            return run
        if keys.same(record, resolved.key, "code"):
            other = f"by other code ({keys.other_modules(record)}); begins anew. {keys.ACCEPT}"
            terminal.say(f"{run}: {status} before, {other}")
            return fresh
    return fresh


def _check(resolved: ResolvedRun, run: Path) -> None:
    """Raise InputError unless the run in the directory that the user named is this one, and may go on."""
    settings = resolved.settings
    if not settings.resume:
        raise InputError(f"dir={run}: holds a run, and resume=false begins anew. Choose another.")
    rundir.left_behind(run)
    with contextlib.suppress(rundir.DamagedError):  # then nothing can be told of the run that was there
        record = rundir.read_run(run)
        if not keys.same(record, resolved.key, settings.accept):
            if keys.same(record, resolved.key, "code"):
                other = f"begun by other code ({keys.other_modules(record)}). {keys.ACCEPT}"
                raise InputError(f"dir={run}: holds this run, {other}.")
            raise InputError(f"dir={run}: holds another run. Choose another, or leave dir out for a new one.")
    if damage := rundir.damage(run, weights=settings.retry):
        if not settings.retry:
            raise InputError(f"dir={run}: {damage}")
        return
    status = rundir.get_status(run).status
    if status == "failed" and not settings.retry:
        raise InputError(f"dir={run}: the run there failed. Say retry=true to try it again.")
    terminal.say(f"{run}: {'finished before' if status == 'finished' else 'goes on'}")
