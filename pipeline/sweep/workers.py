"""This machine's own processes for the runs of a sweep: what shares them out where no launcher is named.

torch and Lightning take five seconds to import, longer than many a run. So they are imported once, in a server
(server.py), and each worker is a fork of it, ready at once, that trains one run after the other. A run takes as many
cores as it has threads, so that small networks train side by side and a large one has the machine to itself.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import types
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from pipeline import terminal
from pipeline.config import Config, Trainer
from pipeline.run.devices import cores_of
from pipeline.sweep import stop_file, worker
from pipeline.sweep.stop_file import POLL_S
from pipeline.tracking import live

END_S = 5.0  # for a worker without work to leave


@dataclass(frozen=True)
class Task:
    """A job for a launcher: its run, or the source of such runs, in the directory that `settings.dir` names."""

    settings: Config
    line: list[str]  # the same as overrides, for Hydra's launchers
    trainer: Trainer  # as settled
    mates: tuple[Path, ...] = ()  # the directories of a stack, this one's among them

    @property
    def dir(self) -> Path:
        """Where it is trained."""
        assert self.settings.dir
        return Path(self.settings.dir)

    @property
    def runs(self) -> tuple[Path, ...]:
        """All directories that something is trained in."""
        return self.mates or (self.dir,)


def count_cores() -> int:
    """How many this process may use, by its affinity and the limits of its container."""
    from joblib import cpu_count

    return int(cpu_count())


def share_out(tasks: Sequence[Task], sweep: Path, cores: int) -> None:
    """Have workers do `tasks`, in order, on `cores` cores, until all are done or the sweep is asked to stop.

    A worker that is killed leaves its run as it is; another takes its place. Raises RuntimeError with what a worker
    says that could not do its task.
    """
    waiting = deque(tasks)
    runs = [run for task in tasks for run in task.runs]
    with live.show_runs(runs, tasks[0].settings.tracking), _Pool() as pool:
        while waiting or pool.busy:
            if (sweep / "stop").exists():
                waiting.clear()
            while waiting and (taken := min(cores_of(waiting[0].trainer, cores), cores)) <= cores - pool.taken:
                pool.give(waiting.popleft(), sweep, taken)
            pool.wait()


class _Worker:
    """A process that does one task after the other, as this process sees it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self.connection, theirs = context.Pipe()
        # Not a daemon: those may have no children, and the data loader's workers are such.
        self.process = context.Process(target=_serve, args=(theirs,))
        try:
            with _without_main():
                self.process.start()
        except (EOFError, ConnectionError):
            raise RuntimeError("the process that workers are forked from ended early; was it killed?") from None
        theirs.close()
        self.cores = 0


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Within, a process that is started does not run the command's main module again, as multiprocessing would have it.

    That may be a script of somebody's that calls `main()` as it is read, and so trains the sweep in each worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Pool:
    """The workers: those that have a task, and those that wait for one."""

    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.busy: dict[Any, _Worker] = {}  # by connection

    @property
    def taken(self) -> int:
        """Cores that the tasks under way keep busy."""
        return sum(one.cores for one in self.busy.values())

    def give(self, task: Task, sweep: Path, cores: int) -> None:
        """Have an idle worker do `task`, or a new one."""
        one = self.idle.pop() if self.idle else _Worker()
        one.cores = cores
        self.busy[one.connection] = one
        with contextlib.suppress(ConnectionError):  # it is gone, which `wait` finds
            one.connection.send((task.settings, sweep.absolute(), os.getcwd()))

    def wait(self) -> None:
        """Until a task is done, or POLL_S."""
        for ready in connection.wait(list(self.busy), POLL_S) if self.busy else ():
            one = self.busy.pop(ready)
            try:
                failed = one.connection.recv()
            except (EOFError, ConnectionError):
                one.process.join(END_S)
                code = one.process.exitcode or 0
                ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                terminal.say(f"a process of the sweep {ended}; its run is left, others go on")
                continue
            if failed:
                raise RuntimeError(failed)
            self.idle.append(one)

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.busy.values():  # stopped, and waited for long enough
            one.process.kill()
        everyone = [*self.idle, *self.busy.values()]
        for one in everyone:
            one.connection.close()
        for one in everyone:
            one.process.join(END_S)
            one.process.kill()
            one.process.join()


def _serve(tasks: connection.Connection) -> None:
    """A worker's life: until its sweep has no more for it, or is gone."""
    os.dup2(2, 1)  # standard output is the result document's alone
    command = multiprocessing.parent_process()  # not the server, which lives as long as its workers
    assert command
    stop_file.stay_with(command.is_alive)
    live.leave_to_command()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            settings, sweep, folder = tasks.recv()
            os.chdir(folder)
            failed = ""
            try:
                worker.do(settings, sweep, here=False)
            except Exception as error:
                failed = f"{type(error).__name__}: {error}"
            tasks.send(failed)
