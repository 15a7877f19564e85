"""Between runs: what launchers (our own workers; Hydra's for joblib, submitit, Ray) leave open, the same for each.

They start jobs in other processes, here or on other machines. Signals do not reach those, each engine has its own
way to cancel, and most of them kill without notice. So stopping goes through a file that all see, like everything
else between our processes: `stop` in the sweep's directory. Whoever trains a run of the sweep looks for it, and
then asks itself to stop.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import rundir, stopping, terminal
from pipeline.sweep.engines import ENGINES, engine_of
from pipeline.sweep.stop_file import PATIENCE_S, POLL_S
from pipeline.sweep.workers import Task


class LauncherError(RuntimeError):
    """The launcher gave up, as when a process of it was killed."""


def launch(launcher: Any, tasks: Sequence[Task], sweep: Path) -> None:
    """Have all `tasks` done, and wait for them.

    Raises Stopped where a signal asked for it, after the runs under way have saved themselves, within PATIENCE_S.
    Raises LauncherError where the launcher gave up; its other runs are as they are.
    """
    engine = engine_of(launcher)
    (sweep / "stop").unlink(missing_ok=True)
    if engine is ENGINES["basic"]:
        engine.launch(launcher, tasks, sweep)
        return
    runs = [run for task in tasks for run in task.runs]
    # Ray prints there what its daemons say, until it is shut down; standard output is the result document's alone.
    with contextlib.redirect_stdout(sys.stderr):
        engine.begin(launcher, sweep)
        threading.Thread(target=_import_ahead, daemon=True).start()
        try:
            with _passed_on(sweep, runs):
                engine.launch(launcher, tasks, sweep)
        except Exception as error:
            (sweep / "stop").touch()  # for runs that a dead worker's brothers, or other machines, still train
            _wait_for(runs)
            reason = " ".join(str(error).split())[:300]
            raise LauncherError(f"{type(error).__name__}: {reason}") from error
        finally:
            engine.end(sweep)


def _import_ahead() -> None:
    """What the verdict needs, a second of it, while this process has nothing else to do."""
    for name in (
        "scipy.special",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg",
    ):
        importlib.import_module(name)


@contextlib.contextmanager
def _passed_on(sweep: Path, runs: Sequence[Path]) -> Iterator[None]:
    """Within, a signal asks all runs of the sweep to stop; Stopped is raised when they have, or at PATIENCE_S.

    The launcher is left waiting until then: interrupted, joblib kills its workers on the spot.
    """
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():  # the second signal: no patience left
            stopping.interrupt(number, frame)
            return
        asked.set()
        stopping.hung_up(number)
        (sweep / "stop").touch()
        threading.Thread(target=hurry, daemon=True).start()

    def hurry() -> None:
        words = f"stopping: up to {PATIENCE_S:g} s for the runs under way to save themselves"
        late = threading.Timer(2, terminal.say, [words])
        late.daemon = True
        late.start()
        _wait_for(runs)
        late.cancel()
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGALRM)

    def leave(number: int, frame: Any) -> None:
        if not ended.is_set():
            stopping.interrupt(number, frame)

    ended = threading.Event()
    handlers = {**dict.fromkeys(stopping.asking(), ask), signal.SIGALRM: leave}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        if stopping.asked():  # while the sweep was planned, and what was raised then was swallowed on its way
            raise stopping.Stopped(stopping.by())
        yield
    finally:
        ended.set()
        for number, old in before.items():
            signal.signal(number, old)
    if asked.is_set():
        raise stopping.Stopped("a signal")


def _wait_for(runs: Sequence[Path]) -> None:
    """Until none of `runs` is trained any more, for PATIENCE_S at most."""
    began, quiet = time.monotonic(), 0
    # Two looks, since a run may be between its look at the file and its first status.
    while quiet < 2 and time.monotonic() - began < PATIENCE_S:
        time.sleep(POLL_S)
        busy = any(rundir.get_status(run).status == "running" and rundir.alive(run) for run in runs)
        quiet = 0 if busy else quiet + 1
