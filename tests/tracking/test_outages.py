"""A tracking server that is away, hangs, dies and comes back: training goes on, and in the end all is there."""

import dataclasses
import logging
import math
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from running import TINY, Done, begin, refused
from scipy import stats
from servers import free_port, http_answer, kill_server, listening, recorded, rows_of, signal_server
from tracked import folder_of

from pipeline import config, rundir
from pipeline.config.tracking import Tracking
from pipeline.run import finish
from pipeline.tracking import connect, live
from pipeline.tracking.send import send

pytestmark = pytest.mark.slow  # each trains networks, sources first

HERE = TINY.replace("tracking=none", "tracking=server")


@pytest.fixture
def trained(monkeypatch):
    """Training takes no time: what is left is the bookkeeping."""

    def done(path, gpu=None):
        rundir.append_metrics(path, 1, {"val/acc": 0.5})
        counts = {"total": 1, "trainable": 1}
        rundir.set_status(
            path, "finished", ended=time.time(), metrics={"test/acc": 0.5}, parameters=counts, seconds=0.0
        )

    monkeypatch.setattr(finish, "fit", done)


# ---- before training


def test_a_server_that_is_away_at_the_start_is_no_reason_not_to_train(command, caplog):
    done = command("train", f"{HERE} tracking.uri=http://127.0.0.1:{free_port()} dir=run output=json")
    assert (done.code, done.document["status"], done.document["mlflow_run_id"]) == (0, "finished", None)
    first, last = (record.getMessage() for record in caplog.records)
    assert "does not answer (connection refused)" in first
    assert "Nothing is lost: `python -m pipeline.sync runs_dir=run` sends" in last


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http_answer("401 Unauthorized", "who are you?"), "MLFLOW_TRACKING_USERNAME"),
        (http_answer("403 Forbidden", "Invalid Host header"), "403"),
        (http_answer("404 Not Found", "<html>nothing here</html>"), "404"),
        (http_answer("200 OK", "<html>a page</html>"), "not in a valid JSON format"),
        (http_answer("200 OK", "{}", "application/json"), "not as an MLflow server does"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
    ],
    ids=["unauthorized", "forbidden", "no-such-page", "a-page", "other-json", "ssh"],
)
def test_an_address_that_refuses_or_is_no_mlflow_server_is_bad_input(answer, said, command, workdir):
    with listening(answer) as uri:
        refused(command("train", f"{HERE} tracking.uri={uri}"), f"tracking.uri={uri}", said)
        if said != "not as an MLflow server does":  # an empty list of experiments could be one
            (workdir / "runs").mkdir()
            refused(command("sync", f"uri={uri}"), f"uri={uri}", "cannot be used")


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many Requests"])
def test_a_server_in_trouble_is_away(status, command, trained, caplog):
    with listening(http_answer(status)) as uri:
        assert command("train", f"{HERE} tracking.uri={uri}").code == 0
    assert f"does not answer (too many {status[:3]} error responses)" in caplog.text


def test_a_name_that_is_not_known_is_away_and_says_so(caplog):
    assert not connect.check(Tracking(uri="http://no-such-host.invalid:5000", artifacts=None), "e")
    assert "no-such-host.invalid" in caplog.text


def test_a_database_that_cannot_be_used_is_bad_input(command, workdir):
    (workdir / "file").write_text("")
    refused(command("train", f"{TINY} tracking=local tracking.uri=sqlite:///file/x.db"), "tracking.uri=sqlite:///")


@pytest.mark.parametrize(("key", "value"), [("wait_s", 0), ("push_every_s", -1)])
def test_times_are_positive(key, value, command):
    refused(command("train", f"{TINY} tracking.{key}={value}"), f"tracking.{key}={value}", "greater than 0")


# ---- a server that accepts and never answers


def test_a_server_that_hangs_delays_start_and_end_by_no_more_than_the_wait(command, trained, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("urllib3"), "disabled", True)
    command("train", f"{TINY} dir=before")  # prepares the data, imports
    with listening() as uri:
        began = time.monotonic()
        # The wait is 4 s in place of 10, to keep the test short: a call may take half of it.
        done = command("train", f"{HERE} tracking.uri={uri} tracking.wait_s=4 dir=run output=json")
        took = time.monotonic() - began
    assert (done.code, done.document["status"]) == (0, "finished")
    assert [record.getMessage().count("no answer in time") for record in caplog.records] == [1, 1]
    # 2 s for the question at the start, at most 4 s at the end, and what Hydra and imports take.
    assert took < 2 + 4 + 4


def test_a_sweep_on_a_server_that_hangs_says_it_once(command, caplog):
    with listening() as uri:
        began = time.monotonic()
        line = f"-m {HERE} tracking.uri={uri} tracking.wait_s=2 seed=0,1 dir=sweep"
        assert command("train", line).code == 0
        took = time.monotonic() - began
    assert [record.getMessage().count("no answer in time") for record in caplog.records] == [1, 1]
    assert rundir.get_status(Path("sweep")).status == "finished"
    assert took < 60


# ---- real servers


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_server_on_postgresql_that_comes_and_goes_loses_nothing(postgresql, server, workdir, process):
    from mlflow import MlflowClient

    uri, made = server(backend=postgresql)
    port = int(uri.rpartition(":")[2])
    line = f"{HERE} tracking.uri={uri} tracking.push_every_s=0.2 tracking.wait_s=4 experiment.name=comes_and_goes"
    line += " trainer.max_epochs=60 architecture.kernel_size=2,3 seed=0,1,2,3,4 dir=sweep output=json"
    draw, outages = random.Random(0), []
    training = begin(workdir, f"-m {line}")
    heard = []
    reader = threading.Thread(target=lambda: heard.extend(training.communicate(timeout=1200)))
    reader.start()
    try:
        while training.poll() is None:
            time.sleep(draw.uniform(1, 6))
            kind = draw.choice(["killed", "hangs"])
            outages.append(kind)
            if kind == "hangs":
                signal_server(made, signal.SIGSTOP)
                time.sleep(draw.uniform(1, 6))
                signal_server(made, signal.SIGCONT)
            else:
                kill_server(made)
                time.sleep(draw.uniform(0, 4))
                _, made = server(port, backend=postgresql)
        reader.join()
    finally:
        training.kill()
        reader.join()
    done = Done(training.returncode, *heard)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    print(f"{len(outages)} outages: {outages}")
    assert len(outages) >= 3

    synced = process("sync", "runs_dir=sweep output=json")
    assert synced.code == 0, synced.err
    print(f"sync then sent {sum(row['rows'] for row in synced.document['runs'])} rows")
    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name("comes_and_goes").experiment_id])
    shown = {folder_of(run): run for run in found}
    assert sorted(shown) == sorted(map(folder_of, found))  # none twice
    assert set(shown) == {"sweep"} | {Path(run["run"]).name for run in done.document["runs"]}
    assert {run.info.status for run in found} == {"FINISHED"}
    for run in done.document["runs"]:
        path = workdir / run["run"]
        expected = recorded(path)
        assert len(list(rundir.metric_rows(path))) == 61
        assert rows_of(client, shown[path.name].info.run_id) == expected
        assert shown[path.name].data.tags["mlflow.parentRunId"] == shown["sweep"].info.run_id


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_sent_again_are_dropped_by_postgresql_too(postgresql, server, command, caplog):
    from mlflow import MlflowClient

    uri, _ = server(backend=postgresql)
    line = f"{HERE} tracking.uri={uri} tracking.wait_s=60 experiment.name=again dir=run output=json"
    done = command("train", line)
    assert done.code == 0
    assert caplog.text == ""
    run = Path("run")
    assert send(run, again=True).rows == len(list(rundir.metric_rows(run)))
    client = MlflowClient(tracking_uri=uri)
    assert rows_of(client, done.document["mlflow_run_id"]) == recorded(run)
    assert len(client.search_runs([client.get_experiment_by_name("again").experiment_id])) == 1


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_training_takes_as_long_on_a_server_that_comes_and_goes(endurance, postgresql, server, command, workdir):
    pairs = 120 // endurance
    steady, _ = server(backend=postgresql)
    port = free_port()
    line = [sys.executable, str(Path(__file__).with_name("flaky_server.py")), str(port), steady.rpartition(":")[2]]
    door = subprocess.Popen(line, stdin=subprocess.PIPE, text=True)
    epochs = "trainer.max_epochs=200"
    assert command("train", f"{HERE} tracking.uri={steady} experiment.name=timed {epochs} dir=first").code == 0
    over = threading.Event()

    def disturb():
        draw = random.Random(0)
        while not over.is_set():
            for word in (draw.choice(["shut", "hang"]), "open"):
                print(word, file=door.stdin, flush=True)
                over.wait(draw.uniform(0.5, 3))

    def seconds(number, uri):
        run = workdir / f"{number}_{uri[-5:]}"
        settings = config.of_run(workdir / "first")
        settings.tracking = Tracking(uri=uri, artifacts=None, push_every_s=0.5)
        asked = dataclasses.replace(rundir.read_run(workdir / "first"), config=config.to_dict(settings))
        rundir.start(run, asked)
        began = time.perf_counter()
        with rundir.locked(run), live.show_run(run, settings.tracking):
            finish.train_here(run)
            trained = time.perf_counter() - began
        return trained, time.perf_counter() - began - trained

    thread = threading.Thread(target=disturb)
    thread.start()
    took, ends = {steady: [], f"http://127.0.0.1:{port}": []}, []
    try:
        for number in range(pairs):
            for uri in random.Random(number).sample(sorted(took), 2):
                trained, end = seconds(number, uri)
                took[uri].append(trained)
                ends.append(end)
    finally:
        over.set()
        thread.join()
        door.kill()
        door.communicate()
    undisturbed, disturbed = map(np.array, took.values())
    logs = np.log(disturbed / undisturbed)
    mean, half = logs.mean(), stats.t.ppf(0.975, pairs - 1) * logs.std(ddof=1) / math.sqrt(pairs)
    ratio, low, high = np.exp([mean, mean - half, mean + half])
    means = f"{undisturbed.mean():.2f} s undisturbed, {disturbed.mean():.2f} s disturbed"
    print(f"{means}: {ratio:.3f} ({low:.3f} to {high:.3f}); ends took {min(ends):.2f} to {max(ends):.2f} s")
    assert max(ends) < 10.5
    # Fails where it surely costs more than 3 %. How surely it costs less can be told on an idle machine alone.
    assert low < 1.03
