"""What MLflow missed is sent later, by any process, once; how runs ended is set right."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import Timeout
from running import TINY, call, refused
from servers import recorded, rows_of

from pipeline import rundir
from pipeline.config.tracking import Tracking
from pipeline.rundir.documents import write_checked
from pipeline.tracking import live, unsent
from pipeline.tracking.send import send
from pipeline.tracking.state import Findings, TrackingState, read_run_id, tracking_of

pytestmark = pytest.mark.slow  # each trains networks, sources first


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a sweep of two runs that nobody tracked, and a database that a first send made."""
    folder = tmp_path_factory.mktemp("sync")
    done = call(folder, "train", f"-m {TINY} seed=0,1 dir=sweep output=json")
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def where(place):
    return Tracking(uri=f"sqlite:///{place}/mlflow.db", artifacts=f"{place}/artifacts")


@pytest.fixture
def client(where):
    from pipeline.tracking.connect import connect

    return connect(where)


@pytest.fixture
def sweep(place, where, tmp_path, request):
    """A copy of the sweep as one of its own, in an experiment of its own, under tmp_path/runs."""
    copy = tmp_path / "runs" / "e" / "sweep"
    shutil.copytree(place / "sweep", copy)
    asked = rundir.read_json(copy / "sweep.json")
    asked |= {"uid": os.urandom(8).hex(), "tracking": vars(where)}
    asked["experiment"]["name"] = request.node.name.replace("[", "-").replace("]", "")
    write_checked(copy / "sweep.json", asked)
    for run in copy.glob("*/run.json"):
        known = rundir.read_json(run) | {"uid": os.urandom(8).hex()}
        known["config"] |= {"tracking": vars(where), "runs_dir": str(tmp_path / "runs")}
        known["config"]["experiment"]["name"] = asked["experiment"]["name"]
        write_checked(run, known)
    return copy


@pytest.fixture
def run(sweep, tmp_path):
    """One run by itself."""
    alone = tmp_path / "runs" / "e" / "run"
    shutil.copytree(sweep / "000_seed-0", alone)
    shutil.rmtree(sweep)
    return alone


def all_of(client, path):
    """The MLflow runs of the experiment that the run or sweep at `path` belongs to."""
    name = "sweep.json" if (path / "sweep.json").exists() else "run.json"
    asked = rundir.read_json(path / name)
    experiment = asked.get("experiment") or asked["config"]["experiment"]
    return client.search_runs([client.get_experiment_by_name(experiment["name"]).experiment_id])


def test_sync_sends_a_whole_sweep_and_then_has_nothing_to_do(sweep, client, command):
    done = command("sync", f"runs_dir={sweep.parent} output=json")
    assert done.code == 0, done.err
    assert (done.document["tracked"], done.document["sent"], done.document["failed"]) == (3, 3, 0)
    shown = {run.info.run_name: run for run in all_of(client, sweep)}
    assert sorted(shown) == ["000_seed-0", "001_seed-1", "sweep"]
    assert {run.info.status for run in shown.values()} == {"FINISHED"}
    for row in done.document["runs"][1:]:
        path = Path(row["run"])
        made = shown[path.name]
        assert row["mlflow_run_id"] == made.info.run_id
        assert made.data.tags["mlflow.parentRunId"] == shown["sweep"].info.run_id
        assert row["rows"] == len(list(rundir.metric_rows(path)))
        assert rows_of(client, made.info.run_id) == recorded(path)
        assert made.info.start_time == int(rundir.get_status(path).started * 1000)
        assert made.info.end_time == int(rundir.get_status(path).ended * 1000)
        files = {file.path for file in client.list_artifacts(made.info.run_id)}
        assert row["files"] == len(files) - 1 - 1 + 2  # without run.json and the folder, with two checkpoints
    before = {path: path.read_bytes() for path in sweep.rglob("tracking.json")}
    again = command("sync", f"runs_dir={sweep.parent}")
    assert (again.code, again.err) == (0, "")
    assert again.out == "Nothing to send: MLflow has all 3 tracked runs and sweeps under it.\n"
    assert {path: path.read_bytes() for path in sweep.rglob("tracking.json")} == before


@pytest.mark.parametrize("lost", ["nothing", "tracking.json", "half of it"])
def test_sending_all_again_makes_nothing_twice(lost, run, client, command):
    assert command("sync", f"runs_dir={run.parent}").code == 0
    (first,) = all_of(client, run)
    if lost == "tracking.json":
        (run / "tracking.json").unlink()
    if lost == "half of it":
        (run / "tracking.json").write_text((run / "tracking.json").read_text()[:99])
    assert command("sync", f"runs_dir={run.parent} again=true").code == 0
    (second,) = all_of(client, run)
    assert second.info.run_id == first.info.run_id == read_run_id(run)
    assert second.data.params == first.data.params
    assert rows_of(client, second.info.run_id) == recorded(run)
    assert len(second.inputs.dataset_inputs) == 1


def killed_after(call_name, run):
    """Send `run` in a process that is killed right after MLflow carried out the client's first `call_name`."""
    code = f"""
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from pipeline.tracking.send import send
real = MlflowClient.{call_name}
def then_killed(*args, **kwargs):
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
MlflowClient.{call_name} = then_killed
send(Path({str(run)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("call_name", ["create_run", "log_batch", "log_inputs", "log_artifact", "set_terminated"])
def test_a_kill_between_any_call_and_its_record_leaves_one_whole_run(call_name, run, client, workdir):
    killed_after(call_name, run)
    if call_name == "create_run":
        assert read_run_id(run) is None
    assert send(run).status == "FINISHED"
    (made,) = all_of(client, run)
    assert made.info.run_id == read_run_id(run)
    assert made.info.status == "FINISHED"
    assert rows_of(client, made.info.run_id) == recorded(run)
    assert len(made.inputs.dataset_inputs) == 1


def test_a_run_that_was_made_after_it_was_given_up_is_deleted(run, client):
    send(run)
    (made,) = all_of(client, run)
    uid = rundir.read_json(run / "run.json")["uid"]
    late = client.create_run(made.info.experiment_id, tags={"uid": uid})  # the call that seemed to hang
    state = rundir.read_json(run / "tracking.json")
    write_checked(run / "tracking.json", state | {"tries": 2, "ended": None})
    send(run)
    assert [found.info.run_id for found in all_of(client, run)] == [made.info.run_id]
    assert client.get_run(late.info.run_id).info.lifecycle_stage == "deleted"


def send_sweep(path):
    todo = sorted(path.glob("*/run.json"))
    while todo:
        with contextlib.suppress(Timeout):  # another one is at it for more than 5 s: as while training, later
            send(todo[0].parent)
            todo.pop(0)


def test_processes_that_send_the_same_sweep_at_once_make_each_run_once(sweep, client):
    spawn = multiprocessing.get_context("spawn")
    several = [spawn.Process(target=send_sweep, args=[sweep]) for _ in range(3)]
    for one in several:
        one.start()
    for one in several:
        one.join(120)
    assert [one.exitcode for one in several] == [0] * 3
    send(sweep)
    assert sorted(run.info.run_name for run in all_of(client, sweep)) == ["000_seed-0", "001_seed-1", "sweep"]


# ---- how it ended


def test_a_run_whose_process_is_dead_is_killed_and_one_that_lives_is_left_alone(run, client, command):
    rundir.set_status(run, "running")
    with rundir.locked(run):
        done = command("sync", f"runs_dir={run.parent} output=json")
        assert (done.code, done.document["runs"]) == (0, [])
        send(run, mine=True)
        assert all_of(client, run)[0].info.status == "RUNNING"
    done = command("sync", f"runs_dir={run.parent} output=json")
    assert [row["status"] for row in done.document["runs"]] == ["KILLED"]
    (made,) = all_of(client, run)
    assert made.info.status == "KILLED"
    assert made.info.end_time >= made.info.start_time
    assert rundir.get_status(run).status == "running"  # the directory is the truth; sync reads it
    assert command("sync", f"runs_dir={run.parent} output=json").document["runs"] == []


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_run_that_is_taken_up_again_goes_on_in_its_mlflow_run(status, run, client):
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(rows[0])
    rundir.set_status(run, status, ended=time.time())
    send(run)
    (first,) = all_of(client, run)
    assert first.info.status == {"interrupted": "KILLED", "failed": "FAILED"}[status]

    rundir.set_status(run, "running")
    assert send(run, mine=True).status == "RUNNING"
    assert all_of(client, run)[0].info.status == "RUNNING"
    with open(run / "metrics.jsonl", "a") as file:
        file.writelines(rows[1:])
    rundir.set_status(run, "finished", ended=time.time())
    assert send(run).rows == len(rows) - 1
    (second,) = all_of(client, run)
    assert (second.info.run_id, second.info.status) == (first.info.run_id, "FINISHED")
    assert second.data.params == first.data.params
    assert rows_of(client, second.info.run_id) == recorded(run)


def test_a_changed_parameter_does_not_stop_it(run, client):
    send(run)
    asked = rundir.read_json(run / "run.json")
    asked["config"]["runs_dir"] = "elsewhere"
    asked["config"]["later"] = 1
    write_checked(run / "run.json", asked)
    (first,) = all_of(client, run)
    send(run, again=True)
    (second,) = all_of(client, run)
    assert second.data.params == first.data.params | {"later": "1"}


def test_a_record_that_was_begun_anew_is_sent_whole(run, client):
    send(run)
    rundir.set_status(run, "running")
    (run / "metrics.jsonl").unlink()
    for step in range(1, 4):
        rundir.append_metrics(run, step, {"anew": step / 2})
    assert send(run, mine=True).rows == 3
    assert [row[1] for row in rows_of(client, read_run_id(run)) if row[0] == "anew"] == [1, 2, 3]


def test_what_a_person_deleted_on_the_dashboard_stays_deleted(run, client, command):
    send(run)
    client.delete_run(read_run_id(run))
    rundir.set_status(run, "failed", ended=time.time())
    done = command("sync", f"runs_dir={run.parent} output=json")
    assert [row["status"] for row in done.document["runs"]] == ["deleted there"]
    assert done.code == 0
    assert all_of(client, run) == []
    assert command("sync", f"runs_dir={run.parent} output=json").document["runs"] == []


# ---- elsewhere, and nowhere


def test_sync_shows_runs_on_another_mlflow_and_from_then_on_there(sweep, client, command, tmp_path):
    assert command("sync", f"runs_dir={sweep}").code == 0
    there = f"sqlite:///{tmp_path}/there/mlflow.db"
    done = command("sync", f"runs_dir={sweep} uri={there} output=json")
    assert [row["uri"] for row in done.document["runs"]] == [there] * 3
    from mlflow import MlflowClient

    assert len(all_of(MlflowClient(tracking_uri=there), sweep)) == 3
    assert list((tmp_path / "there" / "artifacts").rglob("metrics.jsonl"))
    assert tracking_of(sweep).uri == there
    assert command("sync", f"runs_dir={sweep} output=json").document["runs"] == []


def test_a_server_that_is_away_is_told_once_per_run_and_changes_nothing(sweep, client, command):
    assert command("sync", f"runs_dir={sweep}").code == 0
    before = {path: path.read_bytes() for path in sweep.rglob("tracking.json")}
    done = command("sync", f"runs_dir={sweep} uri=http://127.0.0.1:9 output=json")
    assert done.code == 1
    assert [row["error"] for row in done.document["runs"]] == ["connection refused"] * 3
    assert {path: path.read_bytes() for path in sweep.rglob("tracking.json")} == before


def test_what_cannot_be_is_said_so(command, workdir):
    refused(command("sync", "runs_dir=nowhere"), "runs_dir=nowhere", "no such folder")
    (workdir / "runs").mkdir()
    refused(command("sync", "uri=ftp://x"), "uri=ftp://x", "sqlite:///, http:// or https://")
    refused(command("sync", "uri=http://x artifacts=here"), "artifacts=here", "uri=sqlite:///")
    refused(command("sync", "output=xml"), "output=xml")
    refused(command("sync", "agian=true"), "agian", "again")


def sent_files(client, path):
    (made,) = all_of(client, path)
    return {file.path for folder in (None, "checkpoints") for file in client.list_artifacts(made.info.run_id, folder)}


def test_only_what_lies_in_a_directory_is_sent(run, client, command, tmp_path, caplog):
    """A directory of somebody else's may hold links to, or name, files of whoever sends it."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for name in ("curves.png", "error.txt", "checkpoints/best.ckpt"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(secret)
    asked = rundir.read_json(run / "run.json")
    card = tmp_path / "no_set" / "card-00000000.html"
    card.parent.mkdir()
    card.symlink_to(secret)
    write_checked(run / "run.json", asked | {"dataset": asked["dataset"] | {"dir": str(card.parent)}})
    done = command("sync", f"runs_dir={run}")
    assert done.code == 0, done.err
    assert caplog.text.count("is not sent: it lies outside") == 3
    files = sent_files(client, run)
    assert {"run.json", "metrics.jsonl", "predictions.npz", "checkpoints/last.ckpt"} <= files
    assert not files & {"curves.png", "error.txt", "checkpoints/best.ckpt", "secret"}
    assert not [name for name in files if name.startswith("card")]


def test_the_card_of_a_prepared_set_is_sent_and_no_link_in_its_place(run, place, client, command, tmp_path):
    asked = rundir.read_json(run / "run.json")
    prepared = tmp_path / "prepared"
    shutil.copytree(place / asked["dataset"]["dir"], prepared)
    write_checked(run / "run.json", asked | {"dataset": asked["dataset"] | {"dir": str(prepared)}})
    assert command("sync", f"runs_dir={run}").code == 0
    (card,) = (name for name in sent_files(client, run) if name.startswith("card-"))
    (tmp_path / "secret").write_text("secret")
    (prepared / card).unlink(missing_ok=True)
    (prepared / card).symlink_to(tmp_path / "secret")
    assert command("sync", f"runs_dir={run} again=true").code == 0
    shown = Path(client.download_artifacts(read_run_id(run), card, str(tmp_path)))
    assert shown.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("named", ["{tmp}/secret", "../../../secret", "link"])
def test_a_sweep_sends_no_file_that_only_its_tracking_names(named, sweep, where, client, command, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (sweep / "link").symlink_to(tmp_path / "secret")
    found = Findings([named.format(tmp=tmp_path), "sweep.json"], {})
    TrackingState(vars(where), attached=found).save(sweep)
    assert command("sync", f"runs_dir={sweep}").code == 0
    (made,) = (one for one in all_of(client, sweep) if one.info.run_name == "sweep")
    assert [file.path for file in client.list_artifacts(made.info.run_id)] == ["sweep.json"]


def test_a_file_of_a_config_folder_cannot_choose_who_is_told_a_password(command, workdir, monkeypatch):
    (workdir / "theirs/experiment").mkdir(parents=True)
    text = "# @package _global_\ntracking: {uri: 'http://127.0.0.1:9', artifacts: null}\n"
    (workdir / "theirs/experiment/x.yaml").write_text(text)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    line = f"--config-dir theirs experiment=x {TINY.replace('tracking=none', '')}"
    refused(command("train", line), "tracking.uri=http://127.0.0.1:9", "would be told your MLflow user name")
    assert not (workdir / "runs").exists()
    assert command("train", f"{line} tracking.uri=http://127.0.0.1:9 tracking.wait_s=0.1").code == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert command("train", f"{line} tracking.wait_s=0.1 seed=1").code == 0


def test_a_directory_cannot_choose_where_names_passwords_and_files_go(run, command, tmp_path, monkeypatch):
    database = tmp_path / "elsewhere" / "x.db"

    def told(**tracking):
        TrackingState(tracking).save(run)
        done = command("sync", f"runs_dir={run} output=json")
        assert done.code == 1
        assert done.document["failed"] == 1
        return done.document["runs"][0]["error"]

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    assert "would be told your MLflow user name" in told(uri="http://stranger.invalid", artifacts=None)
    assert "would be told your MLflow user name" in told(uri="http://127.0.0.1:9", artifacts=None)  # whose is the port?
    assert "without '@'" in told(uri="http://stranger.invalid\\@127.0.0.1/x", artifacts=None)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "a-plugin")
    assert "would be told your MLflow user name" in told(uri="http://stranger.invalid", artifacts=None)
    monkeypatch.delenv("MLFLOW_TRACKING_AUTH")
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text("[mlflow]\nmlflow_tracking_username = me\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "would be told your MLflow user name" in told(uri="http://stranger.invalid", artifacts=None)
    mine = tmp_path / "mine.db"
    with contextlib.closing(sqlite3.connect(mine)) as other:
        other.execute("CREATE TABLE people (name TEXT)")
    before = mine.read_bytes()
    assert "is no database of MLflow's" in told(uri=f"sqlite:///{mine}", artifacts=None)
    assert mine.read_bytes() == before
    assert f"uri=sqlite:///{database} on the command line" in told(uri=f"sqlite:///{database}", artifacts=None)
    assert "lie neither" in told(uri=f"sqlite:///{tmp_path}/work/x.db", artifacts=str(database.parent))
    assert "must start with" in told(uri="file:///etc", artifacts=None)
    assert "names no MLflow" in told(uri="http://x", odd=1)
    assert not database.parent.exists()


def test_untracked_runs_are_nothing_to_send(place, command):
    done = command("sync", f"runs_dir={place}/sweep")
    assert done.out == "Nothing to send: MLflow has all 0 tracked runs and sweeps under it.\n"


# ---- the next command


def test_the_next_command_sends_what_an_earlier_run_missed(run, where, client, capfd):
    runs_dir = run.parents[1]
    uid = rundir.read_json(run / "run.json")["uid"]
    unsent.add(run, uid, runs_dir, where.uri)
    live.send_missed(runs_dir, where)
    assert capfd.readouterr().err == f"tracking: sent what 1 earlier runs under {runs_dir} had missed\n"
    assert [made.info.status for made in all_of(client, run)] == ["FINISHED"]
    assert list(unsent.find(runs_dir, where.uri)) == []
    assert os.listdir(runs_dir / ".unsent") == []


def test_the_next_command_leaves_alone_what_is_under_way_or_shown_elsewhere(run, where, capfd):
    runs_dir = run.parents[1]
    uid = rundir.read_json(run / "run.json")["uid"]
    unsent.add(run, uid, runs_dir, "http://elsewhere")
    live.send_missed(runs_dir, where)
    unsent.add(run, uid, runs_dir, where.uri)
    rundir.set_status(run, "running")
    with rundir.locked(run):
        live.send_missed(runs_dir, where)
    assert capfd.readouterr().err == ""
    assert read_run_id(run) is None
    assert os.listdir(runs_dir / ".unsent") == [uid]


def test_marks_that_lead_nowhere_are_no_trouble(tmp_path, where):
    (tmp_path / ".unsent").mkdir()
    (tmp_path / ".unsent" / "torn").write_text('{"dir": "r')
    (tmp_path / ".unsent" / "gone").write_text(json.dumps({"dir": "gone", "uri": where.uri}))
    assert list(unsent.find(tmp_path, where.uri)) == []
    assert not (tmp_path / ".unsent" / "gone").exists()


def test_a_thousand_finished_runs_cost_the_next_command_nothing(tmp_path, where):
    for number in range(1000):
        run = tmp_path / "e" / "sweep" / f"{number:04d}"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        unsent.add(run, f"{number}", tmp_path, where.uri)
        unsent.remove(run, f"{number}")
    began = time.perf_counter()
    live.send_missed(tmp_path, where)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize("new", ["no database", "a new one"])
def test_a_database_that_was_deleted_is_said_and_again_shows_all(new, sweep, process, workdir):
    own = Tracking(uri=f"sqlite:///{workdir}/own/mlflow.db", artifacts=f"{workdir}/own/artifacts")
    line = f"runs_dir={sweep.parent}"  # each in a process of its own: MLflow keeps a deleted database open
    assert process("sync", f"{line} uri={own.uri}").code == 0
    shutil.rmtree(workdir / "own")
    if new == "a new one":
        from pipeline.tracking.connect import connect

        connect(own)
    done = process("sync", line)
    assert done.code == 1
    assert done.err.count("it has no run") == 3
    assert f"`python -m pipeline.sync runs_dir={sweep} again=true` shows it anew" in done.err
    assert (workdir / "own").exists() == (new == "a new one")
    # What is taken up again owes something, and cannot send it there either
    status = rundir.read_json(sweep / "000_seed-0" / "status.json")
    write_checked(sweep / "000_seed-0" / "status.json", status | {"ended": status["ended"] + 1})
    done = process("sync", line)
    assert (done.code, done.err.count("it has no run")) == (1, 3)
    # One run of the sweep alone, then all
    assert process("sync", f"runs_dir={sweep / '000_seed-0'} again=true").code == 0
    assert process("sync", f"{line} again=true").code == 0
    assert process("sync", line).out.startswith("Nothing to send")
    from pipeline.tracking.connect import connect

    shown = {run.info.run_name: run for run in all_of(connect(own), sweep)}
    assert sorted(shown) == ["000_seed-0", "001_seed-1", "sweep"]
    for path in sweep.glob("*/run.json"):
        run = shown[path.parent.name]
        assert rows_of(connect(own), run.info.run_id) == recorded(path.parent)
        assert run.data.tags["mlflow.parentRunId"] == shown["sweep"].info.run_id


def test_a_damaged_run_is_named_and_the_others_are_sent(sweep, client, command):
    (sweep / "000_seed-0" / "run.json").write_text("{}")
    (sweep / "001_seed-1" / "status.json").write_text("null")
    done = command("sync", f"runs_dir={sweep.parent} output=json")
    assert done.code == 1
    assert {Path(row["run"]).name for row in done.document["runs"] if row["error"]} == {"000_seed-0", "001_seed-1"}
    assert [run.info.run_name for run in all_of(client, sweep)] == ["sweep"]
