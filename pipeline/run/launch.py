"""Start a run: here in this process, or in several under torchrun's elastic agent, on one host or on more.

The processes are started from the run directory. Left to Lightning, each would run the command line again,
and inside a Hydra multirun the whole sweep with it.

Of several hosts, the one that gets the run's lock leads: it writes run.json, shows the run on MLflow and sets how
it ended. The others wait for run.json and start their processes as it says.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline import config, rundir, stopping, terminal
from pipeline.beginning import importing
from pipeline.errors import of_machine
from pipeline.run import agent, devices
from pipeline.stopping import Stopped


def train(*paths: Path) -> None:
    """Train the run at a path to its end, or several that are stacked. How one ended, an error too, stands there.

    Raises Stopped where a signal asked to stop; what is not finished is interrupted then.
    """
    trainer = config.of_run(paths[0]).trainer
    try:
        with stopping.interruptible():
            _train(paths, trainer, leads=True)
    except Exception as error:
        for path in _unfinished(paths):
            _failed(path, error)
    except BaseException as stop:
        reason = str(stop) or (stopping.by() if isinstance(stop, Stopped) else type(stop).__name__)
        for path in _unfinished(paths):  # the signal may come a moment too late
            rundir.end(path, "interrupted", ended=time.time(), error=f"stopped by {reason}")
        raise


def _unfinished(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if rundir.get_status(path).status not in ("finished", "failed")]


def _failed(path: Path, error: Exception) -> None:
    rundir.fail(path, error, "interrupted" if _outside(error) else "failed")


def _train(paths: Sequence[Path], trainer: config.Trainer, leads: bool) -> None:
    path = paths[0]
    with devices.dealt(trainer.devices if trainer.accelerator == "gpu" else 0) as gpus:
        if trainer.processes == 1:
            with importing():
                from pipeline.run.finish import train_here, train_stack_here  # torch: not before it is needed

            # Before each step torch's optimizers look for a GPU, as long as none is in use: 0.1 ms without NVIDIA's
            # driver, and more with it.
            with _environment({} if gpus else {"CUDA_VISIBLE_DEVICES": ""}):
                if trainer.stack == "off":
                    train_here(path, *gpus)
                else:
                    train_stack_here(paths, _failed, *gpus)
            return
        # Left to itself torchrun says OMP_NUM_THREADS=1 where a host has several processes, and nothing where it has
        # one; the last bits of a run of two processes differed by that between one host and two.
        with _environment(devices.visible(gpus) | {"OMP_NUM_THREADS": str(trainer.threads or 1)}):
            # torchrun's own restart takes a dead host for one of the new round, and fails 60 s later.
            restarts = trainer.max_restarts if trainer.num_nodes > 1 else 0
            while True:
                attempt = rundir.get_status(path).resumed
                try:
                    return agent.run(path, trainer, attempt)
                except agent.LostProcessError as error:
                    if not restarts:
                        raise
                    restarts -= 1
                    terminal.say(f"{path}: starts again from its checkpoint: {error}")
                    _again(path, attempt, leads, error)


def _again(path: Path, attempt: int, leads: bool, error: agent.LostProcessError) -> None:
    """Begin the next attempt on the host that leads, or wait for it elsewhere. Raises `error` where there is none."""
    if leads:
        rundir.resume(path)
        return
    end = time.monotonic() + 2 * agent.SETTLED_S
    while rundir.get_status(path).resumed == attempt:
        if time.monotonic() > end or not rundir.alive(path):
            raise error
        time.sleep(0.2)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Within, processes that are started find `values` in their environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


@contextlib.contextmanager
def leading(path: Path, trainer: config.Trainer) -> Iterator[bool]:
    """Hold the run at `path`. False where another of its hosts does, and has begun.

    Raises BusyError where a run on one host is held by another process.
    """
    with contextlib.ExitStack() as held:
        leads = False
        while not leads:
            try:
                held.enter_context(rundir.locked(path, 5 if trainer.num_nodes == 1 else 0))
                leads = True
            except rundir.BusyError:
                if trainer.num_nodes == 1:
                    raise
                if rundir.get_status(path).status == "running" and (path / "run.json").exists():
                    break
                time.sleep(0.2)
        yield leads


def follow(path: Path) -> None:
    """Train this host's part of the run at `path`, which another host leads, and wait until it says how it ended."""
    trainer = config.of_run(path).trainer
    try:
        with stopping.interruptible():
            _train([path], trainer, leads=False)
    except Exception as error:
        terminal.say(f"{path}: {' '.join(str(error).split())[:300]}")
    finally:
        end = time.monotonic() + agent.SETTLED_S
        while time.monotonic() < end and rundir.get_status(path).status == "running" and rundir.alive(path):
            time.sleep(0.5)
        rundir.left_behind(path)  # the leading host is gone


def _outside(error: Exception) -> bool:
    """Whether the cause lies outside of the run: a full disk, a killed process of it, a loader that hangs."""
    return (
        of_machine(error) is not None
        or isinstance(error, agent.LostProcessError | devices.NoGPUError)
        or (isinstance(error, RuntimeError) and "DataLoader" in str(error))
    )
