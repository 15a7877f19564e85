"""Where a format's module looks for raw files: the folder that data.root names."""

import os
from pathlib import Path

from pipeline.data.config import Data
from pipeline.errors import InputError


def no_files(config: Data) -> list[Path]:
    """The raw files of a set that comes with the package: none. InputError for a root, which would have no effect."""
    if existing_root(config) is not None:
        raise InputError(
            f"data.root={config.root}: data.source={config.source} is embedded and reads no folder; leave it null."
        )
    return []


def existing_root(config: Data) -> Path | None:
    """The folder that the user gave, or None. InputError where it is no folder."""
    if config.root is None:
        return None
    root = Path(config.root).expanduser()
    if not os.path.exists(root):  # unlike Path.exists, False where it may not even be looked for
        raise InputError(f"data.root={config.root}: no such folder.")
    if not os.path.isdir(root):
        raise InputError(f"data.root={config.root}: is a file, not a folder.")
    return root


def required_root(config: Data) -> Path:
    """The folder that the user gave. InputError where none was, or it is none."""
    root = existing_root(config)
    if root is None:
        raise InputError(
            f"data.root=null: data.source={config.source} needs the folder of the files: data.root=FOLDER."
        )
    return root
