"""Open MLflow on a sweep: its question, its verdict, and its runs with the factors beside the metric.

python -m pipeline.dashboard
python -m pipeline.dashboard sweep=runs/kernel_size/... port=5001
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from omegaconf import DictConfig

from pipeline import cli, config, rundir, terminal
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError, one_of, within
from pipeline.stopping import Stopped

START_S = 120.0  # until a server answers: a slow disk reads MLflow for half a minute
STOP_S = 10.0


@dataclass
class Dashboard:
    """What `python -m pipeline.dashboard` takes."""

    sweep: str = "latest"  # a sweep directory, or latest: the one begun last under runs_dir
    runs_dir: str = "runs"  # where the latest is looked for
    host: str = "127.0.0.1"  # who may reach it: there is no password, so that 0.0.0.0 lets everybody do anything
    port: int = 5000  # of the address
    browser: bool = True  # open it in a browser, where there is one
    output: str = "table"  # for people, or one document for programs

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json"))
        within("port", self.port, 1, 65535)


def job(cfg: DictConfig) -> int:
    """Serve the MLflow that shows a sweep, until it is interrupted; one that is served already is only opened."""
    from pipeline.tracking.state import read_run_id, tracking_of
    from pipeline.tracking.trust import check_trust
    from pipeline.tracking.view import find_path

    options = config.typed(cfg, Dashboard)
    sweep, tracking = _find_sweep(options), Tracking()
    path = run_id = ""
    if sweep:
        tracking, path, run_id = tracking_of(sweep), find_path(sweep), read_run_id(sweep) or ""
    if tracking.uri is None:
        raise InputError(
            f"sweep={sweep}: is not tracked. "
            f"`python -m pipeline.sync runs_dir={sweep} uri=sqlite:///mlruns/mlflow.db` shows it on an MLflow here."
        )
    if tracking.remote:
        _show(options, sweep, f"{tracking.uri}/{path}")
        return cli.DONE
    check_trust(tracking)
    here = "127.0.0.1" if options.host in ("", "0.0.0.0") else options.host
    address = f"http://{here}:{options.port}"
    if _is_taken(options):
        if not (run_id and _answers(f"{address}/api/2.0/mlflow/runs/get?run_id={quote(run_id)}")):
            hint = f"Choose another, as in port={options.port + 1}."
            raise InputError(f"port={options.port}: {address} is taken, and not by an MLflow that shows this. {hint}")
        _show(options, sweep, f"{address}/{path}")
        return cli.DONE
    with contextlib.suppress(Stopped), _served(options, tracking) as server:
        deadline = time.monotonic() + START_S
        while not _answers(f"{address}/health"):
            if server.poll() is not None or time.monotonic() > deadline:
                terminal.say(f"error: MLflow's server at {address} did not start; what it said stands above.")
                return cli.FAILED
            time.sleep(0.2)
        _show(options, sweep, f"{address}/{path}")
        terminal.say("Ctrl-C ends it.")
        return cli.FAILED if server.wait() else cli.DONE
    return cli.DONE


def _find_sweep(options: Dashboard) -> Path | None:
    """The sweep that was asked for; None where there are only runs by themselves, on the MLflow of this folder."""
    try:
        return rundir.find_sweep(options.sweep, Path(options.runs_dir))
    except InputError:
        if options.sweep == "latest" and Path(str(Tracking().uri).removeprefix("sqlite:///")).exists():
            return None
        raise


def _is_taken(options: Dashboard) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will: one that has ended holds none
        try:
            one.bind((options.host, options.port))
        except socket.gaierror as error:
            raise InputError(f"host={options.host}: is not known here ({error.strerror}).") from None
        except PermissionError:
            raise InputError(f"port={options.port}: is the system's. Choose one from 1024 on.") from None
        except OSError:
            return True
    return False


def _answers(address: str, timeout_s: float = 10) -> bool:
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(address, timeout=timeout_s) as found:
        return bool(found.status == 200)
    return False


@contextlib.contextmanager
def _served(options: Dashboard, tracking: Tracking) -> Iterator["subprocess.Popen[bytes]"]:
    """MLflow's server, which is gone with the body."""
    from pipeline.tracking.connect import set_environment

    set_environment(tracking)
    where = ["--host", options.host, "--port", str(options.port)]
    line = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", str(tracking.uri), *where]
    line += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]  # a line per request would hide the address
    # A group of its own, as it starts processes of its own; standard output is the address's.
    server = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), start_new_session=True)
    try:
        yield server
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(STOP_S)


def _show(options: Dashboard, sweep: Path | None, address: str) -> None:
    """Print the address, and open it where that does not take the terminal, as a browser for text would."""
    document = {"sweep": sweep and str(sweep), "dashboard": address}
    cli.emit(options.output, document, lambda: print(terminal.literal(f"dashboard  {address}")))
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if options.browser and screen:
        with contextlib.suppress(Exception):
            webbrowser.open(address)


def main() -> None:
    """The command."""
    cli.main("dashboard", job, schema=Dashboard)


if __name__ == "__main__":
    main()
