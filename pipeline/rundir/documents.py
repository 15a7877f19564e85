"""JSON documents on disk: replaced as a whole, and found out where a byte of one was changed."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, TypeVar

from pipeline import folders, records
from pipeline.errors import InputError

T = TypeVar("T")

CHECKSUM = "checksum"


class DamagedError(InputError):
    """A file is not there, or not as we write it."""


def write_json(path: Path, document: Any) -> None:
    """Replace `path` atomically and durably: a reader sees the old document or the new one, whole."""
    with folders.replacing(path) as file:
        file.write(json.dumps(document, indent=2, default=str, allow_nan=False).encode())


def write_checked(path: Path, document: dict[str, Any]) -> None:
    """Replace `path` by a document that knows when a byte of it was changed. `read_json` looks, and gives it back."""
    plain = json.loads(json.dumps(document, default=str, allow_nan=False))
    write_json(path, {**plain, CHECKSUM: digest(plain)})


def write_record(path: Path, record: Any) -> None:
    """Replace `path` by the checked document of a record."""
    write_checked(path, records.to_json(record))


def read_json(path: Path) -> Any:
    """The document at `path`. Raises DamagedError where there is none, or it is not JSON or not as it was written."""
    return _read(path)[0]


def _read(path: Path) -> tuple[Any, bool]:
    """The document, and whether it has a checksum, which then is the right one."""
    try:
        found = json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise DamagedError(f"{path}: no such file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: cannot be read as JSON ({error}).") from None
    checked = isinstance(found, dict) and CHECKSUM in found
    if checked and found.pop(CHECKSUM) != digest(found):
        raise DamagedError(f"{path}: is not as it was written; its checksum is another.")
    return found, checked


def _finite(text: str) -> float:
    """A number that JSON has: neither NaN and Infinity nor 1e999."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def read_record(path: Path, kind: type[T]) -> T:
    """The record of that kind at `path`. Raises DamagedError where there is none."""
    document, checked = _read(path)
    try:
        if not checked and isinstance(document, dict) and "version" in document:  # both came into use at once
            raise ValueError("its checksum is gone")
        return records.parse(kind, document)
    except ValueError as error:
        raise DamagedError(f"{path}: is damaged, or was written by another version: {error}.") from None


def digest(document: Any) -> str:
    """SHA-256 of a plain document, whatever the order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
