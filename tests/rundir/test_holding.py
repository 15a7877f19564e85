import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime

import pytest

from pipeline import rundir
from pipeline.errors import InputError
from pipeline.rundir import holding
from pipeline.stopping import Stopped


def claim(parent):
    """A process of its own cannot be handed a lambda."""
    with rundir.claimed(None, parent) as path:
        return path


def test_a_new_directory_is_named_by_the_time(tmp_path):
    before = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    made = claim(tmp_path / "runs" / "train")
    assert made.parent == tmp_path / "runs" / "train"
    assert before <= made.name[:19] <= f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    assert made.is_dir()


def test_threads_get_directories_of_their_own(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(claim, [tmp_path / "a" / "b"] * 40))
    assert len(set(made)) == 40
    assert all(path.is_dir() for path in made)


def test_processes_get_directories_of_their_own(tmp_path):
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        made = list(pool.map(claim, [tmp_path / "runs"] * 20))
    assert len(set(made)) == 20
    assert all(path.is_dir() for path in made)


def test_a_directory_that_another_process_has_is_never_shared(tmp_path, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(holding, "datetime", Clock)
    monkeypatch.setattr(holding.secrets, "token_hex", lambda n: "abc")
    assert claim(tmp_path).name == "2026-01-02_03-04-05_abc"
    with pytest.raises(InputError, match="2026-01-02_03-04-05_abc"):
        claim(tmp_path)


def test_a_directory_that_was_asked_for_may_be_there(tmp_path):
    with rundir.claimed(tmp_path / "mine", tmp_path / "runs") as path:
        assert path == tmp_path / "mine"
    with rundir.claimed(tmp_path / "mine", tmp_path / "runs") as path:
        assert path == tmp_path / "mine"
    assert os.listdir(tmp_path) == ["mine"]


def claim_and_fail(parent, error, file=None):
    with rundir.claimed(None, parent) as path:
        if file:
            (path / file).touch()
        raise error


@pytest.mark.parametrize("error", [InputError("x=1"), Stopped("SIGINT"), KeyboardInterrupt()], ids=repr)
def test_bad_input_and_interrupts_leave_no_directory(error, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(type(error)) as raised:
        claim_and_fail(tmp_path / "there" / "runs" / "train", error)
    assert raised.value is error
    assert os.listdir(tmp_path) == ["there"]
    assert os.listdir(tmp_path / "there") == []


def test_what_a_directory_holds_is_never_removed(tmp_path):
    with pytest.raises(InputError, match="x=1"):
        claim_and_fail(tmp_path / "runs", InputError("x=1"), file="mine")
    assert len(list((tmp_path / "runs").glob("*/mine"))) == 1


def test_a_failure_of_ours_leaves_the_directory(tmp_path):
    with pytest.raises(KeyError):
        claim_and_fail(tmp_path / "runs", KeyError("x"))
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/runs.*: cannot be made a folder to write to"):
        claim(tmp_path / "file" / "runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be made a folder to write to"):
        claim(tmp_path / "runs")


def test_a_run_is_alive_for_as_long_as_its_process_holds_it(tmp_path):
    assert not rundir.alive(tmp_path)
    code = """if True:
        import sys, time
        from pathlib import Path
        from pipeline import rundir
        with rundir.locked(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert rundir.alive(tmp_path)
        holder.kill()
        holder.wait()
        assert not rundir.alive(tmp_path)
    with rundir.locked(tmp_path):
        assert rundir.alive(tmp_path)
    assert not rundir.alive(tmp_path)
