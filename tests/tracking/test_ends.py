"""How runs and sweeps ended stands on MLflow too, and a server that is away costs no run."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import Timeout
from running import REPOSITORY, Done, left_in
from servers import kill_server, recorded, rows_of
from tracked import LINE, runs_of, shown

from pipeline import rundir
from pipeline.config.tracking import Tracking
from pipeline.run import finish
from pipeline.rundir.documents import write_checked
from pipeline.tracking import live
from pipeline.tracking.state import read_run_id

# ---- ends


@pytest.mark.slow
def test_a_failed_run_is_failed(client, local, command, monkeypatch):
    def broken(path, gpu=None):
        rundir.append_metrics(path, 1, {"train/loss": 2.5})
        raise RuntimeError("no more memory")

    monkeypatch.setattr(finish, "fit", broken)
    assert command("train", f"{LINE} {local} experiment.name=failing dir=run").code == 1
    (run,) = client.search_runs([client.get_experiment_by_name("failing").experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.metrics == {"train/loss": 2.5}
    assert "error.txt" in {file.path for file in client.list_artifacts(run.info.run_id)}


def test_a_run_that_is_being_sent_is_waited_for(command, workdir, monkeypatch, caplog):
    """Whoever showed it while it was trained may be at it still, where the server is slow."""
    done = command("train", f"-m {LINE} tracking=none seed=0,1 dir=sweep")
    assert done.code == 0, done.err
    tries = []

    def send(path, tracking, **_):
        tries.append(path.name)
        if len(tries) < 4:
            raise Timeout(str(path / "tracking.lock"))

    monkeypatch.setattr(live, "send", send)
    monkeypatch.setattr(live, "set_up", lambda tracking: None)
    monkeypatch.setattr(live, "is_behind", lambda path, tracking: path.name not in tries[3:])
    live.end_sweep(workdir / "sweep", Tracking(uri="http://127.0.0.1:9"), "finished")
    assert tries == ["000_seed-0"] * 4 + ["001_seed-1", "sweep"]
    assert caplog.text == ""


@pytest.mark.slow
def test_an_interrupted_run_is_killed(client, local, command, monkeypatch):
    def stopped(path, gpu=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(finish, "fit", stopped)
    assert command("train", f"{LINE} {local} experiment.name=stopping dir=run").code == 75
    (run,) = client.search_runs([client.get_experiment_by_name("stopping").experiment_id])
    assert run.info.status == "KILLED"


@pytest.mark.slow
def test_a_sweep_with_a_failed_run_is_failed(client, local, command):
    line = f"-m {LINE} {local} experiment.name=mixed optimizer.lr=0.01,1e30 dir=sweep output=json"
    done = command("train", line)
    assert done.code == 1
    parent, children = runs_of(client, "mixed")
    assert parent.info.status == "FAILED"
    assert sorted(run.info.status for run in children) == ["FAILED", "FINISHED"]
    assert done.document["mlflow_run_id"] == parent.info.run_id
    assert {run["mlflow_run_id"] for run in done.document["runs"]} == {run.info.run_id for run in children}


@pytest.mark.slow
def test_an_interrupted_sweep_does_not_stay_running(client, local, command, monkeypatch):
    def stopped(path, gpu=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(finish, "fit", stopped)
    assert command("train", f"-m {LINE} {local} experiment.name=cut seed=0,1 dir=sweep").code == 75
    parent, children = runs_of(client, "cut")
    assert [run.info.status for run in children] == ["KILLED"]
    assert parent.info.status == "KILLED"


@pytest.mark.slow
def test_levels_of_any_kind_reach_the_parent(client, local, command, caplog):
    line = f"-m {LINE} {local} experiment.name=lists architecture.filters=[4],[4,8] seed=0,1 dir=sweep"
    assert command("train", line).code == 0
    parent, children = runs_of(client, "lists")
    assert parent.data.tags["levels.architecture.filters"] == "[4], [4, 8]"
    assert {run.data.params["architecture.filters"] for run in children} == {"[4]", "[4, 8]"}
    assert "verdict.json" in {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert len(parent.data.metrics) == 2
    assert caplog.text == ""


def test_comparing_again_shows_the_verdict_once(home, client, command):
    parent, _ = runs_of(client, "tracked")
    before = shown(home / "mlruns/mlflow.db", parent.info.run_id)
    shutil.copytree(home / "sweep", "sweep")
    absolute = rundir.read_json(Path("sweep/tracking.json"))
    absolute["tracking"]["uri"] = f"sqlite:///{home}/mlruns/mlflow.db"
    write_checked(Path("sweep/tracking.json"), absolute)
    assert command("compare", "sweep=sweep").code == 0
    after = shown(home / "mlruns/mlflow.db", parent.info.run_id)
    assert [(name, step, value) for name, step, _, value in after.elements()] == [
        (name, step, value) for name, step, _, value in before.elements()
    ]


# ---- without, and with one that is away


@pytest.mark.slow
def test_without_tracking_mlflow_is_not_even_imported(process, workdir, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        f"atexit.register(lambda: open({str(tmp_path / 'modules')!r}, 'w').write(' '.join(sys.modules)))\n"
    )
    line = f"-m {LINE} tracking=none seed=0,1 hydra/launcher=basic"
    done = process("train", line, PYTHONPATH=f"{tmp_path / 'site'}:{REPOSITORY}")
    assert done.code == 0
    modules = (tmp_path / "modules").read_text().split()
    assert "pytorch_lightning" in modules
    assert [name for name in modules if name.split(".")[0] == "mlflow"] == []
    assert "mlruns" not in left_in(workdir)
    assert not list(workdir.rglob("tracking.json"))


@pytest.mark.slow
def test_wherever_mlflow_is_imported_it_reports_to_nobody(process, workdir, tmp_path):
    """It reads that when it is imported, by the sweep's own process alone."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mlflow':\n"
        f"            with open({str(tmp_path / 'imports')!r}, 'a') as file:\n"
        "                file.write(os.environ.get('MLFLOW_DISABLE_TELEMETRY', 'no') + '\\n')\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = process("train", f"-m {LINE} seed=0,1", PYTHONPATH=f"{tmp_path / 'site'}:{REPOSITORY}")
    assert done.code == 0, done.err
    assert (tmp_path / "imports").read_text().split() == ["true"]  # the workers never do


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_that_dies_costs_no_run_and_sync_sends_what_it_missed(server, workdir, process):
    from mlflow import MlflowClient

    uri, made = server()
    line = f"-m {LINE} tracking=server tracking.uri={uri} tracking.push_every_s=0.2 experiment.name=away"
    training = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", *line.split(), "seed=0,1", "dir=sweep", "output=json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first, second = workdir / "sweep/000_seed-0", workdir / "sweep/001_seed-1"
    try:
        for _ in range(1200):  # until the first run is shown
            if (first / "tracking.json").exists() or training.poll() is not None:
                break
            time.sleep(0.1)
        kill_server(made)
        out, err = training.communicate(timeout=300)
    finally:
        training.kill()
        training.wait()
    done = Done(training.returncode, out, err)
    assert done.code == 0, err
    assert [run["status"] for run in done.document["runs"]] == ["finished", "finished"]
    assert "Traceback" not in err
    assert err.count("could not be shown on MLflow whole") == 1, err
    assert "python -m pipeline.sync" in err

    uri_again, _ = server(int(uri.rpartition(":")[2]))
    assert uri_again == uri
    client = MlflowClient(tracking_uri=uri)
    assert process("sync", "runs_dir=sweep").code == 0
    for run in (first, second):
        found = client.get_run(read_run_id(run))
        assert found.info.status == "FINISHED"
        assert found.data.params["seed"] == run.name[-1]
        expected = recorded(run)
        assert rows_of(client, found.info.run_id) == expected
    shown = client.search_runs([client.get_experiment_by_name("away").experiment_id])
    assert [run.info.status for run in shown] == ["FINISHED"] * 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_keeps_artifacts_too(server, workdir, process):
    from mlflow import MlflowClient

    uri, _ = server()
    done = process("train", f"{LINE} tracking=server tracking.uri={uri} dir=run output=json")
    assert done.code == 0
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(done.document["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert "checkpoints" in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert "mlruns" not in left_in(workdir)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_first_commands_at_once_share_a_new_database(workdir):
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "pipeline.train", *LINE.split(), f"seed={seed}", f"dir=run{seed}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in range(8)
    ]
    said = [one.communicate(timeout=800)[0] for one in commands]
    assert [one.returncode for one in commands] == [0] * 8, said
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{workdir}/mlruns/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("train").experiment_id])
    assert sorted(run.data.tags["seed"] for run in found) == list("01234567")
    assert {run.info.status for run in found} == {"FINISHED"}
    for run in found:
        assert shown(workdir / "mlruns/mlflow.db", run.info.run_id) == recorded(Path(run.data.tags["run_dir"]))
