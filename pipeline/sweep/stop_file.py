"""The file `stop` in a sweep's directory, as who trains a run of the sweep in a process of its own sees it.

Signals do not reach such processes, on this machine or others. So each looks for the file, and for the process that
started it, and asks itself to stop.
"""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import rundir, stopping

POLL_S = 0.5

# For the runs under way to save themselves, GRACE_S of them to end their batch; then the launcher is left, which
# kills those of joblib and of a Ray cluster of our own. Runs on other machines end by themselves.
PATIENCE_S = stopping.GRACE_S + 15

TIME_IS_UP = "its scheduler, whose time for it is up"

_at_work = threading.Event()  # within a job
_is_watched: Callable[[], bool] | None = None  # whether the command is there, where this process knows it


def in_worker(sweep: Path, train: Callable[[], None]) -> None:
    """Call `train` in a process that a launcher started, unless the sweep was asked to stop, or until it is.

    Stopped does not leave it: to joblib, a job that raises is a reason to kill the others.
    """
    if threading.current_thread() is threading.main_thread():
        _deaf()
    is_watched = _is_watched or functools.partial(
        is_parent, os.getppid()
    )  # before the look at its lock: one that is killed after it is missed below
    if (sweep / "stop").exists() or not rundir.alive(sweep):
        return
    pre_emption = signal.getsignal(signal.SIGUSR2)  # submitit's, for when the run has saved itself

    def pre_empted(_number: int, _frame: Any) -> None:
        if not stopping.asked():
            stopping.ask(TIME_IS_UP)

    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(sweep / "stop", is_watched, ended), daemon=True)
    try:
        with stopping.interruptible():
            if callable(pre_emption):
                signal.signal(signal.SIGUSR2, pre_empted)
            _at_work.set()
            watcher.start()
            try:
                train()
            finally:
                ended.set()
                watcher.join()
                _at_work.clear()
    except stopping.Stopped:
        pass
    finally:
        if callable(pre_emption):
            signal.signal(signal.SIGUSR2, pre_emption)


def _deaf() -> None:
    """To Ctrl-C and a closed terminal, also between two runs: the sweep's own process passes them on."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _watch(stop: Path, is_watched: Callable[[], bool], ended: threading.Event) -> None:
    """Ask this process to stop when the file `stop` appears, or when the one that started it is gone."""
    while not ended.wait(POLL_S):
        if stop.exists() or not is_watched():
            if not stopping.asked():  # Ctrl-C came here as well; a second signal would not wait for the checkpoint
                stopping.ask("its sweep, which was stopped" if stop.exists() else "the end of its sweep's process")
            return


def is_parent(number: int) -> bool:
    """Whether the process `number` has started this one, and is there."""
    return os.getppid() == number


def stay_with(is_there: Callable[[], bool]) -> None:
    """From now on, this process lives as long as `is_there` says that its command does.

    One of joblib's would wait 300 s for another job, and longer, with 850 MB and a hung `| tee`.
    """
    global _is_watched
    _is_watched = is_there
    _deaf()
    threading.Thread(target=_leave_with, args=(is_there,), daemon=True).start()


def _leave_with(is_there: Callable[[], bool]) -> None:
    while is_there():
        time.sleep(POLL_S)
    end = time.monotonic() + PATIENCE_S  # _watch has asked the run to save itself
    while _at_work.is_set() and time.monotonic() < end:
        time.sleep(0.1)
    os._exit(1)
