"""What a user did wrong, in one clear message. Our own bugs are `assert`s, never this.

And what the machine did: a full disk is nobody's bug, and what it ended goes on once there is room.
"""

import difflib
import errno
import os
import sqlite3
from collections.abc import Iterable

SQLITE = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What ends a command without being its fault.
MACHINE = NO_ROOM | {errno.EIO, errno.EROFS, errno.ENOMEM, errno.ESTALE}
LONGEST_S = 1_000_000


class InputError(ValueError):
    """Bad input. The message names the field, what was given and what is allowed; commands exit with 2.

    `words` are those among what is allowed that can be named one by one. Help and completion ask for them, and for
    what the message says after `must`: see options.py.
    """

    def __init__(self, message: object, words: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.words = tuple(words)


def of_machine(error: BaseException | None) -> OSError | None:
    """The machine's error that `error` is or came of; None where there is none.

    torch.save turns what the disk says into a RuntimeError, databases into errors of their own: the cause stands in
    `__cause__` or `__context__`, at any depth.
    """
    todo, seen = [error], set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno in MACHINE:
            return one
        if isinstance(one, MemoryError) or (isinstance(one, ImportError) and "failed to map segment" in str(one)):
            return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        if (code := SQLITE.get(getattr(one, "sqlite_errorcode", 0) & 0xFF)) is not None:
            return OSError(code, os.strerror(code))
        todo += [one.__cause__, None if one.__suppress_context__ else one.__context__]
    return None


def machine_said(found: OSError, place: object) -> str:
    """In a line what `of_machine` found, at the file that it names, or at `place`."""
    where = found.filename or place
    if found.errno in NO_ROOM:
        return f"{where}: the disk is full, or has no room for this file ({os.strerror(found.errno)})."
    if found.errno == errno.ENOMEM:
        return "There is not enough memory, or this process may not have as much."
    return f"{where}: the disk or the machine failed ({os.strerror(found.errno or 0)})."


def nearest(name: str, allowed: Iterable[str], prefix: str = "") -> str:
    """` Did you mean '<prefix>x'?` for the allowed name most like `name`, or nothing where none is like it.

    Of those that are like it, one that it begins with, or that begins with it: test/acc for test/accuracy.
    """
    close = difflib.get_close_matches(name := str(name), list(allowed), cutoff=0.6)
    close.sort(key=lambda one: not (name.startswith(one) or one.startswith(name)))
    return f" Did you mean '{prefix}{close[0]}'?" if close else ""


def one_of(field: str, value: object, allowed: Iterable[str]) -> None:
    """Raise InputError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        said = f"{field}={value}: must be one of {', '.join(allowed)}.{nearest(str(value), allowed)}"
        raise InputError(said, allowed)


def at_least(field: str, value: float, low: float) -> None:
    """Raise InputError unless `value >= low`."""
    if not value >= low:
        raise InputError(f"{field}={value}: must be at least {low}.")


def within(field: str, value: float, low: float, high: float) -> None:
    """Raise InputError unless `low <= value <= high`."""
    if not low <= value <= high:
        raise InputError(f"{field}={value}: must lie between {low} and {high}.")


def seconds(field: str, value: float) -> None:
    """Raise InputError unless `value` is a time that can be waited for: poll() overflows at 25 days."""
    if not value > 0:
        raise InputError(f"{field}={value}: must be greater than 0.")
    if not value <= LONGEST_S:
        raise InputError(f"{field}={value}: must be a finite number, at most {LONGEST_S:,} (11 days).")
