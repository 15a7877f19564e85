"""The launchers that a sweep can be shared out by: one entry each, and a file of its name in conf/hydra/launcher/.

A launcher is Hydra's; what an entry says is what Hydra's interface leaves open. How runs are stopped, whichever engine
runs them, is launchers.py.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.sweep import server, stop_file, worker, workers
from pipeline.sweep.workers import Task


def _nothing(*_: Any) -> None:
    pass


def _one(launcher: Any) -> int:
    return 1


def _by_hydra(launcher: Any, tasks: Sequence[Task], sweep: Path) -> None:
    launcher.launch([task.line for task in tasks], initial_job_idx=0)


def _here(launcher: Any, tasks: Sequence[Task], sweep: Path) -> None:
    """One after the other, in this process. Hydra's would compose each anew: 0.1 s, the third of a run of digits."""
    for task in tasks:
        worker.do(task.settings, sweep, here=True)


@dataclass(frozen=True)
class Engine:
    """What there is to know of a launcher besides Hydra's interface."""

    target: str  # Hydra's class
    extra: str | None = None  # of pyproject.toml, which brings its package
    elsewhere: bool = False  # its jobs may run on other machines, with other GPUs than this one
    check: Callable[[Any], None] = _nothing  # reach it before anything is written; InputError where it is not there
    launch: Callable[[Any, Sequence[Task], Path], None] = _by_hydra  # (launcher, tasks, sweep), and wait for them
    places: Callable[[Any], int] = _one  # at how many it trains at the same time, where that is known
    warm_up: Callable[[], None] = _nothing  # while the sweep is being planned
    begin: Callable[[Any, Path], None] = _nothing  # (launcher, sweep) before its jobs
    end: Callable[[Path], None] = _nothing  # (sweep) after them, however they ended


def _check_workers(launcher: Any) -> None:
    count = launcher.cores
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise InputError(f"hydra.launcher.cores={count}: must be a number of cores, or null for all cores.")


def _cores(launcher: Any) -> int:
    return launcher.cores or workers.count_cores()


def _by_workers(launcher: Any, tasks: Sequence[Task], sweep: Path) -> None:
    workers.share_out(tasks, sweep, _cores(launcher))


def _check_joblib(launcher: Any) -> None:
    count = launcher.joblib["n_jobs"]
    if not isinstance(count, int) or not count:
        raise InputError(f"hydra.launcher.n_jobs={count}: must be a number of processes, or -1 for all cores.")


def _begin_joblib(launcher: Any, sweep: Path) -> None:
    launcher.joblib |= {
        "initializer": stop_file.stay_with,
        "initargs": (functools.partial(stop_file.is_parent, os.getpid()),),
    }


def _begin_submitit(launcher: Any, sweep: Path) -> None:
    launcher.params["submitit_folder"] = str(_folder(sweep) / "%j")


def _by_submitit(launcher: Any, tasks: Sequence[Task], sweep: Path) -> None:
    from pipeline.sweep import slurm

    slurm.launch(launcher, tasks, sweep)


def _folder(sweep: Path) -> Path:
    return sweep.absolute() / "submitit"


def _check_slurm(launcher: Any) -> None:
    if not (shutil.which("sbatch") and shutil.which("srun")):
        raise InputError("hydra/launcher=slurm: there is no sbatch here. Run it on a login node, or use joblib.")
    count = launcher.params.get("runs_per_job", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InputError(f"hydra.launcher.runs_per_job={count}: must be a number of runs, at least 1.")


def _begin_slurm(launcher: Any, sweep: Path) -> None:
    from pipeline.sweep import slurm

    _begin_submitit(launcher, sweep)
    slurm.watch()


def _end_slurm(sweep: Path) -> None:
    """Take what waits off the queue, where the sweep was asked to stop; what was there before has ended."""
    if (sweep / "stop").exists():
        jobs = [folder.name for folder in _folder(sweep).glob("*") if folder.name[0].isdigit()]
        subprocess.run(["scancel", *jobs], check=False, capture_output=True, timeout=60)


def _check_ray(launcher: Any) -> None:
    from omegaconf import OmegaConf

    try:
        import ray
    except ImportError:
        raise missing(ENGINES["ray"].target) from None

    init: Any = OmegaConf.to_container(launcher.ray_cfg.init, resolve=True)
    options = {name: value for name, value in init.items() if value is not None}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            ray.init(ignore_reinit_error=True, **options)
    except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"hydra.launcher.ray.init={options}: no Ray cluster ({reason}).") from None
    finally:
        # Ray's own answer to SIGTERM is to exit on the spot, its workers with it.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _end_ray(sweep: Path) -> None:
    import ray

    ray.shutdown()


PLUGINS = "hydra_plugins.hydra_"
ENGINES = {
    "workers": Engine(
        "hydra_plugins.local_workers.WorkersLauncher",
        check=_check_workers,
        launch=_by_workers,
        places=_cores,
        warm_up=server.start,
    ),
    "basic": Engine("hydra._internal.core_plugins.basic_launcher.BasicLauncher", launch=_here),
    "joblib": Engine(
        f"{PLUGINS}joblib_launcher.joblib_launcher.JoblibLauncher", "joblib", check=_check_joblib, begin=_begin_joblib
    ),
    "submitit_local": Engine(
        f"{PLUGINS}submitit_launcher.submitit_launcher.LocalLauncher",
        "slurm",
        launch=_by_submitit,
        begin=_begin_submitit,
    ),
    "slurm": Engine(
        f"{PLUGINS}submitit_launcher.submitit_launcher.SlurmLauncher",
        "slurm",
        elsewhere=True,
        check=_check_slurm,
        launch=_by_submitit,
        begin=_begin_slurm,
        end=_end_slurm,
    ),
    "ray": Engine(
        f"{PLUGINS}ray_launcher.ray_launcher.RayLauncher", "ray", elsewhere=True, check=_check_ray, end=_end_ray
    ),
}


def engine_of(launcher: Any) -> Engine:
    """The entry of a launcher of Hydra's."""
    kind = type(launcher)
    return next(one for one in ENGINES.values() if one.target == f"{kind.__module__}.{kind.__qualname__}")


def missing(target: str) -> InputError:
    """What to say where the launcher of class `target` is not installed."""
    extra = next((one.extra for one in ENGINES.values() if one.target == target), target.rpartition(".")[2])
    return InputError(
        f"hydra/launcher={extra}: its package is not installed. `make install` brings it, or in an environment of your "
        f"own pip install -e '.[{extra}]', both in the folder that holds pyproject.toml."
    )
