"""The prepared form: made once, by anyone, killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data import Data, prepare, soundness
from pipeline.data.opening import open_prepared
from pipeline.errors import InputError

REPOSITORY = Path(__file__).parents[2]


def config(folder: Path, **fields: object) -> Data:
    keys = {"size": 8, "resize": "pad", "prepared_dir": str(folder.parent / "prepared"), **fields}
    return Data(source="idx", name="idx", root=str(folder), **keys)  # type: ignore[arg-type]


def start(folder: Path, before: str = "", **fields: object) -> subprocess.Popen[str]:
    """Prepare in another process, which runs `before` first and prints the digest."""
    arguments = f"{config(folder, **fields)!r}, 0"
    code = f"{before}\nfrom pipeline.data import Data, prepare\nprint(prepare({arguments}).digest)"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_is_made_once_and_then_reused(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    first = prepare(config(folder), seed=0)
    made = (first.dir / "images.npy").stat()
    again = prepare(config(folder), seed=1)
    assert (again.dir / "images.npy").stat().st_ino == made.st_ino
    assert again.dir.parent == folder.parent / "prepared"
    assert again.dir.name.startswith("idx-8-pad-")
    assert sorted(path.name for path in again.dir.iterdir()) == [
        "checked.json",
        "hashes.npy",
        "images.npy",
        "labels.npy",
        "manifest.json",
        "split.npy",
    ]
    assert [path.name for path in again.dir.parent.iterdir()] == [again.dir.name]


def test_a_changed_raw_file_size_or_policy_is_another_form(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    first = prepare(config(folder), seed=0)
    assert prepare(config(folder, size=16), seed=0).dir != first.dir
    assert prepare(config(folder, resize="crop"), seed=0).digest != first.digest
    os.utime(folder / "train-images-idx3-ubyte.gz", ns=(1, 1))
    touched = prepare(config(folder), seed=0)
    assert touched.dir != first.dir
    assert touched.digest == first.digest


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "split.npy", "hashes.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_a_damaged_form_is_made_again(idx_folder: Callable[..., Path], name: str, damage: str) -> None:
    folder = idx_folder()
    whole = prepare(config(folder), seed=0)
    path = whole.dir / name
    content = path.read_bytes()
    path.unlink()  # what is open stays as it is
    if damage != "gone":
        path.write_bytes(content[:-1] if damage == "cut" else b"")
    with pytest.raises(InputError, match="is not a whole prepared set"):
        open_prepared(whole.dir, config(folder), 0)
    mended = prepare(config(folder), seed=0)
    assert mended.dir == whole.dir
    assert mended.digest == whole.digest
    assert (mended.images == whole.images).all()
    assert [each.name for each in mended.dir.parent.iterdir()] == [mended.dir.name]


def permuted(path: Path) -> None:
    """The same values in another order, and another time: what a script of the user's may do."""
    values = np.load(path)
    np.save(path, np.concatenate([values[1:], values[:1]]))


def other_classes(path: Path) -> None:
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"classes": manifest["classes"][::-1]}, indent=1))


def other_digest(path: Path) -> None:
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"digest": manifest["digest"][::-1]}, indent=1))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("labels.npy", permuted),
        ("images.npy", permuted),
        ("split.npy", permuted),
        ("hashes.npy", permuted),
        ("manifest.json", other_classes),
        ("manifest.json", other_digest),
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_other_content_of_the_same_size_is_noticed_and_made_anew(
    idx_folder: Callable[..., Path], capfd: pytest.CaptureFixture[str], name: str, damage: Any, again: bool
) -> None:
    folder = idx_folder()
    whole = prepare(config(folder), seed=0)
    images, labels = np.array(whole.images), whole.labels
    if not again:  # as in another process
        soundness._checked.clear()
    damage(whole.dir / name)
    with pytest.raises(InputError, match="is not a whole prepared set"):
        open_prepared(whole.dir, config(folder), 0)
    mended = prepare(config(folder), seed=0)
    assert f"{whole.dir / name}: is not what was written there; the set is made anew" in capfd.readouterr().err
    assert (mended.digest, mended.classes) == (whole.digest, whole.classes)
    assert (mended.images == images).all()
    assert (mended.labels == labels).all()


def test_a_worker_trusts_what_its_command_found_and_sees_what_changed_since(
    idx_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = idx_folder()
    whole = prepare(config(folder), seed=0)
    hashed = []
    real = soundness.sha256
    monkeypatch.setattr(soundness, "sha256", lambda path: hashed.append(path.name) or real(path))
    prepare(config(folder), seed=0)
    assert hashed == []  # once in a process
    soundness._checked.clear()
    prepare(config(folder), seed=0)
    assert "images.npy" in hashed  # another command
    hashed.clear()
    monkeypatch.setattr(soundness, "_trusts_command", True)
    soundness._checked.clear()
    prepare(config(folder), seed=0)
    assert hashed == []
    # What changed since is seen, even where its time was set back.
    before = (whole.dir / "labels.npy").stat()
    permuted(whole.dir / "labels.npy")
    os.utime(whole.dir / "labels.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    soundness._checked.clear()
    assert (prepare(config(folder), seed=0).labels == whole.labels).all()
    assert "labels.npy" in hashed


def test_what_cannot_be_split_as_asked_is_not_left_behind(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    with pytest.raises(InputError, match=r"data\.limit_train=3: leaves no training example of 7 of 10 classes"):
        prepare(config(folder, limit_train=3), seed=0)
    assert not (folder.parent / "prepared").exists()


def test_a_full_disk_is_known_before(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    with pytest.raises(InputError, match=r"data\.size=10000000: 80 such images take 8000000\.0 GB, and data\.prep"):
        prepare(config(folder, size=10_000_000), seed=0)
    assert not (folder.parent / "prepared").exists()


def test_an_error_while_writing_leaves_nothing(
    idx_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = idx_folder()
    new = folder.parent / "new" / "prepared"

    def full(*args: object, **kwargs: object) -> None:
        assert new.exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match=r"data\.prepared_dir=.*: cannot be written \(.*No space left on device"):
        prepare(config(folder, prepared_dir=str(new)), seed=0)
    assert not new.parent.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    folder.parent.chmod(0o555)
    with pytest.raises(InputError, match="cannot be written"):
        prepare(config(folder), seed=0)
    folder.parent.chmod(0o755)


# Die at the k-th call of what puts things on disk: at each file, before and after the folder gets its name.
DIE = """
import os, signal
calls = 0
def dying(function):
    def wrapper(*args, **kwargs):
        global calls
        calls += 1
        if calls == {k}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapper
os.fsync = dying(os.fsync)
os.rename = dying(os.rename)
"""


def test_killed_at_every_step_the_next_call_gives_the_same(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    expected = prepare(config(folder, prepared_dir=str(folder.parent / "undisturbed")), seed=0).digest
    steps = 9  # five files, their folder, the rename, the folder above, what was found sound
    for k in range(1, steps + 1):
        kept = folder.parent / f"prepared{k}"
        process = start(folder, DIE.format(k=k), prepared_dir=str(kept))
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert len(list(kept.iterdir())) == 1  # what it left
        prepared = prepare(config(folder, prepared_dir=str(kept)), seed=0)
        assert prepared.digest == expected
        assert [path.name for path in kept.iterdir()] == [prepared.dir.name]
    process = start(folder, DIE.format(k=steps + 1), prepared_dir=str(folder.parent / "last"))
    assert process.communicate()[0].strip() == expected


def test_killed_at_any_time_the_next_call_gives_the_same(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder(per_class=2000, shape=(28, 28))
    begin = time.monotonic()
    expected = start(folder, size=32).communicate()[0].strip()
    whole_s = time.monotonic() - begin
    assert len(expected) == 64
    for k in range(5):
        kept = folder.parent / f"prepared{k}"
        process = start(folder, size=32, prepared_dir=str(kept))
        time.sleep(whole_s * (0.45 + 0.12 * k))
        process.kill()
        process.communicate()
        prepared = prepare(config(folder, size=32, prepared_dir=str(kept)), seed=0)
        assert prepared.digest == expected
        assert [path.name for path in kept.iterdir()] == [prepared.dir.name]


NO_LOCKS = """
import fcntl
def flock(*args):
    raise OSError(95, "Operation not supported")
fcntl.flock = flock
"""


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("damaged", [True, False])
def test_several_at_once(idx_folder: Callable[..., Path], tmp_path: Path, locks: bool, damaged: bool) -> None:
    folder = idx_folder(per_class=200, shape=(28, 28))
    if damaged:
        os.truncate(prepare(config(folder), seed=0).dir / "images.npy", 5)
    # All of them have imported what they need before any of them begins.
    go = tmp_path / "go"
    wait = f"import os, time, pipeline.data\nwhile not os.path.exists({str(go)!r}): time.sleep(0.001)"
    processes = [start(folder, ("" if locks else NO_LOCKS) + wait) for _ in range(3)]
    time.sleep(0.6)
    go.touch()
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert len({out for out, _ in results}) == 1
    prepared = prepare(config(folder), seed=0)
    assert {out.strip() for out, _ in results} == {prepared.digest}
    assert [path.name for path in prepared.dir.parent.iterdir()] == [prepared.dir.name]
