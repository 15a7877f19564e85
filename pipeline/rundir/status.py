"""status.json: what became of a run or a sweep, also where a full disk does not take it."""

import contextlib
import dataclasses
import time
import traceback
from pathlib import Path
from typing import Any

from pipeline import terminal
from pipeline.errors import machine_said, of_machine
from pipeline.records import Status, Word
from pipeline.rundir.documents import DamagedError, read_record, write_record


def set_status(path: Path, status: Word, **facts: Any) -> None:
    """Set the status and add `facts` to what status.json already says."""
    write_record(path / "status.json", _changed(get_status(path), status, facts))


def _changed(known: Status, status: Word, facts: dict[str, Any]) -> Status:
    return dataclasses.replace(Status(status) if known.status == "damaged" else known, status=status, **facts)


def end(path: Path, status: Word, **facts: Any) -> None:
    """Set how a run or a sweep ended, as far as the disk has room for it.

    Where it has none, this process remembers it; the next command finds status.json at running and nobody there, as
    after a kill. No bytes are kept in reserve: that does the same, and needs no care.
    """
    try:
        set_status(path, status, **facts)
    except OSError as error:
        if not (found := of_machine(error)) and path.exists():
            raise
        found = found or error  # there was not even room for its folder
        _unwritten[path.absolute()] = (there := _on_disk(path), _changed(there, status, facts))
        terminal.say(f"{path}: {status}, and that cannot be written down: {machine_said(found, path)}")


_unwritten: dict[Path, tuple[Status, Status]] = {}  # what stands there, what should


def fail(path: Path, error: Exception, status: Word = "failed") -> None:
    """Record that the run ended with `error`: the reason in status.json, the traceback in error.txt.

    `status` is interrupted where the run itself is good and can go on once the cause is mended.
    """
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    if found := of_machine(error):
        status, reason = "interrupted", machine_said(found, path)
    with contextlib.suppress(OSError):  # the status says it too
        path.mkdir(parents=True, exist_ok=True)
        (path / "error.txt").write_text("".join(traceback.format_exception(error)))
    end(path, status, ended=time.time(), error=reason)


def get_status(path: Path) -> Status:
    """status.json; `missing` for a run that never began, and `damaged` with the reason as its error."""
    found = _on_disk(path)
    there, known = _unwritten.get(path.absolute(), (None, found))
    return known if there == found else found


def _on_disk(path: Path) -> Status:
    if not (path / "status.json").exists():
        return Status("missing")
    try:
        found = read_record(path / "status.json", Status)
        if found.status in ("missing", "damaged"):
            raise DamagedError(f"{path / 'status.json'}: is damaged: nobody writes {found.status} there.")
        return found
    except DamagedError as error:
        return Status("damaged", error=str(error))
