"""A server for a team as the README starts one: PostgreSQL, passwords, artifacts kept and served by it."""

import base64
import importlib.util
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from running import TINY, Done, begin, call, refused
from servers import kill_server, recorded, rows_of, start_server
from tracked import folder_of, runs_of

from pipeline import rundir

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not importlib.util.find_spec("flask_wtf"), reason="no Flask-WTF here: pip install mlflow[auth]"),
]

LINE = f"{TINY.replace('tracking=none', 'tracking=server')} tracking.push_every_s=0.2 tracking.wait_s=150"
ADMIN, USER = ("admin", "a long one to begin with"), ("ada", "another of twelve letters or more")


def signed(who):
    """What says to our commands, and to MLflow's client, who is asking."""
    return {"MLFLOW_TRACKING_USERNAME": who[0], "MLFLOW_TRACKING_PASSWORD": who[1]}


def ask(uri, path, who=None, method="GET", **fields):
    """The server's own answer: its status, and its body."""
    headers = {"Content-Type": "application/json"}
    if who:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(who).encode()).decode()
    body = json.dumps(fields).encode() if fields else None
    try:
        with urllib.request.urlopen(urllib.request.Request(uri + path, body, headers, method=method)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def set_password(uri, who, password):
    path = "/api/2.0/mlflow/users/update-password"
    assert ask(uri, path, ADMIN, "PATCH", username=who[0], password=password)[0] == 200


@pytest.fixture(scope="module")
def team(postgresql, tmp_path_factory):
    """Its address and the folder of its artifacts; ADMIN and USER may log in."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/basic_auth.db\n"
        f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    uri, made = start_server(
        postgresql,
        folder / "artifacts",
        folder / "log",
        more=["--serve-artifacts", "--app-name", "basic-auth"],
        nice=0,  # each request is a password to be hashed: 0.2 s of a core, and minutes behind busy tests
        MLFLOW_AUTH_CONFIG_PATH=str(folder / "auth.ini"),
        MLFLOW_FLASK_SERVER_SECRET_KEY="of thirty-two letters or even more",
    )
    try:
        created = ask(uri, "/api/2.0/mlflow/users/create", ADMIN, "POST", username=USER[0], password=USER[1])
        assert created[0] == 200, created
        yield uri, folder / "artifacts"
    finally:
        kill_server(made)


@pytest.fixture
def client(team, monkeypatch):
    """MLflow's own client, which says that it is USER."""
    from mlflow import MlflowClient

    for name, value in signed(USER).items():
        monkeypatch.setenv(name, value)
    return MlflowClient(tracking_uri=team[0])


def test_a_sweep_is_shown_there_with_its_artifacts(team, client, workdir):
    uri, artifacts = team
    line = f"-m {LINE} tracking.uri={uri} experiment.name=signed seed=0,1 dir=sweep output=json"
    done = call(workdir, "train", line)
    assert (done.code, done.err.count("tracking")) == (0, 0), done.err
    parent, runs = runs_of(client, "signed")
    assert {run.info.status for run in (parent, *runs)} == {"FINISHED"}
    assert {run.info.run_id for run in runs} == {run["mlflow_run_id"] for run in done.document["runs"]}
    for run in done.document["runs"]:
        path, shown = workdir / run["run"], client.get_run(run["mlflow_run_id"])
        assert rows_of(client, run["mlflow_run_id"]) == recorded(path)
        assert shown.info.artifact_uri.startswith("mlflow-artifacts:")
        (kept,) = artifacts.rglob(f"{run['mlflow_run_id']}/artifacts/run.json")
        fetched = client.download_artifacts(run["mlflow_run_id"], "run.json", str(workdir))
        assert Path(fetched).read_bytes() == kept.read_bytes() == (path / "run.json").read_bytes()
        place = kept.relative_to(artifacts)
        assert ask(uri, f"/api/2.0/mlflow-artifacts/artifacts/{place}")[0] == 401
    assert not list(workdir.glob("mlruns"))


@pytest.mark.parametrize("who", [None, (USER[0], "not hers"), ("eve", USER[1])], ids=["nobody", "wrong", "unknown"])
def test_who_is_not_known_is_told_so_at_once(who, team, workdir):
    done = call(
        workdir, "train", f"-m {LINE} tracking.uri={team[0]} seed=0,1 dir=sweep", **(signed(who) if who else {})
    )
    refused(done, f"tracking.uri={team[0]}", "401", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    assert "not hers" not in done.err
    assert list(workdir.iterdir()) == []


def test_a_password_that_changes_under_way_costs_nothing(team, client, workdir, monkeypatch):
    """Training goes on, what it missed is said once, and sent by whoever has the new one."""
    uri, _ = team
    line = f"-m {LINE} tracking.uri={uri} experiment.name=changed trainer.max_epochs=300 seed=0,1 dir=sweep output=json"
    process = begin(workdir, line)
    end = time.monotonic() + 120
    while not (workdir / "sweep/000_seed-0/tracking.json").exists():  # it has its run there
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.2)
    set_password(uri, USER, "a new one, as long as the other")
    try:
        out, err = process.communicate(timeout=200)
        done = Done(process.returncode, out, err)
        assert done.code == 0, err
        assert [run["status"] for run in done.document["runs"]] == ["finished", "finished"]
        assert "Traceback" not in err
        assert err.count("MLFLOW_TRACKING_PASSWORD") == 1, err
        assert "python -m pipeline.sync" in err, err
        sync = f"runs_dir=sweep uri={uri}"  # named, since a directory's word does not get it a password
        refused(call(workdir, "sync", sync), f"uri={uri}: cannot be used", "MLFLOW_TRACKING_PASSWORD")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a new one, as long as the other")
        synced = call(workdir, "sync", sync)
        assert synced.code == 0, synced.err
        _, runs = runs_of(client, "changed")
        assert {run.info.status for run in runs} == {"FINISHED"}
        for run in done.document["runs"]:
            path = workdir / run["run"]
            (shown,) = (one for one in runs if folder_of(one) == path.name)
            assert len(list(rundir.metric_rows(path))) == 301
            assert rows_of(client, shown.info.run_id) == recorded(path)
    finally:
        set_password(uri, USER, USER[1])
