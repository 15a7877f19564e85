"""A progress line over one run or a whole sweep, read from the run directories: the same for any launcher."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline import rundir, terminal
from pipeline.errors import InputError
from pipeline.records import Status

POLL_S = 0.5
LAST_LINE_S = 10.0  # nothing but lines depends on it


@contextmanager
def shown(runs: Sequence[tuple[str, Path]]) -> Iterator[None]:
    """Show how far `runs` (label, directory) are, on stderr, while the body trains them."""
    stop = threading.Event()
    before = [rundir.get_status(path) for _, path in runs]  # of one that is taken up: how it ended the last time
    thread = threading.Thread(target=_watch, args=(list(runs), before, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LAST_LINE_S)


def _watch(runs: list[tuple[str, Path]], before: list[Status], stop: threading.Event) -> None:
    from rich.progress import BarColumn, Progress, TextColumn

    began, open_runs, done = time.monotonic(), dict(enumerate(runs)), 0
    # Rich fits a terminal that is not one to 80 columns; a log file has no such edge.
    console = terminal.console(stderr=True, soft_wrap=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[eta]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(runs), eta="")
        while True:
            last_look = stop.is_set()  # after the body ended, look once more
            part, newest = 0.0, ""
            for number, (label, path) in list(open_runs.items()):
                status = rundir.get_status(path)
                if status == before[number] or status.status == "missing":
                    continue
                if status.status != "running":
                    done += 1
                    del open_runs[number]
                    count = f"[{done:>{len(str(len(runs)))}}/{len(runs)}]"
                    line = f"{count} {label}  {_result(status)}{_eta(began, done, len(runs))}"
                    bar.console.print(line)
                else:
                    part += rundir.progress(path)
                    newest = newest or _latest(label, path)
            far, eta = done + part, _eta(began, done + part, len(runs))
            bar.update(task, completed=far, description=f"{done}/{len(runs)} {newest}", eta=eta)
            if last_look:
                return
            stop.wait(POLL_S)


def _result(status: Status) -> str:
    if status.status != "finished":
        return f"{status.status}: {status.error or ''}"
    return f"test/acc {status.metrics['test/acc']:.4f}  {status.seconds:.1f} s"


def _latest(label: str, path: Path) -> str:
    try:
        rows = list(rundir.metric_rows(path))
    except InputError:
        rows = []
    if not rows:
        return label
    return f"{label} epoch {rows[-1].step} " + " ".join(
        f"{k} {v:.3f}" for k, v in rows[-1].metrics.items() if k in ("train/loss", "val/acc")
    )


def _eta(began: float, done: float, total: int) -> str:
    if not done or done >= total:
        return ""
    left = (time.monotonic() - began) * (total - done) / done
    return f"  ETA {int(left // 60)}:{int(left % 60):02d}"
