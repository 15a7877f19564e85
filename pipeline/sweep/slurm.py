"""What became of SLURM's jobs, also where SLURM keeps no accounts.

submitit asks `sacct` alone. Without accounts that fails at each look, two lines of the terminal each time, and a job
that was cancelled, which leaves no result, is waited for without end. The queue knows: it tells of a job until some
minutes after its end, and then that there is none such.
"""

import subprocess
import time

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from pipeline import terminal

LOOK_S = 60  # between two looks at most; a job that ends well is seen at once, by its result's file
ANSWER_S = 60

# What the queue says of a job that is over and not queued again.
OVER = ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"]


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
    states = {job: known.get(job, "GONE").strip() for job in jobs}
    return {job: {"State": state if state in (*OVER, "GONE") else "RUNNING"} for job, state in states.items()}


def _answer(*command: str) -> str:
    """What `command` prints. Raises OSError where it cannot be asked, or says why it has no answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} gave no answer in {ANSWER_S} s") from None
    if done.returncode != 0:
        raise OSError(" ".join(done.stderr.split()) or f"{command[0]} failed with exit code {done.returncode}")
    return done.stdout
