"""Which runs and sweeps MLflow may not have whole: a marker for each in RUNS_DIR/.unsent, gone when it has.

A hint for the next command, which is not to look through thousands of directories: with 1,000 finished runs it
finds in 2 ms that nothing is owed. `python -m pipeline.sync` looks at the directories themselves: 0.5 s.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

FOLDER = ".unsent"


def add(path: Path, uid: str, runs_dir: Path, uri: str) -> None:
    """Mark the run or sweep at `path`, where it lies under `runs_dir`. It names its place from there."""
    with contextlib.suppress(ValueError, OSError):  # lies elsewhere; or cannot be marked, and training says why
        place = path.resolve().relative_to(runs_dir.resolve())
        (runs_dir / FOLDER).mkdir(exist_ok=True)
        (runs_dir / FOLDER / uid).write_text(json.dumps({"dir": str(place), "uri": uri}))


def remove(path: Path, uid: str) -> None:
    """Take the mark of the run or sweep at `path` away."""
    for folder in path.resolve().parents:
        (folder / FOLDER / uid).unlink(missing_ok=True)


def find(runs_dir: Path, uri: str | None) -> Iterator[tuple[Path, str]]:
    """(directory, uid) of what is marked under `runs_dir` as not yet whole on the MLflow at `uri`."""
    folder = runs_dir / FOLDER
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        try:
            mark = json.loads((folder / name).read_text())
            path, where = runs_dir / mark["dir"], mark["uri"]
            there = path.exists()
        except (OSError, ValueError, KeyError, TypeError):  # sent meanwhile, or cut short by a kill: sync finds it
            continue
        if not there:
            (folder / name).unlink(missing_ok=True)
        elif where == uri:
            yield path, name
