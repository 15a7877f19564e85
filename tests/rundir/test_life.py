import os

from a_run import a_run

from pipeline import rundir
from pipeline.rundir import life


def test_a_new_run_is_running(tmp_path):
    rundir.start(tmp_path / "run", a_run())
    asked = rundir.read_json(tmp_path / "run" / "run.json")
    assert len(asked["uid"]) == 16
    status = rundir.get_status(tmp_path / "run")
    assert (status.status, status.pid) == ("running", os.getpid())
    assert (tmp_path / "run" / "checkpoints").is_dir()


def test_a_run_that_is_begun_again_keeps_its_uid_and_no_two_share_one(tmp_path):
    rundir.start(tmp_path / "run", a_run())
    first = rundir.read_json(tmp_path / "run" / "run.json")["uid"]
    rundir.start(tmp_path / "run", a_run())
    assert rundir.read_json(tmp_path / "run" / "run.json")["uid"] == first
    rundir.start(tmp_path / "other", a_run())
    assert rundir.read_json(tmp_path / "other" / "run.json")["uid"] != first


def left(path, **facts):
    """A run whose process is gone."""
    rundir.set_status(path, "running", pid=1, **facts)
    (path / "lock").touch()
    return path


def test_what_was_left_behind_is_interrupted(tmp_path):
    assert rundir.left_behind(left(tmp_path))
    assert rundir.get_status(tmp_path).status == "interrupted"
    assert not rundir.left_behind(tmp_path)
    with rundir.locked(left(tmp_path)):
        assert not rundir.left_behind(tmp_path)
    assert rundir.get_status(tmp_path).status == "running"


def test_nobody_takes_a_run_up_while_it_is_found_left_behind(tmp_path, monkeypatch):
    write, held = life.end, []

    def writes(path, status, **facts):
        held.append(rundir.alive(path))  # another process that wanted it would find it held
        write(path, status, **facts)

    left(tmp_path)
    monkeypatch.setattr(life, "end", writes)
    assert rundir.left_behind(tmp_path)
    assert held == [True]


def test_a_run_that_was_taken_up_and_ended_meanwhile_keeps_its_end(tmp_path, monkeypatch):
    left(tmp_path)
    look = rundir.get_status

    def slow_look(path):
        found = look(path)
        monkeypatch.setattr(life, "get_status", look)
        rundir.set_status(path, "finished", seconds=1.0)  # by another process, between look and word
        return found

    monkeypatch.setattr(life, "get_status", slow_look)
    assert not rundir.left_behind(tmp_path)
    assert rundir.get_status(tmp_path).status == "finished"


def test_runs_that_train_at_once_have_each_spent_their_part(tmp_path):
    rundir.start(tmp_path, a_run(), together=3)
    rundir.set_status(tmp_path, "interrupted", started=100.0, ended=106.0)
    rundir.resume(tmp_path, together=2)
    assert rundir.get_status(tmp_path).spent == 2.0
    rundir.set_status(tmp_path, "interrupted", started=200.0, ended=206.0)
    rundir.resume(tmp_path)
    assert rundir.get_status(tmp_path).spent == 5.0


def test_what_was_imported_before_it_trains_is_no_time_of_the_run(tmp_path, monkeypatch):
    rundir.start(tmp_path, a_run())
    rundir.set_status(tmp_path, "running", started=100.0)
    monkeypatch.setattr(life.time, "time", lambda: 104.0)
    rundir.trains(tmp_path)
    rundir.set_status(tmp_path, "interrupted", ended=106.0)
    rundir.trains(tmp_path)  # nothing of a run that does not
    rundir.resume(tmp_path)
    assert rundir.get_status(tmp_path).spent == 2.0
    assert rundir.get_status(tmp_path).trains is None
