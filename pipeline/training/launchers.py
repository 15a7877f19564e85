"""Between runs: what Hydra's launchers (joblib, submitit, Ray) leave open, the same for each of them.

They start jobs in other processes, here or on other machines. Signals do not reach those, each engine has its own
way to cancel, and most of them kill without notice. So stopping goes through a file that all see, like everything
else between our processes: `stop` in the sweep's directory. Whoever trains a run of the sweep looks for it, and
then asks itself to stop.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import rundir
from pipeline.errors import InputError
from pipeline.training import stopping

POLL_S = 0.5

# For the runs under way to save themselves, GRACE_S of them to end their batch; then the launcher is left, which
# kills those of joblib and of a Ray cluster of our own. Runs on other machines end by themselves.
PATIENCE_S = stopping.GRACE_S + 15

# Launcher class -> the extra of pyproject.toml that brings its package.
EXTRAS = {"JoblibLauncher": "joblib", "SlurmLauncher": "slurm", "LocalLauncher": "slurm", "RayLauncher": "ray"}


class LauncherError(RuntimeError):
    """The launcher gave up, as when a process of it was killed."""


def missing(target: str) -> InputError:
    """What to say where the launcher of class `target` is not installed."""
    name = target.rpartition(".")[2]
    extra = EXTRAS.get(name, name)
    return InputError(
        f"hydra/launcher={extra}: its package is not installed. `make install` brings it, or in an environment of your "
        f"own pip install -e '.[{extra}]', both in the folder that holds pyproject.toml."
    )


def elsewhere(launcher: Any) -> bool:
    """Whether its jobs may run on other machines, with other GPUs than this one."""
    return type(launcher).__name__ in ("SlurmLauncher", "RayLauncher")


def ready(launcher: Any) -> None:
    """Reach the engine of `launcher` before anything is written. Raises InputError where it is not there."""
    kind = type(launcher).__name__
    if kind == "JoblibLauncher" and (not isinstance(launcher.joblib["n_jobs"], int) or not launcher.joblib["n_jobs"]):
        raise InputError(
            f"hydra.launcher.n_jobs={launcher.joblib['n_jobs']}: must be a number of processes, or -1 for all cores."
        )
    if kind == "SlurmLauncher" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise InputError("hydra/launcher=slurm: there is no sbatch here. Run it on a login node, or use joblib.")
    if kind == "RayLauncher":
        _ray(launcher)


def _ray(launcher: Any) -> None:
    from omegaconf import OmegaConf

    try:
        import ray
    except ImportError:
        raise missing("RayLauncher") from None

    init: Any = OmegaConf.to_container(launcher.ray_cfg.init, resolve=True)
    asked = {name: value for name, value in init.items() if value is not None}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            ray.init(ignore_reinit_error=True, **asked)
    except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"hydra.launcher.ray.init={asked}: no Ray cluster ({reason}).") from None
    finally:
        # Ray's own answer to SIGTERM is to exit on the spot, its workers with it.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def launch(launcher: Any, jobs: Sequence[list[str]], sweep: Path, runs: Sequence[Path]) -> None:
    """Run all `jobs`, whose directories are `runs`, and wait for them.

    Raises Stopped where a signal asked for it, after the runs under way have saved themselves, within PATIENCE_S.
    Raises LauncherError where the launcher gave up; its other runs are as they are.
    """
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    (sweep / "stop").unlink(missing_ok=True)
    if isinstance(launcher, BasicLauncher):
        launcher.launch(jobs, initial_job_idx=0)
        return
    # Ray prints there what its daemons say, until it is shut down; standard output is the result document's alone.
    with contextlib.redirect_stdout(sys.stderr):
        _launch(launcher, jobs, sweep, runs)


def _launch(launcher: Any, jobs: Sequence[list[str]], sweep: Path, runs: Sequence[Path]) -> None:
    place = sweep.absolute() / "submitit"
    if "submitit_folder" in getattr(launcher, "params", {}):
        launcher.params["submitit_folder"] = str(place / "%j")
    before = set(place.glob("*"))
    if type(launcher).__name__ == "JoblibLauncher":
        launcher.joblib |= {"initializer": stay_with, "initargs": (os.getpid(),)}
    if type(launcher).__name__ == "SlurmLauncher":
        from pipeline.training import slurm

        slurm.watch()
    try:
        with _passed_on(sweep, runs):
            launcher.launch(jobs, initial_job_idx=0)
    except Exception as error:
        (sweep / "stop").touch()  # for runs that a dead worker's brothers, or other machines, still train
        _wait_for(runs)
        reason = " ".join(str(error).split())[:300]
        raise LauncherError(f"{type(error).__name__}: {reason}") from error
    finally:
        if type(launcher).__name__ == "SlurmLauncher" and (sweep / "stop").exists():
            jobs_left = [folder.name for folder in set(place.glob("*")) - before if folder.name[0].isdigit()]
            subprocess.run(["scancel", *jobs_left], check=False, capture_output=True, timeout=60)
        if type(launcher).__name__ == "RayLauncher":
            import ray

            ray.shutdown()


@contextlib.contextmanager
def _passed_on(sweep: Path, runs: Sequence[Path]) -> Iterator[None]:
    """Within, a signal asks all runs of the sweep to stop; Stopped is raised when they have, or at PATIENCE_S.

    The launcher is left waiting until then: interrupted, joblib kills its workers on the spot.
    """
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():  # the second signal: no patience left
            stopping.interrupt(number, frame)
            return
        asked.set()
        stopping.hung_up(number)
        (sweep / "stop").touch()
        threading.Thread(target=hurry, daemon=True).start()

    def hurry() -> None:
        _wait_for(runs)
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGALRM)

    def leave(number: int, frame: Any) -> None:
        if not ended.is_set():
            stopping.interrupt(number, frame)

    ended = threading.Event()
    handlers = {**dict.fromkeys(stopping.asking(), ask), signal.SIGALRM: leave}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        ended.set()
        for number, old in before.items():
            signal.signal(number, old)
    if asked.is_set():
        raise stopping.Stopped("a signal")


def _wait_for(runs: Sequence[Path]) -> None:
    """Until none of `runs` is trained any more, for PATIENCE_S at most."""
    began, quiet = time.monotonic(), 0
    # Two looks, since a run may be between its look at the file and its first status.
    while quiet < 2 and time.monotonic() - began < PATIENCE_S:
        time.sleep(POLL_S)
        busy = any(rundir.get_status(run)["status"] == "running" and rundir.alive(run) for run in runs)
        quiet = 0 if busy else quiet + 1


def in_worker(sweep: Path, train: Callable[[], None]) -> None:
    """Call `train` in a process that a launcher started, unless the sweep was asked to stop, or until it is.

    Stopped does not leave it: to joblib, a job that raises is a reason to kill the others.
    """
    if threading.current_thread() is threading.main_thread():
        _deaf()
    parent = os.getppid()  # before the look at its lock: one that is killed after it is missed below
    if (sweep / "stop").exists() or not rundir.alive(sweep):
        return
    pre_emption = signal.getsignal(signal.SIGUSR2)  # submitit's, which queues the job again
    caught = []

    def pre_empted(_number: int, _frame: Any) -> None:
        caught.append(signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)

    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(sweep / "stop", parent, ended), daemon=True)
    try:
        with stopping.interruptible():
            if callable(pre_emption):
                signal.signal(signal.SIGUSR2, pre_empted)
            _at_work.set()
            watcher.start()
            try:
                train()
            finally:
                ended.set()
                watcher.join()
                _at_work.clear()
    except stopping.Stopped:
        pass
    finally:
        if callable(pre_emption):
            signal.signal(signal.SIGUSR2, pre_emption)
    if caught:
        os.kill(os.getpid(), signal.SIGUSR2)


def _deaf() -> None:
    """To Ctrl-C and a closed terminal, also between two runs: the sweep's own process passes them on."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _watch(stop: Path, parent: int, ended: threading.Event) -> None:
    """Ask this process to stop when the file `stop` appears, or when `parent`, which started it, is gone."""
    while not ended.wait(POLL_S):
        if stop.exists() or os.getppid() != parent:
            if not stopping.asked():  # Ctrl-C came here as well; a second signal would not wait for the checkpoint
                stopping.ask("its sweep, which was stopped" if stop.exists() else "the end of its sweep's process")
            return


_at_work = threading.Event()  # within a job


def stay_with(command: int) -> None:
    """From now on, this process of joblib's lives as long as the process `command`, which started it.

    By itself it would wait 300 s for another job, and longer, with 850 MB and a hung `| tee`.
    """
    _deaf()
    threading.Thread(target=_leave_with, args=(command,), daemon=True).start()


def _leave_with(command: int) -> None:
    while os.getppid() == command:
        time.sleep(POLL_S)
    end = time.monotonic() + PATIENCE_S  # _watch has asked the run to save itself
    while _at_work.is_set() and time.monotonic() < end:
        time.sleep(0.1)
    os._exit(1)
