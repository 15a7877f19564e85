"""Start a run: here in this process, or in several under torchrun's elastic agent.

The processes are started from the run directory. Left to Lightning, each would run the command line again,
and inside a Hydra multirun the whole sweep with it.
"""

import os
import sys
import time
from pathlib import Path

from pipeline import config, rundir


def train(path: Path) -> str:
    """Train the run at `path` to its end. Returns its status; an error is recorded there, not raised."""
    trainer = config.of_run(path).trainer
    try:
        if trainer.devices == 1:
            from pipeline.training.fit import fit

            fit(path)
        else:
            _elastic(path, trainer)
    except Exception as error:
        rundir.fail(path, error)
    except BaseException:
        rundir.set_status(path, "interrupted", ended=time.time())
        raise
    return rundir.get_status(path)["status"]


def _elastic(path: Path, trainer: config.Trainer) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
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
            max_restarts=0,
            # Standard output is kept for the result document; what ranks say is in RUN/ranks.
            logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ALL),
        ),
        entrypoint=sys.executable,
    )
    try:
        agent("-m", "pipeline.training", str(path.resolve()))
    except ChildFailedError as error:
        # Its own text is a banner over all processes; the first failure is the cause, the others followed it.
        rank, failure = error.get_first_failure()
        raise RuntimeError(f"process {rank}: {failure.message} (see {logs})") from error
