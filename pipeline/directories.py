"""Where runs and sweeps lie under a folder."""

import os
from collections.abc import Iterator
from pathlib import Path


def find_directories(root: Path, *, newest_first: bool = False, but: Path | None = None) -> Iterator[Path]:
    """Every run and sweep directory at and under `root`, a sweep before its runs; in the order of their names.

    They are named by the time: the other way round is `newest_first`. Nothing is looked for inside a run, in `but` and
    in folders whose names begin with a dot.
    """
    left_out = but.resolve() if but else None
    for folder, folders, files in os.walk(root):
        path = Path(folder)
        is_run = "run.json" in files or "run.json" in folders  # a folder of that name is damage, which others report
        kept = [] if is_run else [name for name in folders if not name.startswith(".")]
        if left_out:
            kept = [name for name in kept if (path / name).resolve() != left_out]
        folders[:] = sorted(kept, reverse=newest_first)
        if is_run or "sweep.json" in files:
            yield path
