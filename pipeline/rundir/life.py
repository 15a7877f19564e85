"""The life of a run's directory: begun, taken up, found left behind, cleared."""

import contextlib
import dataclasses
import os
import secrets
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from pipeline import artifacts, folders
from pipeline.errors import InputError
from pipeline.records import RunRecord, Status
from pipeline.rundir.documents import DamagedError, read_json, read_record, write_record
from pipeline.rundir.holding import BusyError, locked
from pipeline.rundir.status import end, get_status, set_status


def start(path: Path, run: RunRecord, together: int = 1) -> None:
    """Make the run directory of a new run: `run` becomes run.json, the status is running.

    `together`: how many runs are trained at once with it, itself counted.
    """
    (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    set_status(path, "running", **_attempt(together), key=run.key)
    write_record(path / "run.json", dataclasses.replace(run, uid=uid(path / "run.json")))


def resume(path: Path, together: int = 1) -> None:
    """Take up a run that was left: the status is running again, a torn end of metrics.jsonl is cut off.

    So are files that were being written; not tracking.json, which is written by whoever sends the run to MLflow.
    """
    for folder in (path, path / "checkpoints"):
        folders.clear_torn(folder, but="tracking.json")
    known = get_status(path)
    left = known.ended or _modified(path / "heartbeat") or known.started or 0.0
    spent = known.spent + max(0.0, left - (known.trains or known.started or left)) / max(1, known.together)
    found = Status("running", **_attempt(together), resumed=known.resumed + 1, spent=spent, key=known.key)
    write_record(path / "status.json", found)
    (path / "error.txt").unlink(missing_ok=True)
    (path / "checkpoints").mkdir(exist_ok=True)
    rows = path / "metrics.jsonl"
    if rows.exists() and not (text := rows.read_bytes()).endswith(b"\n"):
        os.truncate(rows, text.rfind(b"\n") + 1)


def trains(path: Path) -> None:
    """Write down that the run begins to train now: from here on its seconds count."""
    known = get_status(path)
    if known.status == "running":
        write_record(path / "status.json", dataclasses.replace(known, trains=time.time()))


def _attempt(together: int) -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": time.time(), "together": together}


def _modified(path: Path) -> float | None:
    return path.stat().st_mtime if path.exists() else None


def left_behind(path: Path) -> bool:
    """Whether the run at `path` says running, and no process is: then its status is set to interrupted.

    Its lock is held meanwhile: another process could otherwise take it up between the look and the word.
    """
    if get_status(path).status != "running":
        return False
    try:
        with locked(path, wait_s=0):
            if get_status(path).status != "running":
                return False
            end(path, "interrupted", error="its process is gone")
            return True
    except BusyError:
        return False


def clear(run: Path, key: str | None = None) -> None:
    """Take away what a damaged run left, so that it begins anew. Its MLflow run and uid stay, if run.json is its own.

    `key` is the one that it has to have, where that is known.
    """
    with contextlib.suppress(DamagedError):
        if read_record(run / "run.json", RunRecord).key != (key or get_status(run).key):
            for name in ("run.json", "tracking.json"):
                _remove(run / name)
    for name in artifacts.cleared_names():
        _remove(run / name)
    if (run / "run.json").is_dir():
        _remove(run / "run.json")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def uid(file: Path) -> str:
    """What a run or a sweep is found by on MLflow: as its run.json or sweep.json says, or new where there is none."""
    with contextlib.suppress(InputError, AttributeError):
        if isinstance(known := read_json(file).get("uid"), str) and known:
            return known
    return secrets.token_hex(8)
