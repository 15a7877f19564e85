"""The first moments of a command, before what takes a second to import. Each command calls `begin` before all else.

Python's answer to SIGTERM is to die on the spot, with -15 in place of 75, which schedulers take for a failure. Nothing
has been written yet, so that a command may leave at once. `stopping.interruptible` takes over.
"""

import os
import signal
import sys

INTERRUPTED = 75


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


def _leave(number: int, frame: object) -> None:
    try:
        os.write(2, b"Interrupted.\n")
    finally:
        os._exit(INTERRUPTED)
