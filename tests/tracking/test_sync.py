"""What MLflow missed is sent later, by any process, once; how runs ended is set right."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import Timeout
from running import refused
from servers import recorded, rows_of
from tracked import all_of, folder_of

from pipeline import rundir
from pipeline.config.tracking import Tracking
from pipeline.rundir.documents import write_checked
from pipeline.tracking import live, unsent
from pipeline.tracking.send import send
from pipeline.tracking.state import read_run_id, tracking_of

pytestmark = pytest.mark.slow  # each trains networks, sources first


@pytest.fixture
def client(where):
    from pipeline.tracking.connect import connect

    return connect(where)


def test_sync_sends_a_whole_sweep_and_then_has_nothing_to_do(sweep, client, command):
    done = command("sync", f"runs_dir={sweep.parent} output=json")
    assert done.code == 0, done.err
    assert (done.document["tracked"], done.document["sent"], done.document["failed"]) == (3, 3, 0)
    shown = {folder_of(run): run for run in all_of(client, sweep)}
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
    assert sorted(map(folder_of, all_of(client, sweep))) == ["000_seed-0", "001_seed-1", "sweep"]


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

    shown = {folder_of(run): run for run in all_of(connect(own), sweep)}
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
    assert [folder_of(run) for run in all_of(client, sweep)] == ["sweep"]
