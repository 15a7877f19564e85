"""Interrupt a command at random until it has been interrupted often enough, then let it end."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
from running import Done, begin

BOUND_S = 60  # for a command that was signalled to be gone


def interrupted(folder, line, times, chance):
    """Run `python -m pipeline.train <line>` in `folder` again and again; returns the document of the last time.

    Each attempt gets SIGKILL or SIGTERM, in its whole group, its first process or one of a run's own processes, at
    a random moment: half of the time anywhere, from the start of the interpreter on, else while a run trains.
    """
    codes = []
    for _ in range(times):
        process = start(folder, line)
        if chance.random() < 0.5:
            wait_for_training(folder, process)
            time.sleep(chance.uniform(0, 2))
        else:
            time.sleep(chance.uniform(0, 12))
        strike(process, chance)
        try:
            _, err = process.communicate(timeout=BOUND_S)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGABRT)  # faulthandler says where it stands
            _, err = process.communicate(timeout=BOUND_S)
            raise AssertionError(f"still there {BOUND_S} s after its signal: {codes}\n{err}") from None
        codes.append(process.returncode)
        # 0: all was done; 75: stopped; -15: before Python had its handlers. Nothing fails by itself.
        assert codes[-1] in (0, 75, -signal.SIGKILL, -signal.SIGTERM), (codes, err)
    assert {75, -signal.SIGKILL} <= set(codes), codes
    process = start(folder, line)
    out, err = process.communicate(timeout=600)
    done = Done(process.returncode, out, err)
    if done.code == 75:  # the last strike killed one process of the last run after the sweep had gone on
        process = start(folder, line)
        done = Done(process.returncode, *process.communicate(timeout=600))
    assert process.returncode == 0, err
    return done.document


def start(folder, line):
    return begin(folder, line, PYTHONFAULTHANDLER="1")


def wait_for_training(folder, process):
    """Until a run of the sweep writes something new, or the command ends."""
    before = written(folder)
    end = time.monotonic() + 60
    while process.poll() is None and written(folder) == before and time.monotonic() < end:
        time.sleep(0.05)


def written(folder):
    found = [*Path(folder).glob("run/*/status.json"), *Path(folder).glob("run/*/checkpoints/last.ckpt")]
    times = []
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # being replaced just now
            times.append(path.stat().st_mtime_ns)
    return max(times, default=0)


def strike(process, chance):
    number = chance.choice((signal.SIGKILL, signal.SIGTERM))
    target = chance.choice(("group", "first", "one"))
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        ranks = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "pipeline.training" in child.cmdline()
        ]
        if target == "one" and ranks:
            chance.choice(ranks).send_signal(number)
            time.sleep(chance.uniform(0, 3))  # the sweep goes on with the next run; then the command is asked to stop
            os.kill(process.pid, signal.SIGTERM)
        elif target == "group":
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
