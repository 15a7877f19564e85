"""What a sweep's workers are forked from: a server that imports torch and Lightning while the sweep is planned."""

import atexit
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from multiprocessing import forkserver, process, resource_tracker, util

from pipeline import beginning

LONGEST = 70  # letters of a folder that leave room for multiprocessing's own name of a socket: the kernel allows 107


def start() -> None:
    """Start it, unless it runs already; the process that started it ends it with itself."""
    _have_room()
    if sys.platform != "linux":
        # On a Mac a process may not be forked after frameworks of the system were loaded, as torch does.
        multiprocessing.set_forkserver_preload([])
        forkserver.ensure_running()
        return
    multiprocessing.set_forkserver_preload(["pipeline.sweep.preloaded"])
    resource_tracker.ensure_running()  # which the server needs, and which lets SIGINT through when it has begun
    # Ctrl-C reaches all processes of a terminal, and this one would say at length which of its imports it was at.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if _leave not in beginning.on_leave:
        beginning.on_leave.append(_leave)
        atexit.register(_end)


def start_early() -> None:
    """The same as the first thing of a command that will need it by all appearances: a second before it is known."""
    arguments = sys.argv[1:]
    flags = [one for one in arguments if one.startswith("-")]
    if flags and set(flags) <= {"-m", "--multirun"} and not any(one.startswith("hydra/launcher") for one in arguments):
        with contextlib.suppress(OSError):  # of a machine that allows nothing: said later, when it is needed
            start()


def _have_room() -> None:
    """Have its socket in a folder that is short enough, where TMPDIR is not."""
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST:
        before = tempfile.tempdir
        tempfile.tempdir = next((one for one in ("/tmp", "/var/tmp", "/dev/shm") if os.access(one, os.W_OK)), before)
        try:
            util.get_temp_dir()  # made once, and used from then on
        finally:
            tempfile.tempdir = before


_owner = os.getpid()


def _end() -> None:
    """Kill it: else it would go on importing, for seconds after a command that found a typing error."""
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if pid and os.getpid() == _owner:  # and no fork of it
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        if folder := _folder():
            with contextlib.suppress(OSError):  # where a cleaner of old files took it, multiprocessing would complain
                os.makedirs(folder, exist_ok=True)


def _leave() -> None:
    """The same where the command ends on the spot, and multiprocessing takes its folder away no more."""
    _end()
    if (folder := _folder()) and os.getpid() == _owner:
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> str | None:
    """Where multiprocessing has its sockets, if it has any."""
    found: str | None = process.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    return found
