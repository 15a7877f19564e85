from pipeline import rundir
from pipeline.records import Status


def test_status_keeps_the_facts_it_knows(tmp_path):
    assert rundir.get_status(tmp_path) == Status("missing")
    rundir.set_status(tmp_path, "running", pid=1)
    rundir.set_status(tmp_path, "finished", seconds=2.5)
    assert rundir.get_status(tmp_path) == Status("finished", pid=1, seconds=2.5)


def test_a_failure_keeps_its_reason_and_its_traceback(tmp_path):
    try:
        raise RuntimeError("out of\nmemory")
    except RuntimeError as error:
        rundir.fail(tmp_path / "run", error)
    status = rundir.get_status(tmp_path / "run")
    assert (status.status, status.error) == ("failed", "RuntimeError: out of memory")
    assert "Traceback" in (tmp_path / "run" / "error.txt").read_text()
