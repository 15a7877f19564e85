"""Start a run: here in this process, or in several under torchrun's elastic agent, on one host or on more.

The processes are started from the run directory. Left to Lightning, each would run the command line again,
and inside a Hydra multirun the whole sweep with it.

Of several hosts, the one that gets the run's lock leads: it writes run.json, shows the run on MLflow and sets how
it ended. The others wait for run.json and start their processes as it says.
"""

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import config, rundir, stopping, terminal
from pipeline.errors import MACHINE, of_machine
from pipeline.run import devices
from pipeline.stopping import Stopped

# For all hosts to be there: at the start, and where max_restarts lets the others wait for one that died.
HOSTS_S = 600

# For another host to say why it ended the run, or for the leading one to write down how it did.
SETTLED_S = 30

# How a process fails when another one is gone: what gloo, NCCL and torch's store say.
GONE = re.compile(
    r"closed by peer|reset by peer|Connection refused|Broken pipe|Timed out waiting|remote process exited|"
    r"ncclRemoteError|collective operation timeout|DistNetworkError|DistStoreError|connectFullMesh",
    re.I,
)


class LostProcessError(RuntimeError):
    """A process of the run was killed from outside, or its host is gone."""


def train(path: Path) -> str:
    """Train the run at `path` to its end. Returns its status; an error is recorded there, not raised.

    Raises Stopped where a signal asked the run to stop; its status is interrupted then.
    """
    trainer = config.of_run(path).trainer
    try:
        with stopping.interruptible():
            _train(path, trainer, leads=True)
    except Exception as error:
        rundir.fail(path, error, "interrupted" if _outside(error) else "failed")
    except BaseException as stop:
        reason = str(stop) or (stopping.by() if isinstance(stop, Stopped) else type(stop).__name__)
        rundir.end(path, "interrupted", ended=time.time(), error=f"stopped by {reason}")
        raise
    return rundir.get_status(path)["status"]


def _train(path: Path, trainer: config.Trainer, leads: bool) -> None:
    with devices.dealt(trainer.devices if trainer.accelerator == "gpu" else 0) as gpus:
        if trainer.processes == 1:
            from pipeline.run.finish import train_here  # torch: not before it is needed

            train_here(path, *gpus)
            return
        # Left to itself torchrun says OMP_NUM_THREADS=1 where a host has several processes, and nothing where it has
        # one; the last bits of a run of two processes differed by that between one host and two.
        with _environment(devices.visible(gpus) | {"OMP_NUM_THREADS": str(trainer.threads or 1)}):
            # torchrun's own restart takes a dead host for one of the new round, and fails 60 s later.
            restarts = trainer.max_restarts if trainer.num_nodes > 1 else 0
            while True:
                attempt = rundir.get_status(path).get("resumed", 0)
                try:
                    return _elastic(path, trainer, attempt)
                except LostProcessError as error:
                    if not restarts:
                        raise
                    restarts -= 1
                    terminal.say(f"{path}: starts again from its checkpoint: {error}")
                    _again(path, attempt, leads, error)


def _again(path: Path, attempt: int, leads: bool, error: LostProcessError) -> None:
    """Begin the next attempt on the host that leads, or wait for it elsewhere. Raises `error` where there is none."""
    if leads:
        rundir.resume(path)
        return
    end = time.monotonic() + 2 * SETTLED_S
    while rundir.get_status(path).get("resumed", 0) == attempt:
        if time.monotonic() > end or not rundir.alive(path):
            raise error
        time.sleep(0.2)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Within, processes that are started find `values` in their environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


@contextlib.contextmanager
def leading(path: Path, trainer: config.Trainer) -> Iterator[bool]:
    """Hold the run at `path`. False where another of its hosts does, and has begun.

    Raises BusyError where a run on one host is held by another process.
    """
    with contextlib.ExitStack() as held:
        leads = False
        while not leads:
            try:
                held.enter_context(rundir.locked(path, 5 if trainer.num_nodes == 1 else 0))
                leads = True
            except rundir.BusyError:
                if trainer.num_nodes == 1:
                    raise
                if rundir.get_status(path)["status"] == "running" and (path / "run.json").exists():
                    break
                time.sleep(0.2)
        yield leads


def follow(path: Path) -> None:
    """Train this host's part of the run at `path`, which another host leads, and wait until it says how it ended."""
    trainer = config.of_run(path).trainer
    try:
        with stopping.interruptible():
            _train(path, trainer, leads=False)
    except Exception as error:
        terminal.say(f"{path}: {' '.join(str(error).split())[:300]}")
    finally:
        end = time.monotonic() + SETTLED_S
        while time.monotonic() < end and rundir.get_status(path)["status"] == "running" and rundir.alive(path):
            time.sleep(0.5)
        rundir.left_behind(path)  # the leading host is gone


def _outside(error: Exception) -> bool:
    """Whether the cause lies outside of the run: a full disk, a killed process of it, a loader that hangs."""
    return (
        of_machine(error) is not None
        or isinstance(error, LostProcessError | devices.NoGPUError)
        or (isinstance(error, RuntimeError) and "DataLoader" in str(error))
    )


def _elastic(path: Path, trainer: config.Trainer, attempt: int) -> None:
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logs = path / "ranks"
    logs.mkdir(exist_ok=True)
    several = trainer.num_nodes > 1
    # torch's own list would have SIGHUP also where `nohup` ignores it.
    signals = ",".join(number.name for number in (*stopping.asking(), signal.SIGQUIT))
    meeting: dict[str, Any] = {"rdzv_endpoint": "localhost:0", "signals_to_handle": signals}
    if several:
        meeting = _meeting(trainer)
        (logs / "failure.json").unlink(missing_ok=True)
    elif trainer.accelerator == "cpu":
        # gloo otherwise asks the resolver for this host's name, and fails or hangs where that has no address.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    agent = elastic_launch(
        LaunchConfig(
            min_nodes=trainer.num_nodes,
            max_nodes=trainer.num_nodes,
            nproc_per_node=trainer.devices,
            run_id=f"{path.name}-{attempt}",
            rdzv_backend="c10d",
            max_restarts=0 if several else trainer.max_restarts,
            # Standard output is kept for the result document; what ranks say is in RUN/ranks.
            logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ALL),
            **meeting,
        ),
        entrypoint=sys.executable,
    )
    try:
        with _open_to_others(logs), _signals_to_ranks() if several else contextlib.nullcontext():
            agent("-m", "pipeline.run", str(path.resolve()), str(os.getpid()))
    except SignalException as stop:  # the agent passed the signal on and waited for its processes
        stopping.hung_up(stop.sigval)
        raise Stopped(stop.sigval.name) from None
    except ChildFailedError as error:
        # Its own text is a banner over all processes; the first failure is the cause, the others followed it.
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            found: RuntimeError = LostProcessError(f"process {rank} was killed by {name} (see {logs})")
        else:
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
        if several and not (logs / "failure.json").exists():
            rundir.write_json(logs / "failure.json", {"error": str(found), "lost": isinstance(found, LostProcessError)})
        raise found from error
    except (RendezvousError, DistError, ConnectionError) as error:
        if rundir.get_status(path)["status"] != "finished":
            raise LostProcessError(f"a host is gone, or did not come within {HOSTS_S} s: {error}") from error
    if rundir.get_status(path)["status"] != "finished":
        raise Stopped("a signal to one of its processes")


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
