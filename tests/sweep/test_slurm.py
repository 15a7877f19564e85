"""SLURM, up to the scheduler: its commands are stood in for, submitit is the real one."""

import os
import re
import signal
import sys
import time

import pytest
from running import TINY, begin, call, left_in

from pipeline import rundir
from pipeline.sweep import slurm

JOBLIB = "hydra/launcher=joblib hydra.launcher.n_jobs=2"
LONG = f"{TINY} trainer.max_epochs=150 architecture.block=CNAP"
LOCAL = "hydra/launcher=submitit_local"  # submitit's own stand-in for a scheduler

# Stand-ins for SLURM's own commands: sbatch runs the array's jobs one after the other, in the background.
SBATCH = """#!{python}
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
open("{folder}/sbatch.log", "a").write(script)
jobs = int(re.search(r"--array=0-([0-9]+)", script)[1]) + 1
if os.fork() == 0:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    for task in range(jobs):
        more = dict(SLURM_JOB_ID=str(100 + task), SLURM_ARRAY_JOB_ID="77", SLURM_ARRAY_TASK_ID=str(task),
                    SLURM_NTASKS="1", SLURM_JOB_NUM_NODES="1", SLURM_NODEID="0", SLURM_PROCID="0", SLURM_LOCALID="0",
                    SLURM_JOB_NODELIST="node1")
        subprocess.run(["bash", sys.argv[-1]], env=os.environ | more)
    os._exit(0)
print("Submitted batch job 77")
"""
SRUN = """#!{python}
import os, sys

command = sys.argv[1:]
while command and command[0].startswith("-"):
    del command[: 2 if command[0] in ("--output", "--error") and "=" not in command[0] else 1]
os.execvp(command[0], command)
"""
# No accounts are kept; the queue names all jobs until they have ended for minutes.
SACCT = "#!/bin/sh\necho Slurm accounting storage is disabled >&2; exit 1\n"
SQUEUE = "#!/bin/sh\necho 77_0 RUNNING; echo 77_1 PENDING\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_slurm_up_to_the_scheduler(workdir, tmp_path, monkeypatch):
    """Real submitit and real jobs; only the scheduler's commands are made up."""
    (tmp_path / "bin").mkdir()
    made_up = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "squeue": SQUEUE, "scancel": "#!/bin/sh\n"}
    for name, text in made_up.items():
        (tmp_path / "bin" / name).write_text(text.format(python=sys.executable, folder=tmp_path))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    line = f"-m {TINY} seed=0,1 dir=sweep output=json hydra/launcher=slurm hydra.launcher.partition=short"
    done = call(workdir, "train", line, 500)
    assert done.code == 0, done.err
    assert [run["status"] for run in done.document["runs"]] == ["finished", "finished"]
    assert not re.search("sacct|srun|account", done.err), done.err
    said = (tmp_path / "sbatch.log").read_text()
    for wanted in ("--partition=short", "--cpus-per-task=2", "--array=0-1%2", "--signal=USR2@60", "--time=240"):
        assert wanted in said, said
    assert (workdir / "sweep" / "submitit").is_dir()
    assert "submitit" not in left_in(workdir)


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Put a made-up program on the path: on_path("srun", "echo hello")."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def add(name, shell):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{shell}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    return add


NO_ACCOUNTS = "echo Slurm accounting storage is disabled >&2; exit 1"


def watcher():
    found = slurm.Watcher()
    for job in ("77_0", "77_1"):
        found.register_job(job)
    return found


def test_without_accounts_the_queue_says_what_became_of_a_job(on_path, capfd):
    on_path("sacct", NO_ACCOUNTS)
    on_path("squeue", "echo 77_0 CONFIGURING; echo 77_1 CANCELLED")
    found = watcher()
    assert [found.is_done(job, mode="force") for job in ("77_0", "77_1")] == [False, True]
    on_path("squeue", "echo 77_1 CANCELLED")  # 77_0 has left it
    found.update()
    assert found.is_done("77_0", mode="cache")
    on_path("squeue", "echo slurm_load_jobs error: Invalid job id specified >&2; exit 1")
    found = watcher()
    assert [found.is_done(job, mode="force") for job in ("77_0", "77_1")] == [True, True]
    assert capfd.readouterr() == ("", "")


def test_with_accounts_they_say_it(on_path, capfd):
    on_path("sacct", "printf 'JobID|State|NodeList\\n77_0|RUNNING|n1\\n77_1|FAILED|n1\\n'")
    found = watcher()
    assert [found.get_state(job, mode="force") for job in ("77_0", "77_1")] == ["RUNNING", "FAILED"]
    assert capfd.readouterr() == ("", "")


def test_a_scheduler_that_does_not_answer_is_said_once_and_waited_for(on_path, capfd):
    on_path("sacct", NO_ACCOUNTS)
    on_path("squeue", "echo Unable to contact slurm controller >&2; exit 1")
    found = watcher()
    for _ in range(3):
        found.update()
    assert not found.is_done("77_0", mode="cache")
    said = "mind: SLURM does not say how its jobs are: Unable to contact slurm controller\n"
    assert capfd.readouterr() == ("", said)


def test_nothing_is_said_of_an_srun_that_is_there_and_not_used(command, on_path):
    on_path("srun", "exit 1")
    done = command("train", f"{TINY} dir=run")
    assert done.code == 0, done.err
    assert "srun" not in done.out + done.err


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["-m seed=0,1 trainer=ddp_cpu", f"-m seed=0,1 {JOBLIB}"], ids=["ranks", "workers"])
def test_nor_by_other_processes(engine, workdir, on_path):
    on_path("srun", "exit 1")
    done = call(workdir, "train", f"{engine} {TINY} dir=sweep")
    assert done.code == 0, done.err
    ranks = [path.read_text() for path in (workdir / "sweep").glob("*/ranks/**/*.log")]
    assert len(ranks) == (8 if "ddp" in engine else 0)
    assert "srun" not in "".join([done.out, done.err, *ranks])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_at_its_time_limit_is_queued_again(workdir):
    """submitit sends SIGUSR2 before the scheduler ends the job; its stand-in for a scheduler starts it again."""
    process = begin(workdir, f"-m {LONG} seed=0 dir=sweep output=json {LOCAL}")
    run = workdir / "sweep" / "000_seed-0"
    end = time.monotonic() + 200
    while not (run / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    os.kill(rundir.get_status(run).pid, signal.SIGUSR2)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert (rundir.get_status(run).status, rundir.get_status(run).resumed) == ("finished", 1)
