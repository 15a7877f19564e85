import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import rundir
from pipeline.errors import InputError

# ---- documents


def test_a_document_is_read_as_it_was_written(tmp_path):
    rundir.write_json(tmp_path / "a.json", {"a": [1, 0.1, None, "é"]})
    assert rundir.read_json(tmp_path / "a.json") == {"a": [1, 0.1, None, "é"]}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_document_that_cannot_be_written_leaves_the_old_one(tmp_path):
    rundir.write_json(tmp_path / "a.json", {"a": 1})
    loop = {}
    loop["a"] = loop
    with pytest.raises(ValueError, match="Circular"):
        rundir.write_json(tmp_path / "a.json", loop)
    assert rundir.read_json(tmp_path / "a.json") == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failing_rename_leaves_the_old_document(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space")

    rundir.write_json(tmp_path / "a.json", {"a": 1})
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        rundir.write_json(tmp_path / "a.json", {"a": 2})
    assert rundir.read_json(tmp_path / "a.json") == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_reader_never_sees_half_a_document(tmp_path):
    path, stop = tmp_path / "a.json", threading.Event()
    documents = [{"n": n, "filler": "x" * 100_000} for n in (0, 1)]
    rundir.write_json(path, documents[0])

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            rundir.write_json(path, documents[n % 2])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [rundir.read_json(path) for _ in range(300)]
    finally:
        stop.set()
        writer.join()
    assert all(document in documents for document in seen)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "a.json: no such file."),
        (b"{", "a.json: cannot be read as JSON"),
        (b"\xff\xfe{}", "a.json: cannot be read as JSON"),
    ],
)
def test_a_document_that_cannot_be_read_is_named(content, said, tmp_path):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError) as error:
        rundir.read_json(tmp_path / "a.json")
    assert said in str(error.value)


def test_status_keeps_the_facts_it_knows(tmp_path):
    assert rundir.get_status(tmp_path) == {"status": "missing"}
    rundir.set_status(tmp_path, "running", pid=1)
    rundir.set_status(tmp_path, "finished", seconds=2.5)
    assert rundir.get_status(tmp_path) == {"status": "finished", "pid": 1, "seconds": 2.5}


def test_a_failure_keeps_its_reason_and_its_traceback(tmp_path):
    try:
        raise RuntimeError("out of\nmemory")
    except RuntimeError as error:
        rundir.fail(tmp_path / "run", error)
    status = rundir.get_status(tmp_path / "run")
    assert (status["status"], status["error"]) == ("failed", "RuntimeError: out of memory")
    assert "Traceback" in (tmp_path / "run" / "error.txt").read_text()


# ---- metrics.jsonl


def test_rows_come_back_in_order(tmp_path):
    rundir.append_metrics(tmp_path, 1, {"val/acc": 0.5})
    rundir.append_metrics(tmp_path, 2, {"val/acc": 0.75, "val/loss": 1.5})
    rows = list(rundir.metric_rows(tmp_path))
    assert [(row["step"], row["metrics"]) for row in rows] == [
        (1, {"val/acc": 0.5}),
        (2, {"val/acc": 0.75, "val/loss": 1.5}),
    ]
    assert list(rundir.metric_rows(tmp_path, skip=1)) == rows[1:]
    assert list(rundir.metric_rows(tmp_path, skip=2)) == []


def test_no_rows_where_nothing_was_recorded(tmp_path):
    assert list(rundir.metric_rows(tmp_path)) == []


def test_every_torn_last_line_is_left_out(tmp_path):
    rundir.append_metrics(tmp_path, 1, {"val/acc": 0.5})
    rundir.append_metrics(tmp_path, 2, {"val/acc": 0.75})
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        (tmp_path / "metrics.jsonl").write_bytes(whole[:end])
        assert [row["step"] for row in rundir.metric_rows(tmp_path)] == [1], whole[first:end]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["train/loss", "val/acc"]), st.floats(allow_nan=False, allow_infinity=False), min_size=1
        ),
        max_size=4,
    )
)
def test_numbers_survive_to_the_last_bit(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("run")
    for step, metrics in enumerate(rows):
        rundir.append_metrics(path, step, metrics)
    assert [row["metrics"] for row in rundir.metric_rows(path)] == rows


# ---- heartbeat


@pytest.mark.parametrize(("content", "far"), [(None, 0), ("", 0), ("3", 0), ("3/", 0), ("0/0", 0), ("3/4", 0.75)])
def test_progress_is_a_hint(content, far, tmp_path):
    if content is not None:
        (tmp_path / "heartbeat").write_text(content)
    assert rundir.progress(tmp_path) == far


def test_a_beat_is_read_as_a_fraction(tmp_path):
    rundir.beat(tmp_path, 1, 8)
    assert rundir.progress(tmp_path) == 0.125


# ---- directories


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

    monkeypatch.setattr(rundir, "datetime", Clock)
    monkeypatch.setattr(rundir.secrets, "token_hex", lambda n: "abc")
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


def test_bad_input_leaves_no_directory(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="x=1"):
        claim_and_fail(tmp_path / "there" / "runs" / "train", InputError("x=1"))
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


def test_a_new_run_is_running(tmp_path):
    rundir.start(tmp_path / "run", {"key": "k"})
    asked = rundir.read_json(tmp_path / "run" / "run.json")
    assert asked == {"uid": asked["uid"], "key": "k"}
    assert len(asked["uid"]) == 16
    status = rundir.get_status(tmp_path / "run")
    assert (status["status"], status["pid"]) == ("running", os.getpid())
    assert (tmp_path / "run" / "checkpoints").is_dir()


# ---- finding


def sweep_at(path, started):
    path.mkdir(parents=True)
    asked = {"name": "e", "question": "", "metric": "test/acc", "mode": "max", "smallest_effect": 0.01}
    rundir.write_record(path / "sweep.json", {"started": started, "experiment": asked, "factors": [], "jobs": []})
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
    rundir.write_json(path, {key: value for key, value in rundir.read_json(path).items() if key != "factors"})
    with pytest.raises(InputError, match=r"sweep.json: is damaged, or .* another version: it lacks factors\."):
        rundir.find_sweep(str(tmp_path / "s"), tmp_path)


def test_no_sweep_is_named(tmp_path):
    with pytest.raises(InputError, match=r"sweep=latest: no sweep under runs_dir="):
        rundir.find_sweep("latest", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"sweep=.*: not a sweep directory; it holds no sweep.json"):
        rundir.find_sweep(str(tmp_path), tmp_path)


def test_a_run_is_found_by_its_folder(tmp_path):
    rundir.start(tmp_path / "run", {"key": "k"})
    assert rundir.find_run(str(tmp_path / "run")) == tmp_path / "run"
    with pytest.raises(InputError, match=r"run=.*: not a run directory; it holds no run.json"):
        rundir.find_run(str(tmp_path))


def test_a_run_that_is_begun_again_keeps_its_uid_and_no_two_share_one(tmp_path):
    rundir.start(tmp_path / "run", {"key": "k"})
    first = rundir.read_json(tmp_path / "run" / "run.json")["uid"]
    rundir.start(tmp_path / "run", {"key": "k"})
    assert rundir.read_json(tmp_path / "run" / "run.json")["uid"] == first
    rundir.start(tmp_path / "other", {"key": "k"})
    assert rundir.read_json(tmp_path / "other" / "run.json")["uid"] != first


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


# ---- what was left behind


def left(path, **facts):
    """A run whose process is gone."""
    rundir.set_status(path, "running", pid=1, **facts)
    (path / "lock").touch()
    return path


def test_what_was_left_behind_is_interrupted(tmp_path):
    assert rundir.left_behind(left(tmp_path))
    assert rundir.get_status(tmp_path)["status"] == "interrupted"
    assert not rundir.left_behind(tmp_path)
    with rundir.locked(left(tmp_path)):
        assert not rundir.left_behind(tmp_path)
    assert rundir.get_status(tmp_path)["status"] == "running"


def test_nobody_takes_a_run_up_while_it_is_found_left_behind(tmp_path, monkeypatch):
    write, held = rundir.set_status, []

    def writes(path, status, **facts):
        held.append(rundir.alive(path))  # another process that wanted it would find it held
        write(path, status, **facts)

    left(tmp_path)
    monkeypatch.setattr(rundir, "set_status", writes)
    assert rundir.left_behind(tmp_path)
    assert held == [True]


def test_a_run_that_was_taken_up_and_ended_meanwhile_keeps_its_end(tmp_path, monkeypatch):
    left(tmp_path)
    look = rundir.get_status

    def slow_look(path):
        found = look(path)
        monkeypatch.setattr(rundir, "get_status", look)
        rundir.set_status(path, "finished", seconds=1.0)  # by another process, between look and word
        return found

    monkeypatch.setattr(rundir, "get_status", slow_look)
    assert not rundir.left_behind(tmp_path)
    assert rundir.get_status(tmp_path)["status"] == "finished"
