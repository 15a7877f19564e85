"""MLflow shows what the run directories say: all of it, once, and never at a run's expense."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import left_in
from servers import recorded
from tracked import folder_of, runs_of, shown

from pipeline import artifacts, config, rundir
from pipeline.sweep import earlier
from pipeline.tracking.send import send
from pipeline.tracking.state import read_run_id
from pipeline.tracking.view import find_path

# ---- a sweep


def test_one_parent_and_its_runs_nested_all_finished(home, client):
    parent, children = runs_of(client, "tracked")
    assert len(children) == 4
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    directories = [path.parent for path in (home / "sweep").glob("*/run.json")]
    assert {run.info.run_id for run in children} == {read_run_id(path) for path in directories}
    assert parent.info.run_id == read_run_id(home / "sweep")
    assert sorted(map(folder_of, children)) == sorted(path.name for path in directories)


def test_runs_are_named_by_what_is_asked(client):
    parent, children = runs_of(client, "tracked")
    assert parent.info.run_name == "kernel_size: Which?"
    names = [f"kernel_size={size} seed {seed}" for size in (2, 3) for seed in (0, 1)]
    assert sorted(run.info.run_name for run in children) == names


def test_the_parent_says_what_was_asked(client):
    parent, _ = runs_of(client, "tracked")
    tags = parent.data.tags
    assert tags["factors"] == "architecture.kernel_size"
    assert tags["metric"] == "test/acc"
    assert tags["runs"] == "4"
    assert tags["levels.architecture.kernel_size"] == "2, 3"


def test_the_parent_and_its_experiment_say_what_was_found(home, client):
    parent, _ = runs_of(client, "tracked")
    note, tags = parent.data.tags["mlflow.note.content"], client.get_experiment(parent.info.experiment_id).tags
    verdict = rundir.read_json(home / "sweep" / "verdict.json")
    decided = parent.data.tags["decided.architecture.kernel_size"]
    assert re.fullmatch(r"[23]|[23] ≈ [23]|open \([23] leads\)", decided)
    assert note.startswith(f"Which? → kernel_size: {decided}\n\n[Report](#/experiments/")
    assert "\n\ntest/acc by architecture.kernel_size: 2, 3\n\n" in note
    for sentence in verdict["sentences"]:
        assert sentence in note
    assert tags["mlflow.note.content"] == note
    assert tags["mlflow.experiment.primaryMetric.name"] == "test/acc"


def test_a_view_lists_the_runs_by_the_metric_beside_the_factors(home, client):
    parent, _ = runs_of(client, "tracked")
    uid = rundir.read_sweep(home / "sweep").uid
    tags = client.get_experiment(parent.info.experiment_id).tags
    (kept,) = (json.loads(value) for key, value in tags.items() if key == f"mlflow.sharedViewState.{uid}")
    state = json.loads(kept["state"])
    columns = ["metrics.`test/acc`", "params.`architecture.kernel_size`", "params.`seed`"]
    assert (state["selectedColumns"], state["orderByKey"], state["orderByAsc"]) == (columns, columns[0], False)
    listed = client.search_runs([parent.info.experiment_id], state["searchFilter"])
    assert {run.data.tags["mlflow.parentRunId"] for run in listed} == {parent.info.run_id}
    assert len(listed) == 4
    page = f"#/experiments/{parent.info.experiment_id}/runs?viewStateShareKey={uid}&workflowType=machine_learning"
    assert find_path(home / "sweep") == page
    assert f"[All runs]({page})" in parent.data.tags["mlflow.note.content"]


def test_the_parent_holds_the_verdict(home, client):
    parent, _ = runs_of(client, "tracked")
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"sweep.json", "verdict.json", "report.html", "verdict.md", "verdict.tex", "verdict.csv"} <= names
    local = client.download_artifacts(parent.info.run_id, "verdict.json")
    assert rundir.read_json(Path(local)) == rundir.read_json(home / "sweep" / "verdict.json")
    assert any(name.endswith(".png") for name in names)
    levels = rundir.read_json(home / "sweep" / "verdict.json")["factors"]["architecture.kernel_size"]["levels"]
    assert parent.data.metrics == {
        f"verdict/architecture.kernel_size.{level['level']}": level["mean"] for level in levels
    }


def test_parameters_are_flat_under_the_configs_own_names(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        asked = rundir.read_json(home / child.data.tags["run_dir"] / "run.json")
        flat = config.flat(asked["config"])
        assert {name: str(flat[name]) for name in child.data.params} == child.data.params
        assert {"seed", "architecture.kernel_size", "optimizer.lr", "trainer.max_epochs"} <= set(child.data.params)
        missing = set(flat) - set(child.data.params)
        assert {name.split(".")[0] for name in missing} <= {"tracking", "experiment", "dir", "output"}


def test_tags_say_which_run_it_is(home, client):
    _, children = runs_of(client, "tracked")
    found = sorted((run.data.tags["arm"], run.data.tags["seed"]) for run in children)
    assert found == [("kernel_size=2", "0"), ("kernel_size=2", "1"), ("kernel_size=3", "0"), ("kernel_size=3", "1")]
    for run in children:
        asked = rundir.read_json(home / run.data.tags["run_dir"] / "run.json")
        assert run.data.tags["sweep"] == "sweep"
        assert run.data.tags["data_digest"] == asked["dataset"]["digest"]
        assert run.data.tags["run_key"] == asked["key"]
        assert run.data.tags["mlflow.source.git.commit"] == (asked["git_sha"] or "")
        assert run.data.tags["parameters"] == str(asked["parameters"])
        assert run.data.tags["arm"] == asked["arm"]


def test_every_metric_row_is_shown_once(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        expected = recorded(home / child.data.tags["run_dir"])
        assert set(expected.values()) == {1}
        assert {"train/loss", "val/loss", "val/acc", "test/acc", "test/loss", "lr"} <= {row[0] for row in expected}
        assert any(row[0].startswith("system/") for row in expected)
        assert shown(home / "mlruns/mlflow.db", child.info.run_id) == expected
        history = client.get_metric_history(child.info.run_id, "val/acc")
        assert [point.step for point in history] == [1, 2]


def test_what_is_shown_is_what_the_checkpoint_gives(home, client, in_home):
    from pipeline.evaluation.predict import evaluate

    _, children = runs_of(client, "tracked")
    for child in children:
        metrics = evaluate(Path(child.data.tags["run_dir"]))["metrics"]
        assert child.data.metrics["test/acc"] == metrics["test/acc"]
        assert child.data.metrics["test/loss"] == metrics["test/loss"]


def test_the_data_set_is_an_input(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        (entry,) = client.get_run(child.info.run_id).inputs.dataset_inputs
        asked = rundir.read_json(home / child.data.tags["run_dir"] / "run.json")["dataset"]
        assert entry.dataset.name == "digits"
        assert entry.dataset.digest == asked["digest"][:12]
        assert '"num_examples": 603' in entry.dataset.profile  # 64 + 180 + 359


def test_configuration_checkpoints_and_plots_are_artifacts(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        run = home / child.data.tags["run_dir"]
        found = {file.path for file in client.list_artifacts(child.info.run_id)}
        assert {"run.json", "status.json", "metrics.jsonl", "predictions.npz", "curves.png"} <= found
        kept = [file.path for file in client.list_artifacts(child.info.run_id, "checkpoints")]
        assert kept == ["checkpoints/best.ckpt", "checkpoints/last.ckpt"]
        for name in ("run.json", "checkpoints/best.ckpt", "status.json"):
            copy = Path(client.download_artifacts(child.info.run_id, name))
            assert copy.read_bytes() == (run / name).read_bytes()


def test_the_run_ends_when_it_ended(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        assert child.info.end_time == int(rundir.get_status(home / child.data.tags["run_dir"]).ended * 1000)


# ---- the files of a run


def test_each_file_of_a_run_is_in_the_table(home):
    known = {artifact.path for artifact in artifacts.ARTIFACTS}
    for run in (path.parent for path in (home / "sweep").glob("*/run.json")):
        assert {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()} <= known


@pytest.mark.parametrize("name", ["activations.npz", "seen/activations.npz"])
def test_an_entry_in_the_table_is_all_that_a_new_file_of_a_run_needs(
    name, home, in_home, client, tmp_path, monkeypatch
):
    """It is sent, is copied with a run that serves another sweep, and goes with what a damaged run left."""
    new = artifacts.Artifact(name, "what a layer saw", linked=True)
    monkeypatch.setattr(artifacts, "ARTIFACTS", (*artifacts.ARTIFACTS, new))
    run = tmp_path / "runs" / "e" / "run"
    shutil.copytree(sorted((home / "sweep").glob("*/run.json"))[0].parent, run)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_bytes(b"seen")
    (run / "tracking.json").unlink()
    record = dataclasses.replace(rundir.read_run(run), uid="new")
    record.config["experiment"]["name"] = "files"
    rundir.write_record(run / "run.json", record)

    shown_by = send(run, config.Tracking(**record.config["tracking"])).run_id
    assert Path(client.download_artifacts(shown_by, name)).read_bytes() == b"seen"

    settings = dataclasses.replace(config.of_run(run), runs_dir=str(tmp_path / "runs"), resume=True)
    job = SimpleNamespace(settings=settings, key=SimpleNamespace(digest=record.key), arm="")
    place = tmp_path / "runs" / "e" / "sweep" / "000"
    assert earlier.serve(place.parent, [job], [place]) == {place: run}
    assert (place / name).samefile(run / name)

    rundir.clear(run)
    assert {"run.json"} <= set(left_in(run)) <= {"lock", "run.json", "tracking.json", "tracking.lock"}
    assert (place / name).read_bytes() == b"seen"
