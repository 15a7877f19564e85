"""Jobs of submitit's: what each does, and what became of it, also where SLURM keeps no accounts.

submitit asks `sacct` alone. Without accounts that fails at each look, two lines of the terminal each time, and a job
that was cancelled, which leaves no result, is waited for without end. The queue knows: it tells of a job until some
minutes after its end, and then that there is none such.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from submitit import AutoExecutor, Job
from submitit.core.utils import DelayedSubmission, FailedJobError, UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from pipeline import stopping, terminal
from pipeline.sweep import stop_file, worker
from pipeline.sweep.workers import Task

LOOK_S = 60  # between two looks at most; a job that ends well is seen at once, by its result's file
ANSWER_S = 60

# What the queue says of a job that is over and not queued again.
OVER = ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"]
GONE = "no longer in the queue"


class Share:
    """What one job does: some tasks of a sweep, one after the other. Queued again, it goes on with what is left."""

    def __init__(self, tasks: Sequence[Task], sweep: Path, folder: str) -> None:
        self.settings = [task.settings for task in tasks]
        self.sweep, self.folder = sweep, folder

    def __call__(self) -> None:
        os.chdir(self.folder)
        while self.settings:
            worker.do(self.settings[0], self.sweep, here=False)
            if stopping.asked():
                if stopping.by() == stop_file.TIME_IS_UP:  # submitit's handler calls `checkpoint` and does not return
                    os.kill(os.getpid(), signal.SIGUSR2)
                return
            del self.settings[0]

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit, before the job's time is over."""
        return DelayedSubmission(self)


def launch(launcher: Any, tasks: Sequence[Task], sweep: Path) -> None:
    """Have jobs of `runs_per_job` tasks each do them all, and wait for them.

    A job that was cancelled, or died, leaves its runs as they are, and the others go on. Raises RuntimeError where all
    of them did.
    """
    count = launcher.params.get("runs_per_job", 1)
    shares = [tasks[first : first + count] for first in range(0, len(tasks), count)]
    jobs = _executor(launcher).submit_array([Share(share, sweep.absolute(), os.getcwd()) for share in shares])
    lost = [reason for job in jobs if (reason := _became(job))]
    if len(lost) == len(jobs):
        raise RuntimeError(lost[0])


def _executor(launcher: Any) -> AutoExecutor:
    kind, options = launcher._EXECUTOR, dict(launcher.params)
    options.pop("runs_per_job", None)
    limit = {f"{kind}_{name}": options.pop(name) for name in ("max_num_timeout",) if name in options}
    executor = AutoExecutor(folder=options.pop("submitit_folder"), cluster=kind, **limit)
    shared = BaseQueueConf.__dataclass_fields__
    executor.update_parameters(**{n if n in shared else f"{kind}_{n}": value for n, value in options.items()})
    return executor


def _became(job: Job[None]) -> str:
    """Wait for a job; why it has no result, which is said, or nothing where it has one."""
    try:
        job.result()
        return ""
    except UncompletedJobError:
        reason = f"job {job.job_id} ended without a result ({job.watcher.get_state(job.job_id, mode='cache')})"
    except FailedJobError as error:
        reason = f"job {job.job_id} failed: {str(error).strip().splitlines()[-1]}"
    terminal.say(f"{reason}; its runs are left, others go on")
    return reason


def watch() -> None:
    """From now on, submitit learns from the queue what it cannot learn from accounts."""
    SlurmJob.watcher = Watcher(LOOK_S)


class Watcher(SlurmInfoWatcher):
    """submitit's, with another way to ask."""

    said = ""

    def update(self) -> None:
        """Ask for the jobs that are open. Where nobody answers, they are as they were, and the reason is said once."""
        open_ = self._registered - self._finished
        command = self._make_command()
        if command is None:
            return
        self._num_calls += 1
        try:
            try:
                self._info_dict.update(self.read_info(_answer(*command)))
            except OSError:
                self._info_dict.update(_queued(open_))
        except OSError as error:
            if str(error) != self.said:
                terminal.mind([f"SLURM does not say how its jobs are: {error}"])
            self.said = str(error)
        self._last_status_check = time.time()
        self._finished |= {job for job in open_ if self.is_done(job, mode="cache")}


def _queued(jobs: set[str]) -> dict[str, dict[str, str]]:
    """By the queue: a state for each of `jobs`. Raises OSError where it does not answer."""
    arrays = ",".join(sorted({job.split("_")[0] for job in jobs}))
    try:
        lines = _answer("squeue", "--noheader", "--array", "--states=all", "--format=%i %T", f"--jobs={arrays}")
    except OSError as error:
        if "Invalid job id" not in str(error):
            raise
        lines = ""  # all of them are over, for minutes
    known = dict(line.split(maxsplit=1) for line in lines.splitlines() if line.strip())
    states = {job: known.get(job, GONE).strip() for job in jobs}
    return {job: {"State": state if state in (*OVER, GONE) else "RUNNING"} for job, state in states.items()}


def _answer(*command: str) -> str:
    """What `command` prints. Raises OSError where it cannot be asked, or says why it has no answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} gave no answer in {ANSWER_S} s") from None
    if done.returncode != 0:
        raise OSError(" ".join(done.stderr.split()) or f"{command[0]} failed with exit code {done.returncode}")
    return done.stdout
