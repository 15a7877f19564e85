"""How far it is with many images, on a terminal's standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from pipeline import terminal


@contextlib.contextmanager
def progress(what: str, total: int, doing: str = "preparing") -> Iterator[Callable[[int], None]]:
    """Yield what is to be told how many are done. Silent where nobody watches."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{doing} {what}", total=total)
        yield lambda done: bar.update(task, completed=done)
