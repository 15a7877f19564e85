"""SLURM: a real one of two nodes, and stand-ins for its commands where they say what a real one says seldom."""

import contextlib
import os
import re
import signal
import sys
import threading
import time

import psutil
import pytest
from hosts import ADDRESSES, two_hosts
from run_state import ledger, states
from running import TINY, Done, begin, call, left_in, refused
from slurm_cluster import NODES, free_port, slurm, wait_for, why_not

from pipeline import rundir
from pipeline.sweep import slurm as jobs

JOBLIB = "hydra/launcher=joblib hydra.launcher.n_jobs=2"
BASIC = "hydra/launcher=basic"
SLURM = "hydra/launcher=slurm hydra.launcher.cpus_per_task=1"
LONG = f"{TINY} trainer.max_epochs=150 architecture.block=CNAP"  # some seconds after the first epoch


@pytest.fixture(scope="module")
def controller():
    """A SLURM of two nodes, where there can be one."""
    if reason := why_not():
        pytest.skip(reason)
    with slurm() as cluster:
        yield cluster


@pytest.fixture
def cluster(controller, workdir, monkeypatch):
    """The same for one test, which leaves no job in it; commands and workdir are those of a login node."""
    monkeypatch.setenv("SLURM_CONF", str(controller.conf))
    yield controller
    controller.says("scancel", "--signal=KILL", "--full", "--me")
    controller.says("scancel", "--me")
    for node in NODES:
        if controller.daemons[node].poll() is not None:
            controller.begin_node(node)
    wait_for(lambda: controller.states() == dict.fromkeys(NODES, "idle"), controller.log, 120)


def said_by_jobs(sweep):
    """All that they said."""
    return "".join(path.read_text() for path in sorted(sweep.glob("submitit/*/*_log.*")))


def ended(process, timeout_s=300):
    out, err = process.communicate(timeout=timeout_s)
    return Done(process.returncode, out, err)


def under_way(process, sweep, count):
    """Until so many runs of the sweep have a checkpoint."""

    def true():
        assert process.poll() is None, process.communicate()
        return len(list(sweep.glob("*/checkpoints/last.ckpt"))) >= count

    wait_for(true, lambda: said_by_jobs(sweep), 200)


def job_of(sweep, run):
    """SLURM's number of the job that trains a run, by the process that does."""
    with open(f"/proc/{rundir.get_status(sweep / run).pid}/environ") as file:
        environ = dict(line.split("=", 1) for line in file.read().split("\0") if "=" in line)
    return environ["SLURM_ARRAY_JOB_ID"] + "_" + environ["SLURM_ARRAY_TASK_ID"], environ["SLURMD_NODENAME"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What three long runs come to, one after the other in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = call(folder, "train", f"-m {LONG} seed=0,1,2 dir=sweep {BASIC}", 600)
    assert done.code == 0, done.err
    return states(folder / "sweep")


# ---- a real one


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seeds", "per_job", "count"), [(2, 1, 2), (12, 7, 2)], ids=["one", "many"])
def test_a_sweep_of_a_run_for_each_job_and_of_many(seeds, per_job, count, cluster, workdir):
    line = f"-m {TINY} seed={','.join(map(str, range(seeds)))} output=json"
    alone = call(workdir, "train", f"{line} dir=alone {BASIC}")
    assert alone.code == 0, alone.err
    began = time.monotonic()
    more = f"hydra.launcher.partition=short hydra.launcher.runs_per_job={per_job}"
    done = call(workdir, "train", f"{line} dir=sweep {SLURM} {more}", 500)
    print(f"{seeds} runs in {time.monotonic() - began:.0f} s")
    assert done.code == 0, done.err
    assert [run["status"] for run in done.document["runs"]] == ["finished"] * seeds
    assert states(workdir / "sweep") == states(workdir / "alone")
    assert not re.search("sacct|srun|account|queue", done.err), done.err
    assert not re.search("Warning|srun", said_by_jobs(workdir / "sweep")), said_by_jobs(workdir / "sweep")
    (script,) = (workdir / "sweep" / "submitit").glob("*/*_submission.sh")
    asked = (
        "--partition=short",
        "--cpus-per-task=1",
        f"--array=0-{count - 1}%{count}",
        "--signal=USR2@60",
        "--time=240",
    )
    assert [one for one in asked if one not in script.read_text()] == []
    assert len(list((workdir / "sweep" / "submitit").glob("[0-9]*_[0-9]*"))) == count
    assert sorted(path.name for path in workdir.iterdir()) == ["alone", "prepared", "sweep"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cancelled_job_costs_its_run_alone(undisturbed, cluster, workdir):
    line = f"-m {LONG} seed=0,1,2 dir=sweep output=json"
    process = begin(workdir, f"{line} {SLURM}")
    under_way(process, workdir / "sweep", 2)
    cluster.says("scancel", job_of(workdir / "sweep", "000_seed-0")[0])
    done = ended(process)
    assert done.code == 75, done.err
    assert [run["status"] for run in done.document["runs"]] == ["interrupted", "finished", "finished"]
    assert "Traceback" not in done.err
    done = call(workdir, "train", f"{line} {SLURM}")
    assert done.code == 0, done.err
    assert states(workdir / "sweep") == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_cancelled_before_it_began_is_told(cluster, workdir):
    """As by an administrator, or for want of what it asks for."""
    process = begin(
        workdir,
        f"-m {TINY} seed=0,1 dir=sweep output=json {SLURM} +hydra.launcher.additional_parameters.hold=true",
    )
    wait_for(lambda: len(cluster.says("squeue", "-h", "-r").splitlines()) == 2, cluster.log)
    cluster.says("scancel", "--me")
    done = ended(process)
    assert done.code == 75, done.err
    assert (
        len(re.findall(r"job \d+_[01] ended without a result \((CANCELLED|no longer in the queue)\)", done.err)) == 3
    ), done.err
    assert [run["status"] for run in done.document["runs"]] == ["missing", "missing"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_at_its_time_limit_is_queued_again(undisturbed, cluster, workdir):
    """SLURM counts in minutes, and looks every half of one: its signal comes 25 to 55 s after the job began."""
    limit = "hydra.launcher.timeout_min=1 hydra.launcher.signal_delay_s=5"
    process = begin(workdir, f"-m {LONG} seed=0 dir=sweep output=json {SLURM} {limit}")
    with no_delay(cluster):
        under_way(process, workdir / "sweep", 1)
        run = psutil.Process(rundir.get_status(workdir / "sweep" / "000_seed-0").pid)
        run.suspend()  # until then it takes no core; SLURM sends SIGCONT before its signal
        done = ended(process, 400)
    assert done.code == 0, done.err
    status = rundir.get_status(workdir / "sweep" / "000_seed-0")
    assert status.status == "finished"
    assert status.resumed >= 1
    assert states(workdir / "sweep") == {"000_seed-0": undisturbed["000_seed-0"]}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_goes_down_and_comes_back_loses_nothing(undisturbed, cluster, workdir):
    process = begin(workdir, f"-m {LONG} seed=0,1,2 dir=sweep output=json {SLURM}")
    under_way(process, workdir / "sweep", 2)
    _, node = job_of(workdir / "sweep", "000_seed-0")
    cluster.kill_node(node)
    wait_for(lambda: cluster.states()[node].startswith("down"), cluster.log, 120)
    cluster.begin_node(node)
    with no_delay(cluster):
        done = ended(process)
    assert done.code == 0, done.err
    assert [run["status"] for run in done.document["runs"]] == ["finished"] * 3
    assert rundir.get_status(workdir / "sweep" / "000_seed-0").resumed == 1
    assert states(workdir / "sweep") == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_stopped_and_taken_up_without_slurm(undisturbed, cluster, workdir):
    """What trains saves itself, what waits is taken off the queue."""
    line = f"-m {LONG} seed=0,1,2 dir=sweep output=json"
    process = begin(workdir, f"{line} {SLURM}")
    under_way(process, workdir / "sweep", 2)
    process.send_signal(signal.SIGTERM)
    done = ended(process, 100)
    assert done.code == 75, done.err
    assert set(ledger(workdir / "sweep").values()) == {"interrupted"}
    wait_for(lambda: not cluster.says("squeue", "-h"), cluster.log)
    done = call(workdir, "train", f"{line} hydra.launcher.cores=2", 600)
    assert done.code == 0, done.err
    assert states(workdir / "sweep") == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_under_srun_train_one_run(cluster, workdir):
    """As docs/scale.md says, on two nodes, each with an address of its own."""
    line = f"{TINY} trainer.max_epochs=3 output=json"
    alone = call(workdir, "train", f"{line} trainer=ddp_cpu dir=alone")
    assert alone.code == 0, alone.err
    meeting = f"trainer.num_nodes=2 trainer.rdzv_endpoint={ADDRESSES[0]}:{free_port()}"
    train = f"{sys.executable} -m pipeline.train {line} trainer=ddp_cpu trainer.devices=1 {meeting} dir=run"
    with two_hosts() as hosts:
        on_host = f"hosts=({' '.join(hosts)}); exec ip netns exec ${{hosts[$SLURM_NODEID]}}"
        srun = ["srun", "--nodes=2", "--ntasks-per-node=1", "--label", "bash", "-c", f"{on_host} {train}"]
        said = cluster.says(*srun, timeout_s=300)
    assert states(workdir)["run"] == states(workdir)["alone"], said


@contextlib.contextmanager
def no_delay(cluster):
    """SLURM begins what is queued again two minutes later; an administrator can say: now."""
    over = threading.Event()

    def hurry():
        while not over.wait(1):
            for job in cluster.says("squeue", "-h", "-r", "-t", "PENDING", "-o", "%i %r").splitlines():
                if job.endswith("BeginTime"):
                    with contextlib.suppress(AssertionError):  # it is still completing: the next round
                        cluster.says("scontrol", "update", f"JobId={job.split()[0]}", "StartTime=now")

    thread = threading.Thread(target=hurry)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# ---- stand-ins


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
    found = jobs.Watcher()
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


@pytest.mark.parametrize("count", ["0", "many"])
def test_a_number_of_runs_that_is_none(count, command, on_path, workdir):
    on_path("sbatch", "exit 1")
    on_path("srun", "exit 1")
    done = command("train", f"-m {TINY} seed=0,1 hydra/launcher=slurm hydra.launcher.runs_per_job={count}")
    refused(done, f"hydra.launcher.runs_per_job={count}", "at least 1")
    assert left_in(workdir) == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["-m seed=0,1 trainer=ddp_cpu", f"-m seed=0,1 {JOBLIB}"], ids=["ranks", "workers"])
def test_nor_by_other_processes(engine, workdir, on_path):
    on_path("srun", "exit 1")
    done = call(workdir, "train", f"{engine} {TINY} dir=sweep")
    assert done.code == 0, done.err
    ranks = [path.read_text() for path in (workdir / "sweep").glob("*/ranks/**/*.log")]
    assert len(ranks) == (8 if "ddp" in engine else 0)
    assert "srun" not in "".join([done.out, done.err, *ranks])
