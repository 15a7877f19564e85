"""Downloads, from a server on this machine."""

import functools
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.data import Data, fetch, idx, prepare
from pipeline.data.fetch import Published
from pipeline.errors import InputError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def published(idx_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder whose files are published as `mnist`; the working directory is a new, empty one."""
    folder = idx_folder()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        monkeypatch.setitem(idx.PUBLISHED, "mnist", Published(f"http://127.0.0.1:{server.server_port}/", sums))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        yield folder
        server.shutdown()
        thread.join()


def mnist(root: Path | None = None) -> Data:
    return Data(source="idx", name="mnist", resize="pad", root=None if root is None else str(root))


def test_missing_files_are_fetched_once(published: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prepared = prepare(mnist(), seed=0)
    assert len(prepared.labels) == 80
    assert {path.name for path in Path("raw/mnist").iterdir()} == {path.name for path in published.iterdir()}
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 4
    assert "train-images-idx3-ubyte.gz: 0.0 of 0.0 MB" in err
    prepare(mnist(), seed=0)
    assert capfd.readouterr().err == ""


def test_only_what_is_missing_is_fetched_into_a_given_folder(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    name = "train-images-idx3-ubyte.gz"
    (root / name).write_bytes((published / name).read_bytes())
    (published / name).unlink()
    assert len(prepare(mnist(root), seed=0).labels) == 80


def test_a_wrong_checksum_is_refused_and_leaves_nothing(published: Path) -> None:
    (published / "train-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(InputError) as error:
        prepare(mnist(), seed=0)
    assert "train-labels-idx1-ubyte.gz could not be fetched (its SHA-256 is " in str(error.value)
    # The one before was sound, and stays.
    assert [path.name for path in Path("raw/mnist").iterdir()] == ["train-images-idx3-ubyte.gz"]


def test_a_publisher_without_the_file(published: Path) -> None:
    (published / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(InputError, match="could not be fetched"):
        prepare(mnist(), seed=0)
    assert not any(Path.cwd().iterdir())


def test_without_a_network_it_says_which_files_to_put_where(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Published(f"http://127.0.0.1:{unused.getsockname()[1]}/", idx.PUBLISHED["mnist"].sha256)
        monkeypatch.setitem(idx.PUBLISHED, "mnist", nobody)
        with pytest.raises(InputError) as error:
            prepare(mnist(), seed=0)
    message = str(error.value)
    assert message.startswith("data.root=raw/mnist: lacks train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k")
    assert f"Put these files into {Path.cwd()}/raw/mnist, or name the folder that has them" in message
    assert not any(Path.cwd().iterdir())


def test_silence_is_waited_for_only_so_long(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_one = Published(f"http://127.0.0.1:{silent.getsockname()[1]}/", idx.PUBLISHED["mnist"].sha256)
        monkeypatch.setitem(idx.PUBLISHED, "mnist", silent_one)
        start = time.monotonic()
        with pytest.raises(InputError, match="timed out"):
            prepare(mnist(), seed=0)
        assert time.monotonic() - start < 5
    assert not any(Path.cwd().iterdir())
