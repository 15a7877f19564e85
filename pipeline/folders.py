"""Folders that are made and, where nothing came of it, taken away again."""

import os
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


def sync(folder: Path) -> None:
    """Have the names in `folder` outlive a power cut, as fsync does for what a file holds."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
