"""Start a run: here in this process, or in several under torchrun's elastic agent.

The processes are started from the run directory. Left to Lightning, each would run the command line again,
and inside a Hydra multirun the whole sweep with it.
"""

import errno
import os
import signal
import sys
import time
from pathlib import Path

from pipeline import config, rundir
from pipeline.training import stopping
from pipeline.training.stopping import Stopped

# What ends a run without being its fault: it goes on from its last checkpoint once there is room again.
ENVIRONMENT = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.ESTALE}


def train(path: Path) -> str:
    """Train the run at `path` to its end. Returns its status; an error is recorded there, not raised.

    Raises Stopped where a signal asked the run to stop; its status is interrupted then.
    """
    trainer = config.of_run(path).trainer
    try:
        with stopping.interruptible():
            if trainer.devices == 1:
                from pipeline.training.fit import fit

                fit(path)
            else:
                _elastic(path, trainer)
    except Exception as error:
        rundir.fail(path, error, "interrupted" if _outside(error) else "failed")
    except BaseException as stop:
        rundir.set_status(path, "interrupted", ended=time.time(), error=f"stopped by {stop or type(stop).__name__}")
        raise
    return rundir.get_status(path)["status"]


class LostProcessError(RuntimeError):
    """A process of the run was killed from outside."""


def _outside(error: Exception) -> bool:
    """Whether the cause lies outside of the run: a full disk, a killed process of it, a loader that hangs."""
    if isinstance(error, OSError) and error.errno in ENVIRONMENT:
        return True
    return isinstance(error, LostProcessError) or (isinstance(error, RuntimeError) and "DataLoader" in str(error))


def _elastic(path: Path, trainer: config.Trainer) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logs = path / "ranks"
    logs.mkdir(exist_ok=True)
    if trainer.accelerator == "cpu":
        # gloo otherwise asks the resolver for this host's name, and fails or hangs where that has no address.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    agent = elastic_launch(
        LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=trainer.devices,
            run_id=path.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=trainer.max_restarts,
            # Standard output is kept for the result document; what ranks say is in RUN/ranks.
            logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ALL),
        ),
        entrypoint=sys.executable,
    )
    try:
        agent("-m", "pipeline.training", str(path.resolve()), str(os.getpid()))
    except SignalException as stop:  # the agent passed the signal on and waited for its processes
        raise Stopped(stop.sigval.name) from None
    except ChildFailedError as error:
        # Its own text is a banner over all processes; the first failure is the cause, the others followed it.
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            raise LostProcessError(f"process {rank} was killed by {name} (see {logs})") from error
        kind = LostProcessError if "DataLoader" in failure.message else RuntimeError
        raise kind(f"process {rank}: {failure.message} (see {logs})") from error
    if rundir.get_status(path)["status"] != "finished":
        raise Stopped("a signal to one of its processes")
