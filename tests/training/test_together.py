"""Processes of one machine give each other what they have by memory that they share."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.together import Shared

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="its order of writes is that of x86")
TURNS = 2000


@pytest.fixture
def file():
    made = os.memfd_create("test")
    yield made
    os.close(made)


def together(file, world, work, most_bytes=4096, timeout_s=60.0):
    """`work(shared, out)` in each of `world` processes; returns them, and the queue of what they found."""
    fork = multiprocessing.get_context("fork")
    out = fork.Queue()

    def one(rank):
        torch.set_num_threads(1)
        ready.wait()
        shared = Shared(file, rank, world, most_bytes, timeout_s)
        ready.wait()  # all have their locks
        work(shared, out)

    ready = fork.Barrier(world)
    processes = [fork.Process(target=one, args=(rank,)) for rank in range(world)]
    for process in processes:
        process.start()
    return processes, out


def ends(processes):
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def given_by(rank, turn, size):
    return torch.full((size,), float(turn * 10 + rank))


@pytest.mark.parametrize("world", [2, 3])
def test_each_gets_what_all_give_in_every_turn(world, file):
    """Turns of other sizes follow each other, and who is late is late at random."""

    def work(shared, out):
        late = random.Random(shared.rank)
        wrong = 0
        for turn in range(TURNS):
            size = 1000 if turn % 2 else 3
            if late.random() < 0.01:
                time.sleep(0.03)  # longer than anyone waits awake
            found = shared.gather(given_by(shared.rank, turn, size))
            wrong += [one.tolist() for one in found] != [given_by(r, turn, size).tolist() for r in range(world)]
        out.put(wrong)

    processes, out = together(file, world, work)
    assert [out.get(timeout=60) for _ in range(world)] == [0] * world
    assert ends(processes) == [0] * world


@given(shape=st.lists(st.integers(1, 5), max_size=3), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
@settings(max_examples=20)
def test_shapes_and_types_stay(shape, dtype):
    file = os.memfd_create("test")
    value = torch.randn(shape).to(dtype)
    (found,) = Shared(file, 0, 1, value.nbytes, 1.0).gather(value)
    assert found.dtype == dtype
    assert torch.equal(found, value)


def test_who_is_killed_is_missed(file):
    def work(shared, out):
        shared.gather(torch.zeros(1))
        if shared.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        with pytest.raises(RuntimeError, match="process 1 is gone"):
            shared.gather(torch.zeros(1))
        out.put("missed")

    began = time.monotonic()
    processes, out = together(file, 2, work)
    assert out.get(timeout=60) == "missed"
    assert ends(processes) == [0, -signal.SIGKILL]
    assert time.monotonic() - began < 30


def test_who_is_silent_is_given_up_in_time(file):
    def work(shared, out):
        shared.gather(torch.zeros(1))
        if shared.rank == 1:
            time.sleep(5)
            return
        began = time.monotonic()
        with pytest.raises(RuntimeError, match=r"process 1 did not come within 3 s \(trainer.sync_timeout_s\)"):
            shared.gather(torch.zeros(1))
        out.put(time.monotonic() - began)

    processes, out = together(file, 2, work, timeout_s=3.0)
    assert 3 <= out.get(timeout=60) < 6
    assert ends(processes) == [0, 0]


def test_who_waits_long_sleeps(file):
    def work(shared, out):
        if shared.rank == 1:
            time.sleep(3)
        before = time.process_time()
        shared.gather(torch.zeros(1))
        out.put((shared.rank, time.process_time() - before))

    processes, out = together(file, 2, work)
    cost = dict(out.get(timeout=60) for _ in range(2))
    assert ends(processes) == [0, 0]
    assert cost[0] < 1.0  # of three seconds
