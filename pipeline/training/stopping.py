"""Stopping in good order: SIGTERM and Ctrl-C ask, training answers at the next batch.

Python's answer to SIGTERM is to die on the spot, and Lightning's, under DDP, is a collective call inside a signal
handler, which hangs where the other processes are elsewhere. Here a signal raises Stopped, except while the optimizer
works: there it sets a flag that all processes of the run look at together.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

# A batch, or a validation, that takes longer is given up: training goes on from the last checkpoint. Schedulers
# kill after 30 s and more.
GRACE_S = 20

# Kept until the command ends: an exception that is raised wherever the signal finds us may be swallowed there, by
# a destructor or a callback from C. Then the next batch, or the next run, notices.
_asked = False
_depth = 0


class Stopped(BaseException):
    """Somebody asked us to stop. Not KeyboardInterrupt, which Lightning turns into exit code 1."""


def asked() -> bool:
    """Whether a signal asked this process to stop."""
    return _asked


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within, SIGTERM and SIGINT raise Stopped at once. The outermost one begins with nothing asked."""
    global _asked, _depth
    if _depth == 0:
        _asked = False
    _depth += 1
    try:
        with handled(_interrupt):
            yield
    finally:
        _depth -= 1


@contextlib.contextmanager
def cooperative() -> Iterator[None]:
    """Within, the first signal only sets what `asked` says. The second one, or GRACE_S, raises Stopped."""
    if _asked:
        raise Stopped("a signal before")
    with handled(_ask):
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.alarm(0)


@contextlib.contextmanager
def handled(handler: Any) -> Iterator[None]:
    """Within, `handler` answers SIGTERM and SIGINT; an alarm raises Stopped."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers nowhere else
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _interrupt)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _interrupt(number: int, _frame: Any) -> None:
    global _asked
    _asked = True
    raise Stopped(signal.Signals(number).name)


def _ask(number: int, frame: Any) -> None:
    global _asked
    if _asked:
        _interrupt(number, frame)
    _asked = True
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
