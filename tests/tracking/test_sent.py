"""Nothing is sent but what belongs to a run, and to nobody but whom the user named."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
from running import TINY, refused
from tracked import all_of, folder_of

from pipeline import rundir
from pipeline.rundir.documents import write_checked
from pipeline.tracking.state import Findings, TrackingState, read_run_id

pytestmark = pytest.mark.slow  # each trains networks, sources first


@pytest.fixture
def client(where):
    from pipeline.tracking.connect import connect

    return connect(where)


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


def test_no_folder_is_sent_in_the_place_of_a_file(run, client, command, tmp_path, caplog):
    """Whatever lies in it, and wherever links in it lead."""
    (tmp_path / "secret").write_text("secret")
    (run / "curves.png").unlink()
    (run / "curves.png").mkdir()
    (run / "curves.png" / "notes.txt").symlink_to(tmp_path / "secret")
    assert command("sync", f"runs_dir={run}").code == 0
    assert "curves.png is not sent: it is no file" in caplog.text
    (made,) = all_of(client, run)
    assert client.list_artifacts(made.info.run_id, "curves.png") == []


def test_a_sweep_sends_no_folder_and_no_card_of_other_data(sweep, where, client, command, tmp_path, caplog):
    """Which its tracking.json, that of somebody else, may name."""
    from pipeline import data

    (tmp_path / "secret").write_text("secret")
    (sweep / "extra").mkdir()
    (sweep / "extra/notes.txt").symlink_to(tmp_path / "secret")
    settings = data.Data(source="photo_patches", name="photo_patches", prepared_dir=str(tmp_path / "theirs"))
    prepared = data.prepare(settings, 0)
    card = data.card_of(str(prepared.dir), prepared.digest, settings, 0)
    TrackingState(vars(where), attached=Findings(["extra", str(card), "sweep.json"], {})).save(sweep)
    assert command("sync", f"runs_dir={sweep}").code == 0
    assert "extra is not sent: it is no file" in caplog.text
    assert "is not sent: it lies outside" in caplog.text
    (made,) = (one for one in all_of(client, sweep) if folder_of(one) == "sweep")
    assert [file.path for file in client.list_artifacts(made.info.run_id)] == ["sweep.json"]


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
    (made,) = (one for one in all_of(client, sweep) if folder_of(one) == "sweep")
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
