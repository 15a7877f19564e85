"""Runs and sweeps are found wherever they lie under a folder, and nothing else is."""

import pytest

from pipeline.directories import find_directories


@pytest.fixture
def runs(tmp_path):
    """A folder with two sweeps, a run by itself, and what is none."""
    for name in ("e/b/000/run.json", "e/b/001/run.json", "e/a/000/run.json", "e/a/000/sub/run.json", "alone/run.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("e/a/sweep.json", "e/b/sweep.json"):
        (tmp_path / name).touch()
    for name in (".sources/run.json", "e/a/.000.17/run.json", "e/empty/other.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "e/damaged/run.json").mkdir(parents=True)
    return tmp_path


def found(root, **how):
    return [str(path.relative_to(root)) for path in find_directories(root, **how)]


def test_in_the_order_of_names_a_sweep_before_its_runs(runs):
    assert found(runs) == ["alone", "e/a", "e/a/000", "e/b", "e/b/000", "e/b/001", "e/damaged"]
    assert found(runs, newest_first=True) == ["e/damaged", "e/b", "e/b/001", "e/b/000", "e/a", "e/a/000", "alone"]


def test_one_may_be_left_out_by_whatever_name(runs, monkeypatch):
    monkeypatch.chdir(runs / "e")
    assert found(runs, but=runs / "e" / ".." / "e" / "b") == ["alone", "e/a", "e/a/000", "e/damaged"]


def test_a_directory_by_itself_is_found_at_once(runs):
    assert found(runs / "e" / "a") == [".", "000"]
    assert found(runs / "alone") == ["."]
    assert found(runs / "nowhere") == []
