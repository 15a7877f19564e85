"""What a run leaves on disk: the truth of it, and the only thing that commands share.

The files of a run directory are listed in `artifacts`, with what each one holds and what becomes of it.

A document whose bytes were changed is found out by the checksum in it. A run that cannot be read whole is `damage`d:
it is left out with its reason, and nothing is made of what can still be read.

A sweep directory holds sweep.json, status.json, tracking.json, lock and one run directory per job; `stop` asks the
processes that a launcher started for it to stop.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
import socket
import time
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import artifacts, folders, records, terminal
from pipeline.directories import find_directories
from pipeline.errors import NO_ROOM, InputError, machine_said, of_machine


class DamagedError(InputError):
    """A file is not there, or not as we write it."""


def write_json(path: Path, document: Any) -> None:
    """Replace `path` atomically and durably: a reader sees the old document or the new one, whole."""
    with folders.replacing(path) as file:
        file.write(json.dumps(document, indent=2, default=str, allow_nan=False).encode())


def write_record(path: Path, document: dict[str, Any]) -> None:
    """Replace `path` by a document that knows when a byte of it was changed. `read_json` looks, and gives it back."""
    plain = json.loads(json.dumps(document, default=str, allow_nan=False))
    write_json(path, {**plain, CHECKSUM: digest(plain)})


CHECKSUM = "checksum"


def read_json(path: Path) -> Any:
    """The document at `path`. Raises DamagedError where there is none, or it is not JSON or not as it was written."""
    try:
        found = json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise DamagedError(f"{path}: no such file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: cannot be read as JSON ({error}).") from None
    if isinstance(found, dict) and CHECKSUM in found and found.pop(CHECKSUM) != digest(found):
        raise DamagedError(f"{path}: is not as it was written; its checksum is another.")
    return found


def _finite(text: str) -> float:
    """A number that JSON has: neither NaN and Infinity nor 1e999."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def read_record(path: Path, shape: Any) -> dict[str, Any]:
    """The document at `path`, of that shape of `records`. Raises DamagedError where it is not."""
    found = read_json(path)
    if said := records.misfit(found, shape):
        raise DamagedError(f"{path}: is damaged, or was written by another version: {said}.")
    return found


def read_run(run: Path) -> dict[str, Any]:
    """run.json. Raises DamagedError where it is not whole."""
    return read_record(run / "run.json", records.RUN)


def read_sweep(sweep: Path) -> dict[str, Any]:
    """sweep.json. Raises DamagedError where it is not whole, or its runs lie elsewhere: it may be somebody else's."""
    found = read_record(sweep / "sweep.json", records.SWEEP)
    for job in found["jobs"]:
        if job["dir"] in ("", ".", "..") or Path(job["dir"]).name != job["dir"] or (sweep / job["dir"]).is_symlink():
            raise DamagedError(f"{sweep / 'sweep.json'}: is damaged: {job['dir']!r} is no folder of its own.")
    return found


def read_invariance(run: Path) -> dict[str, Any]:
    """invariance.json. Raises DamagedError where it is not whole."""
    return read_record(run / "invariance.json", records.INVARIANCE)


def write_predictions(run: Path, index: Any, label: Any, logits: Any) -> None:
    """predictions.npz, per test example: int [N], int [N], float [N, classes]."""
    import numpy as np

    with folders.replacing(run / "predictions.npz") as file:
        np.savez(file, index=index, label=label, logits=logits)


def read_predictions(run: Path) -> dict[str, Any]:
    """The arrays of predictions.npz by name. Raises DamagedError where they are not whole or do not fit each other."""
    import numpy as np

    path = run / "predictions.npz"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            found = {name: saved[name] for name in ("index", "label", "logits")}
        count, classes = found["logits"].shape
        fits = count > 0 and found["index"].shape == found["label"].shape == (count,)
        fits = fits and all(found[name].dtype.kind in "iu" for name in ("index", "label"))
        if not fits or not ((found["label"] >= 0) & (found["label"] < classes)).all():
            raise ValueError("its arrays do not fit each other")
    except FileNotFoundError:
        raise DamagedError(f"{path}: no such file.") from None
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds over bytes that are not theirs
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DamagedError(f"{path}: is damaged ({said}).") from None
    return found


def damage(run: Path, key: str | None = None) -> str | None:
    """What of the run cannot be read or does not belong there, and what mends it; None where it is whole.

    `key` is the one that the run has to have. A run that never began is whole.
    """
    try:
        status = get_status(run)
        if status["status"] == "damaged":
            raise DamagedError(status["error"])
        finished = status["status"] == "finished"
        if not finished and not os.path.lexists(run / "run.json"):
            return None
        asked = read_run(run)
        if key and asked["key"] != key:
            raise DamagedError(f"{run / 'run.json'}: is of another run than belongs there.")
        rows = list(metric_rows(run))
        if not finished:
            return None
        if said := records.misfit(status, records.FINISHED):
            raise DamagedError(f"{run / 'status.json'}: is damaged: {said}.")
        if status.get("key", asked["key"]) != asked["key"]:
            raise DamagedError(f"{run / 'status.json'}: is of another run.")
        if not rows or not (run / "metrics.jsonl").read_bytes().endswith(b"\n"):
            raise DamagedError(f"{run / 'metrics.jsonl'}: its end is missing.")
        check_sealed(run, "metrics.jsonl")
    except DamagedError as error:
        return f"{error} To train the run again: the same command with retry=true."
    try:
        if os.path.lexists(run / "predictions.npz"):  # no number was made of it; what is made of it later says it lacks
            made_of = (asked["dataset"]["counts"]["test"], len(asked["dataset"]["classes"]))
            if read_predictions(run)["logits"].shape != made_of:
                raise DamagedError(f"{run / 'predictions.npz'}: is of another data set than the run.")
            check_sealed(run, "predictions.npz")
        measured = asked["config"]["experiment"].get("invariance") or os.path.lexists(run / "invariance.json")
        if measured and read_invariance(run).get("key", asked["key"]) != asked["key"]:
            raise DamagedError(f"{run / 'invariance.json'}: is of another run.")
    except DamagedError as error:
        return f"{error} To have it written again: python -m pipeline.evaluate run={run}"
    return None


def seals(run: Path) -> dict[str, str]:
    """File -> digest of what a run ends with, for status.json: another run's file would be as whole as its own."""
    return {name: folders.sha256(run / name) for name in artifacts.sealed_names() if (run / name).exists()}


def check_sealed(run: Path, name: str) -> None:
    """Raise DamagedError where a file of a finished run is not the one that it ended with."""
    status = get_status(run)
    wanted = status.get("files", {}).get(name) if status["status"] == "finished" else None
    if wanted and (not (run / name).is_file() or folders.sha256(run / name) != wanted):
        raise DamagedError(f"{run / name}: is not what the run ended with.")


def clear(run: Path, key: str | None = None) -> None:
    """Take away what a damaged run left, so that it begins anew. Its MLflow run and uid stay, if `key` is its own."""
    with contextlib.suppress(DamagedError):
        if key and read_run(run)["key"] != key:
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


def digest(document: Any) -> str:
    """SHA-256 of a plain document, whatever the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def claimed(path: Path | None, parent: Path) -> Iterator[Path]:
    """Make the directory of a run or a sweep: `path`, or a new one under `parent` named by the time.

    No other process can have got the new one as well. Where the body raises InputError, what was made for it
    is removed again, so that bad input leaves nothing behind. Raises InputError where it cannot be made.
    """
    given = path is not None
    path = path or parent / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"
    missing = folders.missing(path)
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
    except InputError:
        folders.remove_empty(missing)
        raise


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
                who = (
                    f"process {status['pid']} on {status.get('host', 'this machine')}" if "pid" in status else "another"
                )
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


class BusyError(InputError):
    """Another process holds the directory."""


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


def start(path: Path, run: dict[str, Any]) -> None:
    """Make the run directory of a new run: `run` becomes run.json, the status is running."""
    (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    set_status(path, "running", **_attempt())
    write_record(path / "run.json", {"uid": uid(path / "run.json"), **run})


def resume(path: Path) -> None:
    """Take up a run that was left: the status is running again, a torn end of metrics.jsonl is cut off."""
    known = get_status(path)
    left = known.get("ended") or _modified(path / "heartbeat") or known.get("started", 0.0)
    spent = known.get("spent", 0.0) + max(0.0, left - known.get("started", left))
    kept = {"resumed": known.get("resumed", 0) + 1, "spent": spent}
    write_record(path / "status.json", {"status": "running", **_attempt(), **kept})
    (path / "error.txt").unlink(missing_ok=True)
    rows = path / "metrics.jsonl"
    if rows.exists() and not (text := rows.read_bytes()).endswith(b"\n"):
        os.truncate(rows, text.rfind(b"\n") + 1)


def _attempt() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": time.time()}


def _modified(path: Path) -> float | None:
    return path.stat().st_mtime if path.exists() else None


def left_behind(path: Path) -> bool:
    """Whether the run at `path` says running, and no process is: then its status is set to interrupted.

    Its lock is held meanwhile: another process could otherwise take it up between the look and the word.
    """
    if get_status(path)["status"] != "running":
        return False
    try:
        with locked(path, wait_s=0):
            if get_status(path)["status"] != "running":
                return False
            end(path, "interrupted", error="its process is gone")
            return True
    except BusyError:
        return False


def uid(file: Path) -> str:
    """What a run or a sweep is found by on MLflow: as its run.json or sweep.json says, or new where there is none."""
    with contextlib.suppress(InputError, AttributeError):
        if isinstance(known := read_json(file).get("uid"), str) and known:
            return known
    return secrets.token_hex(8)


def set_status(path: Path, status: str, **facts: Any) -> None:
    """Set the status and add `facts` to what status.json already says."""
    known = get_status(path)
    if known["status"] == "damaged":
        known = {}
    write_record(path / "status.json", {**known, "status": status, **facts})


def end(path: Path, status: str, **facts: Any) -> None:
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
        _unwritten[path.absolute()] = (_on_disk(path), {"status": status, **facts})
        terminal.say(f"{path}: {status}, and that cannot be written down: {machine_said(found, path)}")


_unwritten: dict[Path, tuple[dict[str, Any], dict[str, Any]]] = {}  # what stands there, what should


def fail(path: Path, error: Exception, status: str = "failed") -> None:
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


def get_status(path: Path) -> dict[str, Any]:
    """status.json; {"status": "missing"} for a run that never began, {"status": "damaged", "error": why}."""
    found = _on_disk(path)
    there, known = _unwritten.get(path.absolute(), (None, found))
    return known if there == found else found


def _on_disk(path: Path) -> dict[str, Any]:
    if not (path / "status.json").exists():
        return {"status": "missing"}
    try:
        return read_record(path / "status.json", records.STATUS)
    except DamagedError as error:
        return {"status": "damaged", "error": str(error)}


def append_metrics(path: Path, step: int, metrics: dict[str, float]) -> None:
    """Add one row to metrics.jsonl, unless it is there: what is trained again after a kill gives the same numbers.

    A row is one write, so a kill leaves whole rows (and at most one torn end).
    """
    if any(row["step"] == step and metrics.keys() <= row["metrics"].keys() for row in metric_rows(path)):
        return
    row = json.dumps({"step": step, "time_ms": int(time.time() * 1000), "metrics": metrics}).encode() + b"\n"
    file = path / "metrics.jsonl"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        try:
            while row := row[os.write(descriptor, row) :]:  # a full disk takes a part, and refuses the rest
                pass
        except OSError as error:
            os.ftruncate(descriptor, size)
            error.filename = str(file)
            raise
    finally:
        os.close(descriptor)


def beat(path: Path, step: int, steps: int) -> None:
    """Say how far a running run is. A hint for watchers: neither durable nor part of the record."""
    with contextlib.suppress(OSError):  # no reason to stop training
        (path / "heartbeat").write_text(f"{step}/{steps}")


def progress(path: Path) -> float:
    """How far a run is, from 0 to 1, by its last heartbeat."""
    try:
        step, steps = (path / "heartbeat").read_text().split("/")
        return int(step) / int(steps)
    except (OSError, ValueError, ZeroDivisionError):  # not there yet, or being written just now
        return 0.0


def metric_rows(path: Path, skip: int = 0) -> Iterator[dict[str, Any]]:
    """The rows of metrics.jsonl after the first `skip`; a torn last line is not a row yet.

    Raises DamagedError over a line that is no row.
    """
    file = path / "metrics.jsonl"
    if not file.exists():
        return
    try:
        with open(file, "rb") as lines:
            for number, line in enumerate(lines):
                if number >= skip and line.endswith(b"\n"):
                    yield _row(line, file, number)
    except OSError as error:
        raise DamagedError(f"{file}: cannot be read ({error.strerror}).") from None


def _row(line: bytes, file: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if said := records.misfit(row, records.ROW):
        raise DamagedError(f"{file}, line {number + 1}: is no row of metrics: {said}.")
    return row


def job_of(run: Path) -> dict[str, Any] | None:
    """The job of the sweep whose directory this run's lies in; None for a run by itself."""
    jobs = read_sweep(run.parent)["jobs"] if (run.parent / "sweep.json").exists() else []
    return next((job for job in jobs if job["dir"] == run.name), None)


def find_run(path: str) -> Path:
    """The run directory that a user named."""
    run = Path(path)
    if not (run / "run.json").exists():
        raise InputError(f"run={path}: not a run directory; it holds no run.json.")
    return run


def find_sweep(path: str, runs_dir: Path) -> Path:
    """The sweep directory that a user named; `latest` is the one begun last under `runs_dir`."""
    if path != "latest":
        sweep = Path(path)
        if not (sweep / "sweep.json").exists():
            raise InputError(f"sweep={path}: not a sweep directory; it holds no sweep.json. Or say sweep=latest.")
        read_sweep(sweep)
        return sweep
    begun = {}
    for sweep in find_directories(runs_dir):
        if not (sweep / "sweep.json").exists():
            continue
        try:
            begun[sweep] = read_sweep(sweep).get("started", 0)
        except InputError as error:
            terminal.say(f"left out: {error}")
    if not begun:
        raise InputError(f"sweep=latest: no sweep under runs_dir={runs_dir}. Run `python -m pipeline.train -m ...`.")
    return max(begun, key=lambda sweep: begun[sweep])
