"""Real servers for the tracking tests: MLflow, PostgreSQL, and ones that do not answer as MLflow does."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

from pipeline import rundir
from pipeline.diagnosis import predicted


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_server(backend, artifacts, log, port=None, wait=True, more=(), nice=19, **env):
    """A real tracking server, with `more` options and variables of its environment -> (its address, its process).

    Gentle, as if it had a machine of its own: its start takes seconds of a core. `nice` is 0 where it has much to do.
    """
    port = port or free_port()
    line = ["server", "--backend-store-uri", backend, "--artifacts-destination", str(artifacts)]
    line += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--allowed-hosts", "127.0.0.1:*", *more]
    with open(log, "a") as file:
        made = subprocess.Popen(
            ["nice", "-n", str(nice), sys.executable, "-m", "mlflow", *line],
            stdout=file,
            stderr=file,
            start_new_session=True,
            # Its runner of jobs is half a dozen processes more, which import MLflow while the first requests wait.
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **env},
        )
    uri = f"http://127.0.0.1:{port}"
    for _ in range(240 if wait else 0):
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=1):
                return uri, made
        except OSError:
            assert made.poll() is None, Path(log).read_text()
            time.sleep(0.5)
    assert not wait, Path(log).read_text()
    return uri, made


def signal_server(made, number):
    """Send a signal to a server and its workers, which are in a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(made.pid, number)


def kill_server(made):
    """SIGKILL to all of it."""
    signal_server(made, signal.SIGKILL)
    made.wait()


def postgres_bin():
    """The folder of PostgreSQL's programs; None where it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian keeps them off the path
    folders += [Path(found).parent for found in (shutil.which("initdb"),) if found]
    needed = ("initdb", "postgres", "pg_isready", "createdb")
    return next((folder for folder in folders if all((folder / name).exists() for name in needed)), None)


@contextlib.contextmanager
def postgres():
    """A PostgreSQL of one's own, with nothing in it -> the address for MLflow."""
    programs, port = postgres_bin(), free_port()
    who = {}
    if os.geteuid() == 0:  # as which it refuses to run
        name = "postgres" if any(u.pw_name == "postgres" for u in pwd.getpwall()) else "nobody"
        who = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
    # Not under pytest's folder, which is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    if who:
        os.chown(folder, pwd.getpwnam(who["user"]).pw_uid, who["group"])
    made = None
    try:
        line = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "mlflow", "-E", "UTF8", "--no-sync"]
        subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL, **who)
        line = [programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
        with open(folder / "log", "w") as log:
            made = subprocess.Popen(
                [*line, "-c", "listen_addresses=127.0.0.1"], cwd=folder, stdout=log, stderr=log, **who
            )
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", "mlflow"]
        for _ in range(120):
            if subprocess.run([programs / "pg_isready", *where], stdout=subprocess.DEVNULL).returncode == 0:
                break
            assert made.poll() is None, (folder / "log").read_text()
            time.sleep(0.25)
        subprocess.run([programs / "createdb", *where, "mlflow"], check=True)
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        if made:
            made.send_signal(signal.SIGQUIT)  # stop at once
            made.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def listening(answer=None):
    """Something that is not MLflow -> its address. It sends `answer` to whoever connects; None: nothing, ever."""
    kept = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:

        def serve():
            with contextlib.suppress(OSError):  # closed: the test is over
                while True:
                    one = door.accept()[0]
                    kept.append(one)
                    if answer is not None:
                        one.recv(65536)
                        one.sendall(answer)
                        one.close()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            door.shutdown(socket.SHUT_RDWR)
            for one in kept:
                one.close()


def http_answer(status, body="", kind="text/html"):
    """What a web server would send."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


def recorded(run):
    """Every metric row that MLflow is to have of a run, with its count: metrics.jsonl, best val/*, test/auroc, ..."""
    rows = list(rundir.metric_rows(run))
    status = rundir.get_status(run)
    ended = status.metrics if status.status == "finished" else {}
    best = {f"best/{k}": v for k, v in ended.items() if k.startswith("val/")}
    best |= predicted.of_run(run, predicted.Asked()) if ended else {}
    return Counter(
        [
            *((name, row.step, row.time_ms, value) for row in rows for name, value in row.metrics.items()),
            *((name, 0, rows[-1].time_ms, value) for name, value in best.items()),
        ]
    )


def rows_of(client, run_id):
    """Every metric row that MLflow gives back for a run, with its count."""
    return Counter(
        (name, point.step, point.timestamp, point.value)
        for name in client.get_run(run_id).data.metrics
        for point in client.get_metric_history(run_id, name)
    )
