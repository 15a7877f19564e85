"""Two hosts: two network namespaces with addresses of their own, joined by a cable."""

import contextlib
import os
import shutil
import signal
import subprocess

import psutil
import pytest

ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


@contextlib.contextmanager
def two_hosts():
    """Their names, each with its cable's: they reach each other, and nothing else. Skips where there can be none."""
    if not shutil.which("ip"):
        pytest.skip("no ip command here")
    names = [f"convtrial{os.getpid()}{side}" for side in "ab"]
    cables = [f"ct{os.getpid()}{side}" for side in "ab"]
    made = ip("netns", "add", names[0], check=False)
    if made.returncode:
        pytest.skip(f"ip netns is not permitted here: {made.stderr.strip()}")
    try:
        ip("netns", "add", names[1])
        ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield dict(zip(names, cables, strict=True))
    finally:
        for name in names:
            ip("netns", "del", name, check=False)


def on(name):
    """What stands before a command that is to run on the host `name`."""
    return ("ip", "netns", "exec", name)


def cut_power(name):
    """Nothing that runs on a host is left to say goodbye."""
    while numbers := ip("netns", "pids", name).stdout.split():
        for number in map(int, numbers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(n) for n in map(int, numbers) if psutil.pid_exists(n)], timeout=2)
