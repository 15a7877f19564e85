"""Folders that are made and, where nothing came of it, taken away again; files that are replaced whole."""

import contextlib
import hashlib
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError, of_machine

BESIDE = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}")  # what `replacing` writes to


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the body ends, on disk and whole; or not at all.

    A reader sees the old file or the new one. What a full disk raises names `path`. Raises InputError where a folder
    stands there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except IsADirectoryError:
        beside.unlink(missing_ok=True)
        raise InputError(f"{path}: is a folder, and a file belongs there. Move it away.") from None
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if found := of_machine(error):
            found.filename = str(path)
        raise


def clear_torn(folder: Path, but: str) -> None:
    """Take away what killed processes had begun to write in `folder`, which nobody else writes to, but for `but`."""
    for path in folder.glob(".*"):
        if (found := BESIDE.fullmatch(path.name)) and found[1] != but:
            path.unlink(missing_ok=True)


def check_parts(path: Path) -> None:
    """Raise ValueError where a part of a zip file is not what its checksum says.

    torch writes one for every part of what it saves, and reads without looking at it.
    """
    with zipfile.ZipFile(path) as parts:
        if damaged := parts.testzip():
            raise ValueError(f"{damaged} is damaged")


def sha256(path: Path) -> str:
    """A file's, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def missing(folder: Path) -> list[Path]:
    """The folder and those above it that do not exist yet, innermost first."""
    return [path for path in (folder, *folder.parents) if not os.path.exists(path)]


def remove_empty(folders: list[Path]) -> None:
    """Remove the folders, innermost first, up to one that is in use or gone."""
    try:
        for folder in folders:
            folder.rmdir()
    except OSError:
        pass


def sync(folder: Path) -> None:
    """Have the names in `folder` outlive a power cut, as fsync does for what a file holds."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
