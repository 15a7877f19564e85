"""A directory of a run or a sweep: made for one process, and held by one as long as it lives."""

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pipeline import artifacts, folders
from pipeline.errors import NO_ROOM, InputError, of_machine
from pipeline.rundir.status import get_status
from pipeline.stopping import Stopped


class BusyError(InputError):
    """Another process holds the directory."""


@contextlib.contextmanager
def claimed(path: Path | None, parent: Path) -> Iterator[Path]:
    """Make the directory of a run or a sweep: `path`, or a new one under `parent` named by the time.

    No other process can have got the new one as well. What was made for it is removed again where the body raises
    InputError, or is stopped, and has written nothing: bad input and Ctrl-C leave nothing behind. Raises InputError
    where it cannot be made.
    """
    given = path is not None
    path = path or parent / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"
    missing = folders.missing(path)
    if given:
        _check_ours(path)
    try:
        path.mkdir(parents=True, exist_ok=given)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable")
    except OSError as error:
        folders.remove_empty(missing)
        if error.errno in NO_ROOM:
            raise
        raise InputError(f"{path}: cannot be made a folder to write to ({error.strerror}).") from None
    try:
        yield path
    except (InputError, Stopped, KeyboardInterrupt):
        folders.remove_empty(missing)
        raise


def _check_ours(path: Path) -> None:
    """Raise InputError where files of somebody else's lie there that a run or a sweep would write over."""
    if any(os.path.lexists(path / name) for name in ("run.json", "sweep.json")):
        return
    if get_status(path).status not in ("missing", "damaged"):  # ours, which has lost the document
        return
    if theirs := next((name for name in artifacts.written_names() if os.path.lexists(path / name)), None):
        raise InputError(f"dir={path}: holds {theirs} of no run or sweep, which would be lost. Choose another folder.")


@contextlib.contextmanager
def locked(path: Path, wait_s: float = 5) -> Iterator[None]:
    """Hold the run or sweep at `path`, as long as this process lives at most: the kernel lets go of a killed one's.

    Raises BusyError where another process holds it, after `wait_s`: one that was killed just now may take that long.
    """
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if of_machine(error):
            raise
        raise InputError(f"{path / 'lock'}: cannot be opened ({error.strerror}). Move it away.") from None
    try:
        end = time.monotonic() + wait_s
        while not _taken(descriptor):
            if time.monotonic() > end:
                status = get_status(path)
                who = f"process {status.pid} on {status.host or 'this machine'}" if status.pid else "another"
                raise BusyError(f"{path}: {who} is at work in it.")
            time.sleep(0.05)
        _held.add(descriptor)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


_held: set[int] = set()


def _let_go() -> None:
    """In a forked process, such as a loader's worker: it shares its parent's locks, and would keep them alive."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def alive(path: Path) -> bool:
    """Whether a process holds the run or sweep at `path`."""
    try:
        descriptor = os.open(path / "lock", os.O_RDWR)
    except (FileNotFoundError, IsADirectoryError):
        return False
    try:
        return not _taken(descriptor)
    finally:
        os.close(descriptor)
