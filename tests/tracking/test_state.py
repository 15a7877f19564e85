"""tracking.json says what one MLflow has of a directory; what it cannot say is found out again."""

import json

import pytest

from pipeline import rundir
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError
from pipeline.rundir.documents import write_checked
from pipeline.tracking.state import End, Findings, TrackingState, load_state, read_run_id, read_state, tracking_of

HERE = Tracking(uri="http://here", artifacts=None)
THERE = Tracking(uri="http://there", artifacts=None)


@pytest.fixture
def known(tmp_path):
    """A state with everything in it, and written down."""
    state = TrackingState(vars(HERE), "abc", 1, True, 2, "d1", {"run.json": 3}, "FINISHED", End("FINISHED", 4))
    state.attached = Findings(["verdict.json"], {"verdict/a": 0.5}, 5)
    state.save(tmp_path)
    return state


def test_it_is_read_as_it_was_written(known, tmp_path):
    assert read_state(tmp_path) == known == load_state(tmp_path, HERE)
    assert (read_run_id(tmp_path), tracking_of(tmp_path)) == ("abc", HERE)


def test_of_another_mlflow_or_of_all_again_nothing_counts_but_what_the_sweep_found(known, tmp_path):
    for fresh in (load_state(tmp_path, THERE), load_state(tmp_path, HERE, again=True)):
        assert fresh == TrackingState(fresh.tracking, attached=known.attached)
    assert load_state(tmp_path, THERE).tracking["uri"] == "http://there"


@pytest.mark.parametrize("damage", ["none", "torn", "changed", "another kind", "a field less", "an odd end"])
def test_a_damaged_one_is_a_fresh_state(damage, known, tmp_path):
    file = tmp_path / "tracking.json"
    document = rundir.read_json(file)
    if damage == "none":
        file.unlink()
    if damage == "torn":
        file.write_text(file.read_text()[:99])
    if damage == "changed":
        file.write_text(file.read_text().replace("FINISHED", "FAILED", 1))
    if damage == "another kind":
        write_checked(file, document | {"rows": "2"})
    if damage == "a field less":
        write_checked(file, {name: value for name, value in document.items() if name != "tracking"})
    if damage == "an odd end":
        write_checked(file, document | {"ended": [1, 2, 3]})
        assert load_state(tmp_path, HERE).ended is None
    else:
        assert load_state(tmp_path, HERE) == TrackingState(vars(HERE))
        assert read_run_id(tmp_path) is None


def test_a_run_that_found_nothing_says_nothing_of_it(tmp_path):
    TrackingState(vars(HERE)).save(tmp_path)
    names = ["version", "tracking", "checksum"]
    assert sorted(json.loads((tmp_path / "tracking.json").read_text())) == sorted(names)


def test_a_directory_that_names_no_mlflow_is_said_so(known, tmp_path):
    known.tracking["odd"] = 1
    known.save(tmp_path)
    with pytest.raises(InputError, match="names no MLflow"):
        tracking_of(tmp_path)
    assert load_state(tmp_path, HERE).mlflow_run_id == "abc"
