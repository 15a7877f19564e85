"""The first moments of a command, before what takes a second to import. Each command calls `begin` before all else.

Python's answer to SIGTERM is to die on the spot, with -15 in place of 75, which schedulers take for a failure. Nothing
has been written yet, so that a command may leave at once. `stopping.interruptible` takes over.

What torch, Lightning and MLflow leave when they are imported are half a million objects that are never garbage. Python
looks through them for some all the same: 0.7 s of 4.7 while they are imported, and 1.3 s more when the process ends.
"""

import atexit
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator

from pipeline.spinning import considerate

INTERRUPTED = 75

on_leave: list[Callable[[], object]] = []  # what a command that leaves on the spot does first


def begin() -> None:
    """Answer SIGTERM, SIGINT and SIGHUP in good order from here on; open what the caller closed of 0, 1 and 2.

    A file opened later would otherwise be number 1 or 2, and get what is printed; and what is printed to a stderr
    that is not there goes to standard output.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, _leave)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            found = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(found, True)  # by the programs that we start
            setattr(sys, name, os.fdopen(found, "w" if descriptor else "r"))
    # A table has ± and the user's own class names in it, which no terminal need know.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    atexit.register(gc.freeze)  # nothing is looked through when the process ends
    _settle_threads()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Garbage is looked for rarely within, and never again among what is there at the end: for imports of seconds.

    Not at all would save no more, and keep the 300,000 objects of theirs that are garbage at once.
    """
    before = gc.get_threshold()
    gc.set_threshold(50_000, 50, 1000)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*before)


def _settle_threads() -> None:
    """How OpenMP's threads wait, and that there are as many as a run asks for: read when torch is imported."""
    # Two runs of two threads on two cores have 2,400 images/s each of the notes' CNN, and as OpenMP comes 230.
    if not considerate():
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    # These take away threads that a run asks for: with one of two missing, oneDNN waits for it for ever in the backward
    # pass of a convolution, where no signal is heard.
    for name in ("OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_MAX_ACTIVE_LEVELS"):
        os.environ.pop(name, None)


def _leave(number: int, frame: object) -> None:
    try:
        os.write(2, b"Interrupted.\n")
        for last in on_leave:
            last()
    finally:
        os._exit(INTERRUPTED)
