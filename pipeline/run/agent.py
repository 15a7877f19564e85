"""torchrun's elastic agent: it starts a run's processes on this host, has the hosts meet, and tells why one failed."""

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import config, rundir, stopping, terminal
from pipeline.errors import MACHINE
from pipeline.stopping import Stopped

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# For all hosts to be there: at the start, and where max_restarts lets the others wait for one that died.
HOSTS_S = 600

# For another host to say why it ended the run, or for the leading one to write down how it did.
SETTLED_S = 30

# How a process fails when another one is gone: what gloo, NCCL and torch's store say.
GONE = re.compile(
    r"closed by peer|reset by peer|Connection refused|Broken pipe|Timed out waiting|remote process exited|"
    r"ncclRemoteError|collective operation timeout|pair closure|DistNetworkError|DistStoreError|connectFullMesh",
    re.I,
)


class LostProcessError(RuntimeError):
    """A process of the run was killed from outside, or its host is gone."""


def run(path: Path, trainer: config.Trainer, attempt: int) -> None:
    """One attempt by torchrun's agent, which starts this host's processes."""
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError

    logs = path / "ranks"
    logs.mkdir(exist_ok=True)
    several = trainer.num_nodes > 1
    if several:
        (logs / "failure.json").unlink(missing_ok=True)
    start = _agent(trainer, logs, f"{path.name}-{attempt}")
    try:
        with _open_to_others(logs), _signals_to_ranks() if several else contextlib.nullcontext():
            start("-m", "pipeline.run", str(path.resolve()), str(os.getpid()))
    except SignalException as stop:  # the agent passed the signal on and waited for its processes
        stopping.hung_up(stop.sigval)
        raise Stopped(stop.sigval.name) from None
    except ChildFailedError as error:
        # Its own text is a banner over all processes; the first failure is the cause, the others followed it.
        found = _cause(*error.get_first_failure(), path, several)
        if several and not (logs / "failure.json").exists():
            rundir.write_json(logs / "failure.json", {"error": str(found), "lost": isinstance(found, LostProcessError)})
        raise found from error
    except (RendezvousError, DistError, ConnectionError) as error:
        if rundir.get_status(path).status != "finished":
            raise LostProcessError(f"a host is gone, or did not come within {HOSTS_S} s: {error}") from error
    if rundir.get_status(path).status != "finished":
        raise Stopped("a signal to one of its processes")


def _agent(trainer: config.Trainer, logs: Path, name: str) -> Callable[..., Any]:
    """What starts the processes of this host and waits for them: a call with their command line."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    several = trainer.num_nodes > 1
    # torch's own list would have SIGHUP also where `nohup` ignores it.
    signals = ",".join(number.name for number in (*stopping.asking(), signal.SIGQUIT))
    meeting: dict[str, Any] = {"rdzv_endpoint": "localhost:0", "signals_to_handle": signals}
    if several:
        meeting = _meeting(trainer)
    elif trainer.accelerator == "cpu":
        # gloo otherwise asks the resolver for this host's name, and fails or hangs where that has no address.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return elastic_launch(
        LaunchConfig(
            min_nodes=trainer.num_nodes,
            max_nodes=trainer.num_nodes,
            nproc_per_node=trainer.devices,
            run_id=name,
            rdzv_backend="c10d",
            max_restarts=0 if several else trainer.max_restarts,
            # Standard output is kept for the result document; what ranks say is in RUN/ranks.
            logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ALL),
            **meeting,
        ),
        entrypoint=sys.executable,
    )


def _cause(rank: int, failure: "ProcessFailure", path: Path, several: bool) -> RuntimeError:
    """Why a process of the run at `path` failed, as an error to be raised.

    Raises it itself where another host knows better, or the disk is full.
    """
    logs = path / "ranks"
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        return LostProcessError(f"process {rank} was killed by {name} (see {logs})")
    # A process that could write down its error has it in a dictionary, with its traceback.
    message = str(failure.message["message"] if isinstance(failure.message, dict) else failure.message)
    gone = several and GONE.search(message)
    kind = LostProcessError if gone or "DataLoader" in message else RuntimeError
    found = kind(f"process {rank}: {message} (see {logs})")
    if gone:
        _told(logs, found)
    disk = re.search(r"OSError: \[Errno (\d+)\]", message)
    if disk and int(disk[1]) in MACHINE:
        raise found from OSError(int(disk[1]), message, str(path))
    return found


@contextlib.contextmanager
def _open_to_others(logs: Path) -> Iterator[None]:
    """After it, the folders in `logs` are as open as `logs`: torch makes them its owner's alone, whatever the umask."""
    try:
        yield
    finally:
        for folder in logs.iterdir():
            with contextlib.suppress(OSError):
                if folder.is_dir():
                    folder.chmod(logs.stat().st_mode)


def _told(logs: Path, found: RuntimeError) -> None:
    """Raise what another host says was the cause of `found`, where one says so soon."""
    end = time.monotonic() + SETTLED_S / 3
    while time.monotonic() < end:
        if (logs / "failure.json").exists():
            said = rundir.read_json(logs / "failure.json")
            raise (LostProcessError if said["lost"] else RuntimeError)(said["error"]) from found
        time.sleep(0.2)


def _meeting(trainer: config.Trainer) -> dict[str, Any]:
    """Where the hosts meet, and by which of its addresses this one is reached: what LaunchConfig is told of it."""
    import psutil

    assert trainer.rdzv_endpoint
    host, _, port = trainer.rdzv_endpoint.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    # The way to the endpoint is the way to the others. No packet is sent.
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        own = probe.getsockname()[0]
    interfaces = {a.address.partition("%")[0]: name for name, all_ in psutil.net_if_addrs().items() for a in all_}
    if own in interfaces:
        # Otherwise gloo asks the resolver for this host's name, which many answer with a loopback address.
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, interfaces[own])
    is_host = any(one[4][0] in interfaces for one in found)  # torch's own guess goes by the host's name
    if not is_host:
        _wait_for(address)
    timeouts = {"timeout": HOSTS_S, "join_timeout": HOSTS_S, "is_host": is_host}
    # The ranks' signals are ours to pass on, see _signals_to_ranks.
    return {
        "rdzv_endpoint": trainer.rdzv_endpoint,
        "rdzv_configs": timeouts,
        "local_addr": own,
        "signals_to_handle": "SIGQUIT",
    }


def _wait_for(address: Any) -> None:
    """Until the host at `address` listens. Raises LostProcessError after HOSTS_S."""
    began, said = time.monotonic(), False
    while True:
        try:
            socket.create_connection(address[:2], timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() - began > HOSTS_S:
                where = f"{address[0]}:{address[1]}"
                raise LostProcessError(f"trainer.rdzv_endpoint={where}: nobody there in {HOSTS_S} s") from error
        if not said:
            said = True
            terminal.say(f"waiting for the host at {address[0]}:{address[1]}")
        time.sleep(0.5)


@contextlib.contextmanager
def _signals_to_ranks() -> Iterator[None]:
    """Within, SIGTERM and SIGINT go to this host's ranks, which agree with those of the other hosts and all end well.

    The agent's own way is to leave at once: the other hosts' agents then wait 300 s for it at their end.
    """
    import psutil

    asked: list[int] = []

    def handler(number: int, frame: Any) -> None:
        ranks = [child for child in psutil.Process().children() if "pipeline.run" in child.cmdline()]
        if asked or not ranks:
            stopping.interrupt(number, frame)
            return
        asked.append(number)
        for rank in ranks:
            with contextlib.suppress(psutil.NoSuchProcess):
                rank.send_signal(signal.SIGTERM)
        signal.alarm(stopping.GRACE_S + 10)

    with stopping.handled(handler):
        try:
            yield
        finally:
            signal.alarm(0)
