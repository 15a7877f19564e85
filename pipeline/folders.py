"""Folders that are made and, where nothing came of it, taken away again."""

import os
import tempfile
from pathlib import Path


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


def replace(path: Path, text: str) -> None:
    """Write a text file at once, in place of the one of that name: a reader sees the old one or the new one, whole."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8", delete=False
    ) as f:
        f.write(text)
    try:
        os.chmod(f.name, 0o644)
        os.replace(f.name, path)
    except OSError:
        os.unlink(f.name)
        raise


def sync(folder: Path) -> None:
    """Have the names in `folder` outlive a power cut, as fsync does for what a file holds."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
