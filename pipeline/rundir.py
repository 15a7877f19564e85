"""What a run leaves on disk: the truth of it, and the only thing that commands share.

    run.json        what was asked: configuration, seed, digests, environment (written once)
    status.json     running | finished | failed | interrupted, results, error (replaced atomically)
    metrics.jsonl   one row per epoch, appended as training goes
    checkpoints/    last.ckpt, the one before it, and a link to the best
    predictions.npz per test example: index, label, logits
    curves.png      learning curves and confusions
    invariance.json accuracy against rotation, scale and shift, where it was asked for; invariance.png shows it
    heartbeat       step/steps of a running run, a hint for progress lines
    tracking.json   which MLflow run shows it, and what that has by now
    diverged.json   the batch whose loss was not finite, where one was
    lock            held by the process that trains the run, as long as it lives

A sweep directory holds sweep.json, status.json, tracking.json, lock and one run directory per job; `stop` asks the
processes that a launcher started for it to stop.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import socket
import tempfile
import time
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import folders
from pipeline.errors import InputError

# What a run is asked to do, but what cannot change its numbers; left out of its key.
VOLATILE = ("tracking", "experiment", "runs_dir", "dir", "output", "preview", "resume", "retry")
# The data digest stands for the files, whichever list named them and whatever was put aside.
VOLATILE_DATA = ("root", "manifest", "columns", "max_pixels", "prepared_dir", "num_workers")
# Threads change the last bits and are dealt out by the launcher; a run keeps those that it began with.
VOLATILE_TRAINER = (
    "threads",
    "checkpoint_every_s",
    "max_restarts",
    "rdzv_endpoint",
    "sync_timeout_s",
    "loader_timeout_s",
)
# So does the digest of the source's weights for the place that they came from, or its key for what it is trained on.
VOLATILE_TRANSFER = ("source", "weights", "pretrain")


def write_json(path: Path, document: Any) -> None:
    """Replace `path` atomically and durably: a reader sees the old document or the new one, whole."""
    file = tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115
    try:
        with file:
            json.dump(document, file, indent=2, default=str, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """The document at `path`. Raises InputError where there is none or it is not JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}).") from None


def digest(document: Any) -> str:
    """SHA-256 of a plain document, whatever the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest() -> str:
    """SHA-256 of the package's own source: other code, other run."""
    root = Path(__file__).parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def key(config: dict[str, Any], data_digest: str, code: str, source: Any = None) -> str:
    """What identifies a run: the hash of all that decides its result. `source` says what transfer begins from."""
    deciding = {k: v for k, v in config.items() if k not in VOLATILE}
    deciding["data"] = {k: v for k, v in config["data"].items() if k not in VOLATILE_DATA}
    deciding["trainer"] = {k: v for k, v in config["trainer"].items() if k not in VOLATILE_TRAINER}
    deciding["transfer"] = {k: v for k, v in config["transfer"].items() if k not in VOLATILE_TRANSFER}
    deciding["invariance"] = config["experiment"]["invariance"]  # measured at the end of the run
    return digest({"config": deciding, "data": data_digest, "code": code, "source": source})


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
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
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
    except FileNotFoundError:
        return False
    try:
        return not _taken(descriptor)
    finally:
        os.close(descriptor)


def start(path: Path, run: dict[str, Any]) -> None:
    """Make the run directory of a new run: `run` becomes run.json, the status is running."""
    (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    set_status(path, "running", **_attempt())
    write_json(path / "run.json", {"uid": uid(path / "run.json"), **run})


def resume(path: Path) -> None:
    """Take up a run that was left: the status is running again, a torn end of metrics.jsonl is cut off."""
    known = get_status(path)
    left = known.get("ended") or _modified(path / "heartbeat") or known.get("started", 0.0)
    spent = known.get("spent", 0.0) + max(0.0, left - known.get("started", left))
    kept = {"resumed": known.get("resumed", 0) + 1, "spent": spent}
    write_json(path / "status.json", {"status": "running", **_attempt(), **kept})
    (path / "error.txt").unlink(missing_ok=True)
    rows = path / "metrics.jsonl"
    if rows.exists() and not (text := rows.read_bytes()).endswith(b"\n"):
        os.truncate(rows, text.rfind(b"\n") + 1)


def _attempt() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": time.time()}


def _modified(path: Path) -> float | None:
    return path.stat().st_mtime if path.exists() else None


def left_behind(path: Path) -> bool:
    """Whether the run at `path` says running, and no process is: then its status is set to interrupted."""
    if get_status(path)["status"] != "running" or alive(path):
        return False
    set_status(path, "interrupted", error="its process is gone")
    return True


def uid(file: Path) -> str:
    """What a run or a sweep is found by on MLflow: as its run.json or sweep.json says, or new where there is none."""
    known = read_json(file) if file.exists() else {}
    return known.get("uid") or secrets.token_hex(8)


def set_status(path: Path, status: str, **facts: Any) -> None:
    """Set the status and add `facts` to what status.json already says."""
    known = read_json(path / "status.json") if (path / "status.json").exists() else {}
    write_json(path / "status.json", {**known, "status": status, **facts})


def fail(path: Path, error: Exception, status: str = "failed") -> None:
    """Record that the run ended with `error`: the reason in status.json, the traceback in error.txt.

    `status` is interrupted where the run itself is good and can go on once the cause is mended.
    """
    path.mkdir(parents=True, exist_ok=True)
    (path / "error.txt").write_text("".join(traceback.format_exception(error)))
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    set_status(path, status, ended=time.time(), error=reason)


def get_status(path: Path) -> dict[str, Any]:
    """status.json, or {"status": "missing"} for a run that never began."""
    return read_json(path / "status.json") if (path / "status.json").exists() else {"status": "missing"}


def append_metrics(path: Path, step: int, metrics: dict[str, float]) -> None:
    """Add one row to metrics.jsonl, unless it is there: what is trained again after a kill gives the same numbers.

    A row is one write, so a kill leaves whole rows (and at most one torn end).
    """
    if any(row["step"] == step and metrics.keys() <= row["metrics"].keys() for row in metric_rows(path)):
        return
    row = json.dumps({"step": step, "time_ms": int(time.time() * 1000), "metrics": metrics})
    with open(path / "metrics.jsonl", "a") as file:
        file.write(row + "\n")


def beat(path: Path, step: int, steps: int) -> None:
    """Say how far a running run is. A hint for watchers: neither durable nor part of the record."""
    (path / "heartbeat").write_text(f"{step}/{steps}")


def progress(path: Path) -> float:
    """How far a run is, from 0 to 1, by its last heartbeat."""
    try:
        step, steps = (path / "heartbeat").read_text().split("/")
        return int(step) / int(steps)
    except (OSError, ValueError, ZeroDivisionError):  # not there yet, or being written just now
        return 0.0


def metric_rows(path: Path, skip: int = 0) -> Iterator[dict[str, Any]]:
    """The rows of metrics.jsonl after the first `skip`; a torn last line is not a row yet."""
    file = path / "metrics.jsonl"
    if not file.exists():
        return
    with open(file) as lines:
        for number, line in enumerate(lines):
            if number >= skip and line.endswith("\n"):
                yield json.loads(line)


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
        if missing := {"experiment", "factors", "jobs"} - read_json(sweep / "sweep.json").keys():
            raise InputError(f"{sweep / 'sweep.json'}: was written by another version; it lacks {min(missing)}.")
        return sweep
    sweeps = list(runs_dir.glob("**/sweep.json"))
    if not sweeps:
        raise InputError(f"sweep=latest: no sweep under runs_dir={runs_dir}. Run `python -m pipeline.train -m ...`.")
    return max(sweeps, key=lambda file: read_json(file).get("started", 0)).parent
