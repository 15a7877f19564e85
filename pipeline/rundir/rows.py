"""metrics.jsonl, a row per epoch, and the heartbeat: what a run says while it is under way."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline import records
from pipeline.records import Row
from pipeline.rundir.documents import CHECKSUM, DamagedError, digest


def append_metrics(path: Path, step: int, metrics: dict[str, float]) -> None:
    """Add one row to metrics.jsonl, unless it is there: what is trained again after a kill gives the same numbers.

    A row is one write, so a kill leaves whole rows (and at most one torn end).
    """
    if any(row.step == step and metrics.keys() <= row.metrics.keys() for row in metric_rows(path)):
        return
    said = {"step": step, "time_ms": int(time.time() * 1000), "metrics": metrics}
    row = json.dumps({**said, CHECKSUM: digest(said)}).encode() + b"\n"
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


def metric_rows(path: Path, skip: int = 0) -> Iterator[Row]:
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


def _row(line: bytes, file: Path, number: int) -> Row:
    try:
        found = json.loads(line)
        if isinstance(found, dict) and CHECKSUM in found and found.pop(CHECKSUM) != digest(found):
            raise ValueError("its checksum is another")
        return records.parse(Row, found)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{file}, line {number + 1}: is no row of metrics: {error}.") from None
