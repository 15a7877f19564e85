import os
import threading

import pytest

from pipeline import rundir
from pipeline.errors import InputError


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
