"""GPUs are dealt out so that no two runs share one: real processes and real kills, a made-up list of GPUs."""

import os
import subprocess
import sys
import time

import pytest

from pipeline.config.trainer import Trainer
from pipeline.errors import InputError
from pipeline.run import devices

HOLD = """
import sys
from pipeline.run import devices
with devices.dealt(int(sys.argv[1]), sys.argv[2:]) as got:
    print(*(sys.argv[2 + i] for i in got), flush=True)
    sys.stdin.readline()
"""

# Each one of several notes, for a moment, what it holds.
USE = """
import os, sys, time
from pipeline.run import devices
for _ in range(5):
    with devices.dealt(int(sys.argv[2]), sys.argv[3:]) as got:
        for index in got:
            os.close(os.open(f"{sys.argv[1]}/{index}", os.O_CREAT | os.O_EXCL))
        time.sleep(0.05)
        for index in got:
            os.unlink(f"{sys.argv[1]}/{index}")
"""


@pytest.fixture
def started(tmp_path):
    """Start a process that runs `code`; all are gone at the end."""
    processes = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_each_process_gets_a_gpu_of_its_own_and_a_killed_one_lets_go(started):
    first, second = started(HOLD, 1, "A", "B"), started(HOLD, 1, "A", "B")
    held = {first.stdout.readline().strip(): first, second.stdout.readline().strip(): second}
    assert sorted(held) == ["A", "B"]
    third = started(HOLD, 1, "A", "B")
    assert third.stderr.readline() == "waiting for 1 of 2 GPUs: other runs hold them\n"
    held["B"].kill()
    began = time.monotonic()
    assert third.stdout.readline() == "B\n"
    assert time.monotonic() - began < 5


def test_a_gpu_is_known_by_its_name_whatever_its_index(started):
    """SLURM shows each job its own GPU as number 0."""
    first = started(HOLD, 1, "A")
    assert first.stdout.readline() == "A\n"
    assert started(HOLD, 1, "B").stdout.readline() == "B\n"
    third = started(HOLD, 1, "A")
    assert "waiting for 1 of 1" in third.stderr.readline()
    first.communicate("\n")
    assert third.stdout.readline() == "A\n"


def test_several_at_once_or_none(started):
    one = started(HOLD, 1, "A", "B")
    assert one.stdout.readline() == "A\n"
    two = started(HOLD, 2, "A", "B")
    assert "waiting for 2 of 2" in two.stderr.readline()
    other = started(HOLD, 1, "B")  # what the waiting one could have had stays free
    assert other.stdout.readline() == "B\n"
    one.communicate("\n")
    other.communicate("\n")
    assert two.stdout.readline() == "A B\n"


def test_never_shared_and_never_stuck(started, tmp_path):
    (tmp_path / "held").mkdir()
    processes = [started(USE, tmp_path / "held", count, "A", "B", "C") for count in (1, 1, 2, 3)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, "Error" in err) == (0, False), err


def test_more_than_there_are_is_refused():
    with (
        pytest.raises(InputError, match=r"trainer\.devices=3: this machine has 2 GPUs"),
        devices.dealt(3, ["A", "B"]),
    ):
        pass


def test_without_gpus_nothing_is_dealt():
    with devices.dealt(0) as got:
        assert got == []


@pytest.mark.parametrize(
    ("before", "indices", "after"),
    [(None, [1], "1"), ("4,7", [1], "7"), ("GPU-a,GPU-b,GPU-c", [0, 2], "GPU-a,GPU-c")],
)
def test_children_see_what_they_were_dealt(before, indices, after, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    assert devices.visible(indices) == {"CUDA_VISIBLE_DEVICES": after}
    assert devices.visible([]) == {}


@pytest.mark.parametrize(
    ("trainer", "gpus", "cores"),
    [
        (Trainer(threads=1), 0, 1),
        (Trainer(threads=2), 0, 2),
        (Trainer(threads=1, devices=2), 0, 2),
        (Trainer(accelerator="gpu", threads=1), 4, 4),  # of 16: four at a time
        (Trainer(accelerator="gpu", threads=1, devices=3), 4, 12),
        (Trainer(accelerator="gpu", threads=1), 0, 16),
    ],
)
def test_how_many_cores_a_run_takes(trainer, gpus, cores, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert devices.cores_of(trainer, 16) == cores
