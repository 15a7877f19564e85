"""Finished work is not thrown away: by the real command, on a copy of the package that is then changed."""

import json
import os
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from running import REPOSITORY, TINY, call, refused

from pipeline import rundir

LINE = f"-m {TINY} architecture.kernel_size=1,3 seed=0,1 output=json"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The package in a folder of its own: `train(line)` runs its command, `change(name, old, new)` edits a module."""
    for name in ("pipeline", "conf", "hydra_plugins"):
        shutil.copytree(REPOSITORY / name, tmp_path / "code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path / "code")  # --version, and names of extras
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def train(line):
        return call(folder, "train", line, PYTHONPATH=str(tmp_path / "code"))

    def change(name, old, new):
        path = tmp_path / "code" / "pipeline" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return train, change


def trained_at(sweep):
    """When each run of the sweep was begun, by its directory."""
    return {job["dir"]: rundir.get_status(Path(sweep) / job["dir"]).started for job in _jobs(sweep)}


def _jobs(sweep):
    return rundir.read_json(Path(sweep) / "sweep.json")["jobs"]


@pytest.mark.slow
def test_a_comment_retrains_nothing_and_code_that_computes_says_so(copied):
    train, change = copied
    first = train(LINE)
    assert first.code == 0, first.err
    sweep = first.document["sweep"]
    began = trained_at(sweep)

    change("evidence/page.py", "\nfrom ", "\n# A comment.\nfrom ")
    change("training/fit.py", "\nimport ", "\n# A comment.\nimport ")
    again = train(LINE)
    assert again.document["sweep"] == sweep
    assert trained_at(sweep) == began
    assert again.err.count("finished before") == 4

    change("training/guard.py", "class Guard", "ADDED = 1\n\n\nclass Guard")
    accepted = train(f"{LINE} accept=code")
    assert accepted.document["sweep"] == sweep
    assert trained_at(sweep) == began
    said = "4 of 4 runs were trained by other code (accept=code): training/guard.py"
    assert f"mind: {said}" in accepted.err
    assert said in rundir.read_json(Path(sweep) / "sweep.json")["warnings"]
    change("training/guard.py", "ADDED = 1", "ADDED = 2")
    other = train(LINE)
    assert other.code == 0, other.err
    assert other.document["sweep"] != sweep
    assert (
        f"mind: 4 runs that finished before, in {sweep}, are trained again: code that computes numbers has changed "
        "(training/guard.py). accept=code takes what was trained before as it is" in other.err
    )
    metrics = [[run["metrics"] for run in done.document["runs"]] for done in (first, other)]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_an_edited_file_of_conf_is_told(copied, tmp_path):
    train, _ = copied
    sweep = train(LINE).document["sweep"]
    path = tmp_path / "code/conf/optimizer/adam.yaml"
    assert "lr: 0.001" in path.read_text()
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 0.002"))
    again = train(LINE)
    assert again.code == 0, again.err
    assert f"in {sweep}, are trained again: the configuration has changed (optimizer.lr: 0.001 -> 0.002)" in again.err


def test_a_narrower_sweep_takes_what_is_there(command, workdir):
    wide = command("train", LINE).document
    began = trained_at(wide["sweep"])
    done = command("train", LINE.replace("seed=0,1", "seed=1"))
    narrow = done.document
    assert narrow["sweep"] != wide["sweep"]
    assert done.err.count("finished before, in runs/train/") == 2
    assert [run["metrics"] for run in narrow["runs"]] == [wide["runs"][n]["metrics"] for n in (1, 3)]
    # What is asked of results that were known may have been chosen by them, and is not called planned.
    assert (wide["verdict"]["known"], narrow["verdict"]["known"]) == (0, 2)
    assert any("Asked afterwards: 2 of 2 runs had finished" in said for said in narrow["verdict"]["warnings"])
    pages = [Path(one["sweep"], "report.html").read_text() for one in (wide, narrow)]
    assert "planned before the first run" in pages[0]
    assert "planned before the first run" not in pages[1]
    assert "planned when 2 of the runs had finished" in pages[1]
    assert "Asked afterwards: 2 of 2 runs" in Path(narrow["sweep"], "verdict.md").read_text()
    assert "2 runs known before it was asked" in command("claims", "runs_dir=runs/train").out
    assert sorted(trained_at(narrow["sweep"]).values()) == sorted(list(began.values())[n] for n in (1, 3))
    # Each stands by itself, and both verdicts can be had again.
    shutil.rmtree(wide["sweep"])
    compared = command("compare", f"sweep={narrow['sweep']} output=json")
    assert compared.code == 0, compared.err
    assert json.dumps(compared.document["factors"]) == json.dumps(narrow["verdict"]["factors"])
    run = Path(narrow["runs"][0]["run"])
    assert command("evaluate", f"run={run} invariance=false output=json").code == 0
    record = rundir.read_json(run / "run.json")
    assert record["taken_from"].startswith(wide["sweep"])
    assert not list(run.parent.glob(".0*"))


def test_a_single_run_serves_a_sweep_and_another_experiment_is_served(command, workdir):
    single = command("train", f"{TINY} architecture.kernel_size=3 seed=1 output=json").document
    line = f"{LINE.replace('seed=0,1', 'seed=1')} experiment.name=other"
    done = command("train", line)
    assert done.code == 0, done.err
    assert done.err.count("finished before, in runs/train/") == 1
    served = Path(done.document["runs"][1]["run"])
    assert rundir.get_status(served).metrics == single["metrics"]
    record = rundir.read_json(served / "run.json")
    assert record["config"]["experiment"]["name"] == "other"
    assert record["arm"] == "kernel_size=3"
    assert record["uid"] != rundir.read_json(Path(single["run"]) / "run.json")["uid"]


def test_what_was_taken_is_shown_on_mlflow_like_the_rest(command, workdir):
    line = LINE.replace("tracking=none", "tracking=local tracking.push_every_s=0.2")
    wide = command("train", line).document
    narrow = command("train", line.replace("seed=0,1", "seed=1")).document
    shown = [run["mlflow_run_id"] for run in narrow["runs"]]
    assert None not in shown
    assert not {*shown} & {run["mlflow_run_id"] for run in wide["runs"]}
    client = MlflowClient(f"sqlite:///{workdir}/mlruns/mlflow.db")
    for number, run_id in enumerate(shown):
        run = client.get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == narrow["mlflow_run_id"]
        assert run.data.metrics["test/acc"] == narrow["runs"][number]["metrics"]["test/acc"]


def test_resume_false_takes_nothing(command, workdir):
    command("train", LINE)
    done = command("train", f"{LINE} resume=false")
    assert done.code == 0
    assert "before" not in done.err


def test_what_is_no_run_is_passed_by(command, workdir):
    command("train", LINE)
    for number, job in enumerate(sorted(Path("runs/train").glob("*/0*/run.json"))):
        job.write_text(["{}", "[1]", "{", "null"][number])
    done = command("train", LINE.replace("seed=0,1", "seed=1"))
    assert done.code == 0, done.err
    assert "finished before" not in done.err


def test_a_single_run_says_that_it_is_trained_anew(command, workdir):
    first = command("train", f"{TINY} output=json").document["run"]
    again = command("train", f"{TINY} output=json")
    assert f"{first}: the same run, finished before; a single one is trained anew" in again.err
    assert again.document["run"] != first
    refused(command("train", f"{TINY} accept=cod"), "accept=cod", "must be one of code", "Did you mean 'code'?")


def test_big_files_are_shared_and_small_ones_are_not(command, workdir):
    command("train", LINE)
    narrow = command("train", LINE.replace("seed=0,1", "seed=1")).document
    run = Path(narrow["runs"][0]["run"])
    source = Path(rundir.read_json(run / "run.json")["taken_from"])
    for name, shared in (("checkpoints/best.ckpt", True), ("predictions.npz", True), ("metrics.jsonl", False)):
        assert os.path.samefile(run / name, source / name) is shared
