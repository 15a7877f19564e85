"""Ray on two nodes, hosts with addresses of their own, one of which is killed."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hosts import ADDRESSES, cut_power, on, two_hosts
from run_state import ledger, states
from running import TINY, Done, begin, call

from pipeline import rundir

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = f"{TINY} trainer.max_epochs=150 architecture.block=CNAP seed=0,1,2 output=json"
PORT = 6379
RAY = f"hydra/launcher=ray hydra.launcher.ray.init.address={ADDRESSES[0]}:{PORT}"


@pytest.fixture
def cluster(monkeypatch):
    """The names of its two hosts, one core each, and what switches the second one on (again)."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # Ray's own default depends on whether the user has a token already
    monkeypatch.setenv("RAY_AUTH_TOKEN", os.urandom(32).hex())
    with two_hosts() as hosts, contextlib.ExitStack() as held:
        folder = Path(tempfile.mkdtemp(prefix="ray"))  # under pytest's the names of its sockets would be too long
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        log = held.enter_context(open(folder / "log", "w"))
        for name in hosts:
            held.callback(cut_power, name)

        def switch_on(name, address, *words):
            line = [Path(sys.executable).with_name("ray"), "start", f"--node-ip-address={address}", "--num-cpus=1"]
            line += [*words, "--object-store-memory=80000000", "--disable-usage-stats"]
            done = subprocess.run([*on(name), *line], stdout=log, stderr=log, timeout=120, cwd=folder)
            assert done.returncode == 0, (folder / "log").read_text()

        first, second = hosts
        switch_on(first, ADDRESSES[0], "--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={folder}")

        def add():
            switch_on(second, ADDRESSES[1], f"--address={ADDRESSES[0]}:{PORT}")

        add()
        yield first, second, add


def host_of(run):
    """The name of the host that trains a run."""
    pid = rundir.get_status(run).pid
    return subprocess.run(["ip", "netns", "identify", str(pid)], capture_output=True, text=True).stdout.strip()


def test_a_killed_node_loses_nothing(cluster, workdir):
    alone = call(workdir, "train", f"-m {LONG} dir=alone hydra/launcher=basic", 600)
    assert alone.code == 0, alone.err
    first, second, add = cluster
    process = begin(workdir, f"-m {LONG} dir=sweep {RAY}", *on(first))
    sweep, end = workdir / "sweep", time.monotonic() + 200
    while len(list(sweep.glob("*/checkpoints/last.ckpt"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    under_way = [run for run in sweep.glob("00*") if rundir.get_status(run).status == "running"]
    assert {host_of(run) for run in under_way} == {first, second}
    began = time.monotonic()
    cut_power(second)
    done = Done(0, *process.communicate(timeout=200))
    print(f"ended {time.monotonic() - began:.1f} s after the node was killed")
    print(done.err, ledger(sweep))
    assert process.returncode == 75, done.err
    assert "Traceback" not in done.err
    add()
    again = Done(0, *begin(workdir, f"-m {LONG} dir=sweep {RAY}", *on(first)).communicate(timeout=300))
    assert [run["status"] for run in again.document["runs"]] == ["finished"] * 3, again.err
    assert states(sweep) == states(workdir / "alone")
