"""Stopping in good order: SIGTERM and Ctrl-C ask, training answers at the next batch.

Python's answer to SIGTERM, or to a closed terminal's SIGHUP, is to die on the spot, and Lightning's, under DDP, is a
collective call inside a signal handler, which hangs where the other processes are elsewhere. Here a signal raises
Stopped, except while the optimizer works: there it sets a flag that all processes of the run look at together; and
except within an import.
"""

import contextlib
import ctypes
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

# A batch, or a validation, that takes longer is given up: training goes on from the last checkpoint. Schedulers
# kill after 30 s and more.
GRACE_S = 20

# Kept until the command ends: an exception that is raised wherever the signal finds us may be swallowed there, by
# a destructor or a callback from C. Then the next batch, or the next run, notices.
_asked = False
_by = ""  # the signal that asked first
_who = ""  # whoever sends the next one from within
_since = 0.0
_depth = 0

AGAIN_S = 0.05  # for an import to be over


class Stopped(BaseException):
    """Somebody asked us to stop. Not KeyboardInterrupt, which Lightning turns into exit code 1."""


def asked() -> bool:
    """Whether a signal asked this process to stop."""
    return _asked


def by() -> str:
    """Who asked this process to stop: a signal's name, or what `ask` was told; another one's signal where none did."""
    return _by or "a signal to another of its processes"


def ask(who: str) -> None:
    """Ask this process to stop, from another thread of it: as SIGTERM does, in the name of `who`."""
    global _who
    _who = who
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within, SIGTERM, SIGINT and SIGHUP raise Stopped at once. The outermost one begins with nothing asked."""
    global _asked, _by, _depth
    if _depth == 0:
        _asked, _by = False, ""
    _depth += 1
    try:
        with handled(interrupt):
            try:
                yield
            finally:
                if _depth == 1 and _asked:
                    _no_alarm()
    finally:
        _depth -= 1


@contextlib.contextmanager
def cooperative() -> Iterator[None]:
    """Within, the first signal only sets what `asked` says. The second one, or GRACE_S, raises Stopped."""
    if _asked:
        raise Stopped(_by)
    with handled(_ask):
        try:
            yield
        finally:
            _no_alarm()


@contextlib.contextmanager
def handled(handler: Any) -> Iterator[None]:
    """Within, `handler` answers what `asking` names; an alarm raises Stopped."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers nowhere else
        yield
        return
    before = {number: signal.signal(number, handler) for number in asking()}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def asking() -> tuple[signal.Signals, ...]:
    """The signals that ask a process to stop: not SIGHUP, where `nohup` made it one that is ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *(() if ignored else (signal.SIGHUP,)))


def hung_up(number: int) -> None:
    """After SIGHUP the terminal is gone: what is still said goes nowhere, instead of failing the one who says it."""
    if number == signal.SIGHUP:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            with contextlib.suppress(OSError):
                if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                    os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _no_alarm() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.alarm(0)


def interrupt(number: int, frame: FrameType | None) -> None:
    """A handler that raises Stopped, within an import as soon as that is over.

    Raised there, it can leave Python's import lock held: the next thread that imports something waits for ever.
    """
    _note(number)
    if _importing(frame) and time.monotonic() - _since < GRACE_S:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        return
    raise Stopped(_by)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _note(number: int) -> None:
    global _asked, _by, _since, _who
    hung_up(number)
    if not _asked:
        _asked, _by, _since = True, _who or signal.Signals(number).name, time.monotonic()
        _who = ""


def _ask(number: int, frame: FrameType | None) -> None:
    if _asked:
        interrupt(number, frame)
        return
    _note(number)
    signal.alarm(GRACE_S)


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which started it, is gone.

    A process of a run whose agent was killed would otherwise train on, beside the one that takes up the run.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before we asked
        os._exit(1)
