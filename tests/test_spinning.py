"""Threads that wait for each other spin where they are alone, and sleep where others want the cores."""

import os
import subprocess
import sys
import threading

import pytest

from pipeline import spinning

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what threads wait")

# A team of two has worked, and waits for more work for half a second: how much of it awake?
SPIN = """
import resource, time
import torch
from pipeline.spinning import _Sleepers

torch.set_num_threads(2)

def awake():
    torch.zeros(1 << 20).add_(1)
    began = time.process_time()
    time.sleep(0.5)
    return time.process_time() - began

first = awake()
sleepers = _Sleepers()
time.sleep(1)
crowded = awake()
sleepers.end()
print(first, crowded, awake())
"""

TRAINS = """
import sys, threading, time
from pipeline.beginning import begin
begin()
import torch
torch.set_num_threads(len(sys.argv[1]))
x, end = torch.randn(700, 700), time.monotonic() + 60
while time.monotonic() < end and not any(one.name == "sleepers" for one in threading.enumerate()):
    x = torch.tanh(x @ x)
print([one.name for one in threading.enumerate()])
"""


def test_more_threads_than_cores_make_all_of_them_sleep():
    """What libgomp's manual says of GOMP_SPINCOUNT, on which all depends."""
    environment = os.environ | {"GOMP_SPINCOUNT": "1000000000"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run([sys.executable, "-c", SPIN], env=environment, capture_output=True, text=True, check=True)
    first, crowded, last = map(float, done.stdout.split())
    assert crowded < 0.05 < 0.1 < min(first, last), done.stdout


def test_a_process_beside_others_finds_that_it_waits():
    cores = len(os.sched_getaffinity(0))
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores)]
    try:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        command = [sys.executable, "-c", TRAINS, "x" * max(2, cores)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert "sleepers" in done.stdout


class Clock:
    """Time that passes when somebody sleeps; /proc's numbers by a script: shares of running and waiting."""

    def __init__(self, script):
        self.script, self.now, self.times = list(script), 0, [(0, 0), (0, 0)]

    def sleep(self, seconds):
        self.now += int(seconds * 1e9)

    def perf_counter_ns(self):
        return self.now

    def look(self):
        passed = spinning.LOOK_EVERY_S * 1e9
        self.times = [
            (ran + int(passed * runs), waited + int(passed * waits))
            for (ran, waited), (runs, waits) in zip(self.times, self.script.pop(0), strict=True)
        ]
        return dict(enumerate(self.times))


ALONE = ((0.99, 0.01), (0.98, 0.02))
CROWDED = ((0.6, 0.4), (0.6, 0.4))


@pytest.mark.parametrize(
    ("script", "slept"),
    [
        ([ALONE] * 4, [0, 0, 0, 0]),
        ([CROWDED] * 4, [1, 1, 1, 1]),
        ([CROWDED, *[ALONE] * 8], [1, 1, 1, 1, 1, 1, 0, 0, 0]),
        # five calm moments are too few
        ([CROWDED, *[ALONE] * 5, CROWDED, *[ALONE] * 2], [1] * 9),
        # a thread by itself waits for nobody
        ([((0.6, 0.4), (0.0, 0.0))] * 3, [0, 0, 0]),
        # nor does one that has little to do, however long it waits to do it
        ([((1.0, 0.0), (0.1, 0.3))] * 3, [0, 0, 0]),
        # but where threads sleep, one may be all that is seen to wait
        ([CROWDED, *[((0.6, 0.4), (0.2, 0.2))] * 8], [1] * 9),
    ],
)
def test_when_threads_sleep(script, slept):
    clock = Clock([((0, 0), (0, 0)), *script])
    looks = spinning._looks(clock.look, clock)
    assert [next(looks) for _ in script] == [bool(one) for one in slept]


def test_one_thread_for_each_process():
    assert spinning.considerate()
    assert spinning.considerate()
    assert sum(one.name == "spinning" for one in threading.enumerate()) == 1


CRAMPED = """
import resource, threading
from pipeline import spinning
print(spinning._room())
{limit}
print(spinning._room(), spinning.considerate(), threading.active_count())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="as another user, of whom nothing else runs")
def test_no_thread_is_asked_for_where_none_may_be():
    """libgomp ends the process then."""
    limit = "import os; resource.setrlimit(resource.RLIMIT_NPROC, (1, 1)); os.setgid(54321); os.setuid(54321)"
    command = [sys.executable, "-c", CRAMPED.format(limit=limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\nFalse False 1\n", "")
