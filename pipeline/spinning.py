"""How the threads of a computation wait for each other: awake where they have their cores to themselves, else asleep.

OpenMP's threads wait for the next piece of work by spinning, for milliseconds. Alone that is worth 1 to 10 % of the
notes' CNN's images/s, since a core that slept is slow to wake. Beside any other process it costs 2 to 15 times the
time: one spins for another that has no core. GNU's libgomp, which torch comes with, spins 300,000 times, and 100 times
where there are more of its threads than cores (GOMP_SPINCOUNT in its manual). So it is given such threads, asleep, as
long as ours wait for cores: two runs at once then have 1.15 times the images/s of a short spin, and one alone loses
nothing (docs/lab-notes.md). No bits depend on it.
"""

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LOOK_EVERY_S = 0.5
CROWDED = 0.1  # of the time that a busy thread wants a core: alone 0.01 to 0.03, beside one other process 0.4
CALM_LOOKS = 6  # in a row, before threads spin again
BUSY = 0.5  # of the time, running or waiting for a core
MOST_CORES = 32  # as many sleepers are needed, of each process; where cores are many, runs seldom meet

Times = dict[str, tuple[int, int]]  # a thread -> nanoseconds that it ran, and that it waited for a core

_watched = 0  # the process that has a watching thread; a fork of it has none


def considerate() -> bool:
    """Have a thread of this process see to it from now on.

    False where that cannot be: the system does not tell what threads wait, or there are too many cores.
    """
    global _watched
    if not any(ran for ran, _ in _times().values()) or len(os.sched_getaffinity(0)) > MOST_CORES:
        return False
    if _watched != os.getpid():
        try:
            threading.Thread(target=_watch, name="spinning", daemon=True).start()
        except RuntimeError:  # no more threads are allowed
            return False
        _watched = os.getpid()
    return True


def _watch() -> None:
    sleepers: _Sleepers | None = None
    for crowded in _looks(_times, time):
        if crowded and not sleepers:
            if not _room():
                return
            sleepers = _Sleepers()
        elif sleepers and not crowded:
            sleepers.end()
            sleepers = None


def _looks(times: Callable[[], Times], clock: Any) -> Iterator[bool]:
    """At each look whether threads wait for cores; once they did, until they have not for a while."""
    crowded, calm = False, 0
    before, began = times(), clock.perf_counter_ns()
    while True:
        clock.sleep(LOOK_EVERY_S)
        after, now = times(), clock.perf_counter_ns()
        waits = _waits(before, after, now - began)
        before, began = after, now
        # One thread alone waits for nobody; but of those that no longer spin, some may have slept.
        if max(waits, default=0) > CROWDED and (crowded or len(waits) > 1):
            crowded, calm = True, 0
        elif crowded:
            calm += 1
            crowded = calm < CALM_LOOKS
        yield crowded


def _waits(before: Times, after: Times, elapsed: int) -> list[float]:
    """Of each thread that was busy meanwhile, how much of its busy time it waited for a core."""
    waits = []
    for thread, (ran, waited) in after.items():
        ran, waited = ran - before.get(thread, (0, 0))[0], waited - before.get(thread, (0, 0))[1]
        if ran + waited > BUSY * elapsed:
            waits.append(waited / (ran + waited))
    return waits


def _times() -> Times:
    found: Times = {}
    for task in Path("/proc/self/task").glob("*/schedstat"):
        try:
            ran, waited, _ = task.read_text().split()
        except (OSError, ValueError):  # it ended
            continue
        found[task.parent.name] = int(ran), int(waited)
    return found


def _room() -> bool:
    """Whether as many threads may be started as sleepers are: without one, libgomp ends the process."""
    over, started = threading.Event(), []
    try:
        for _ in range(len(os.sched_getaffinity(0)) + 2):
            started.append(one := threading.Thread(target=over.wait, daemon=True))
            one.start()
        return True
    except RuntimeError:
        started.pop()
        return False
    finally:
        over.set()
        for one in started:
            one.join()


class _Sleepers:
    """More threads of each libgomp that is loaded than there are cores, which do nothing, until `end`.

    They belong to a thread that has begun a parallel region, and end with it.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self.owner = threading.Thread(target=self._sleep, name="sleepers", daemon=True)
        self.owner.start()

    def _sleep(self) -> None:
        lines = Path("/proc/self/maps").read_text().splitlines()
        for path in {line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line}:
            with contextlib.suppress(OSError):  # a file that was replaced since
                library = ctypes.CDLL(path)
                library.GOMP_parallel(library.omp_in_parallel, None, len(os.sched_getaffinity(0)) + 1, 0)
        self.over.wait()

    def end(self) -> None:
        self.over.set()
        self.owner.join()
