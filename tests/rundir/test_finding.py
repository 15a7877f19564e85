import os

import pytest
from a_run import a_run

from pipeline import rundir
from pipeline.errors import InputError
from pipeline.records import SweepRecord
from pipeline.rundir.documents import write_checked


def sweep_at(path, started):
    path.mkdir(parents=True)
    asked = {"name": "e", "question": "", "metric": "test/acc", "mode": "max", "smallest_effect": 0.01}
    rundir.write_record(path / "sweep.json", SweepRecord(asked, ["seed"], [], started=started))
    return path


def test_the_latest_sweep_is_the_one_begun_last(tmp_path):
    sweep_at(tmp_path / "runs" / "z" / "3", started=10.0)
    newest = sweep_at(tmp_path / "runs" / "a" / "1", started=30.0)
    sweep_at(tmp_path / "runs" / "b", started=20.0)
    os.utime(newest / "sweep.json", (0, 0))  # not the file's own time, which copying changes
    assert rundir.find_sweep("latest", tmp_path / "runs") == newest


def test_a_sweep_is_found_by_its_folder(tmp_path):
    path = sweep_at(tmp_path / "s", started=1.0)
    assert rundir.find_sweep(str(path), tmp_path / "nowhere") == path


def test_a_sweep_of_another_version_is_said_so(tmp_path):
    path = sweep_at(tmp_path / "s", started=1.0) / "sweep.json"
    write_checked(path, {key: value for key, value in rundir.read_json(path).items() if key != "factors"})
    with pytest.raises(InputError, match=r"sweep.json: is damaged, or .* another version: it lacks factors\."):
        rundir.find_sweep(str(tmp_path / "s"), tmp_path)


def test_no_sweep_is_named(tmp_path):
    with pytest.raises(InputError, match=r"sweep=latest: no sweep under runs_dir="):
        rundir.find_sweep("latest", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"sweep=.*: not a sweep directory; it holds no sweep.json"):
        rundir.find_sweep(str(tmp_path), tmp_path)


def test_a_run_is_found_by_its_folder(tmp_path):
    rundir.start(tmp_path / "run", a_run())
    assert rundir.find_run(str(tmp_path / "run")) == tmp_path / "run"
    with pytest.raises(InputError, match=r"run=.*: not a run directory; it holds no run.json"):
        rundir.find_run(str(tmp_path))
