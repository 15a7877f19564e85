"""Two hosts train one run together."""

import contextlib
import os
import signal
import subprocess
import time

import psutil
import pytest
import torch
from hosts import ADDRESSES, ip, on, two_hosts
from run_state import state
from running import Done, begin, call

from pipeline import rundir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LINE = (
    "data.limit_train=256 trainer.threads=1 trainer.precision=32-true architecture.filters=[4,8] augmentation=affine "
    "tracking=none output=json"
)
MEETING = f"trainer.num_nodes=2 trainer.rdzv_endpoint={ADDRESSES[0]}:29511 dir=run"


@pytest.fixture
def hosts():
    """The names of two network namespaces that reach each other, and nothing else."""
    with two_hosts() as found:
        yield found


def start(folder, name, line):
    """`python -m pipeline.train <line>` on the host `name`."""
    return begin(folder, line, *on(name))


def ended(process, timeout_s=300):
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    return Done(process.returncode, out, err)


def kill(process):
    """The whole host, as far as it is ours: no process of it is left to say goodbye."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL)


def trained(folder, epochs, processes):
    """Until the run has a checkpoint of an epoch, and `epochs` rows."""
    end = time.monotonic() + 240
    while len(list(rundir.metric_rows(folder / "run"))) < epochs:
        assert time.monotonic() < end
        assert all(process.poll() is None for process in processes), [ended(process) for process in processes]
        time.sleep(0.1)


def both(folder, hosts, line):
    return [ended(process) for process in [start(folder, name, line) for name in hosts]]


def test_two_hosts_train_what_one_trains(hosts, workdir):
    alone = call(workdir, "train", f"{LINE} trainer.max_epochs=2 trainer=ddp_cpu dir=alone")
    assert alone.code == 0, alone.err
    done = both(workdir, hosts, f"{LINE} trainer.max_epochs=2 {MEETING}")
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    assert done[0].document == done[1].document
    assert done[0].document["metrics"] == alone.document["metrics"]
    assert state(workdir / "run") == state(workdir / "alone")
    assert rundir.get_status(workdir / "run").resumed == 0


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_host_ends_the_run_and_the_same_command_resumes_it(victim, hosts, workdir):
    """The first host is where they meet; which one leads is open."""
    epochs = "trainer.max_epochs=40"
    alone = call(workdir, "train", f"{LINE} {epochs} trainer=ddp_cpu dir=alone")
    assert alone.code == 0, alone.err
    processes = [start(workdir, name, f"{LINE} {epochs} {MEETING}") for name in hosts]
    trained(workdir, 3, processes)
    began = time.monotonic()
    kill(processes[victim])
    ended(processes[victim])
    left = ended(processes[1 - victim])
    took = time.monotonic() - began
    print(f"ended {took:.1f} s after the other host was killed")
    assert took < 60
    assert left.code == 75, left.err
    assert rundir.get_status(workdir / "run").status == "interrupted"
    done = both(workdir, hosts, f"{LINE} {epochs} {MEETING}")
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    assert rundir.get_status(workdir / "run").resumed == 1
    assert state(workdir / "run") == state(workdir / "alone")


def test_an_unplugged_host_is_given_up_in_time(hosts, workdir):
    """No goodbye of the kernel either: as after a power cut."""
    line = f"{LINE} trainer.max_epochs=200 trainer.sync_timeout_s=20 {MEETING}"
    processes = [start(workdir, name, line) for name in hosts]
    trained(workdir, 2, processes)
    name, cable = list(hosts.items())[1]
    ip("-n", name, "link", "set", cable, "down")
    began = time.monotonic()
    kill(processes[1])
    ended(processes[1])
    left = ended(processes[0])
    took = time.monotonic() - began
    print(f"ended {took:.1f} s after the other host was unplugged")
    assert took < 20 + 60
    assert left.code == 75, left.err
    assert rundir.get_status(workdir / "run").status == "interrupted"


def test_a_host_that_comes_back_is_taken_in_again(hosts, workdir):
    line = f"{LINE} trainer.max_epochs=40 trainer.max_restarts=1 {MEETING}"
    first, second = hosts
    processes = [start(workdir, first, line)]
    while rundir.get_status(workdir / "run").status != "running":
        time.sleep(0.1)  # so that the first one leads
    processes.append(start(workdir, second, line))
    trained(workdir, 3, processes)
    kill(processes[1])
    ended(processes[1])
    back = start(workdir, second, line)
    done = [ended(processes[0]), ended(back)]
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    alone = call(workdir, "train", f"{LINE} trainer.max_epochs=40 trainer=ddp_cpu dir=alone")
    assert alone.code == 0, alone.err
    assert state(workdir / "run") == state(workdir / "alone")


@pytest.mark.parametrize("asked", [0, 1])
def test_sigterm_on_one_host_stops_both_in_good_order(asked, hosts, workdir):
    processes = [start(workdir, name, f"{LINE} trainer.max_epochs=200 {MEETING}") for name in hosts]
    trained(workdir, 2, processes)
    began = time.monotonic()
    for child in psutil.Process(processes[asked].pid).children() or [psutil.Process(processes[asked].pid)]:
        if "pipeline.train" in child.cmdline():
            child.send_signal(signal.SIGTERM)
            break
    else:
        os.kill(processes[asked].pid, signal.SIGTERM)  # `ip netns exec` became the command itself
    done = [ended(process) for process in processes]
    print(f"both ended {time.monotonic() - began:.1f} s after the signal")
    assert time.monotonic() - began < 60
    assert [one.code for one in done] == [75, 75], [one.err for one in done]
    found = torch.load(workdir / "run/checkpoints/last.ckpt", weights_only=True)
    assert found["global_step"] > 2 * 8
    assert rundir.get_status(workdir / "run").status == "interrupted"
