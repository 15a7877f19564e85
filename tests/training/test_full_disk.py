"""A full disk interrupts what is written, says so, and the same command goes on once there is room."""

import errno
import os
import shutil
import subprocess

import pytest
from run_state import state
from running import TINY, Done, begin, call, strict_json

from pipeline import rundir
from pipeline.errors import of_machine

LINE = f"{TINY} trainer.max_epochs=2 architecture.filters=[32,64]"  # a checkpoint of 250 kB
SLOW = pytest.mark.slow


@pytest.fixture
def disk(workdir):
    """A small disk of its own at ./disk, and a file on it that takes what is to be full."""
    place = workdir / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place, leave):
    """Take all of the disk but `leave` bytes."""
    with open(place / "filler", "wb", buffering=0) as file:
        free = shutil.disk_usage(place).free - leave
        file.write(b"x" * max(0, free))


def interrupted(done, *said):
    assert "Traceback" not in done.err, done.err
    assert [words for words in ("disk", *said) if words not in done.err] == [], done.err
    assert done.code == 75, done.err


@SLOW
def test_a_checkpoint_that_finds_no_room_interrupts_and_the_run_goes_on(disk, workdir):
    line = f"{LINE} dir=disk/run"
    fill(disk, leave=150_000)
    interrupted(call(workdir, "train", line), "disk/run/checkpoints/last.ckpt")
    status = rundir.get_status(disk / "run")
    assert status.status == "interrupted"
    assert "last.ckpt: the disk is full" in status.error
    assert os.listdir(disk / "run/checkpoints") == []
    (disk / "filler").unlink()
    done = call(workdir, "train", line)
    assert (done.code, "goes on" in done.err) == (0, True), done.err
    shutil.copytree(disk / "run", workdir / "run")
    assert call(workdir, "train", f"{LINE} dir=undisturbed").code == 0
    assert state(workdir / "run") == state(workdir / "undisturbed")


@SLOW
@pytest.mark.parametrize("leave", [0, 4096, 12_288])
def test_a_disk_that_is_full_from_the_start_leaves_no_traceback(leave, disk, workdir):
    line = f"{LINE} dir=disk/run"
    fill(disk, leave)
    interrupted(call(workdir, "train", line), "disk/run")
    (disk / "filler").unlink()
    done = call(workdir, "train", line)
    assert done.code == 0, done.err


@SLOW
def test_a_sweep_on_a_full_disk_goes_on_in_the_same_directory(disk, workdir):
    line = f"-m {LINE} seed=0,1 dir=disk/sweep output=json"
    fill(disk, leave=150_000)
    done = call(workdir, "train", line)
    interrupted(done, "disk/sweep")
    assert [run["status"] for run in strict_json(done.out)["runs"]] == ["interrupted"] * 2
    fill(disk, leave=0)  # between the commands, to the last byte
    interrupted(call(workdir, "train", line), "disk")
    interrupted(call(workdir, "compare", "sweep=disk/sweep"), "disk")
    (disk / "filler").unlink()
    done = call(workdir, "train", line)
    assert done.code == 0, done.err
    assert {run["status"] for run in done.document["runs"]} == {"finished"}
    assert call(workdir, "compare", "sweep=disk/sweep output=json").document == done.document["verdict"]


@SLOW
def test_a_database_on_a_full_disk_interrupts(disk, workdir):
    line = f"{LINE.replace('tracking=none', '')} tracking.uri=sqlite:///disk/mlflow.db dir=run"
    fill(disk, leave=50_000)
    interrupted(call(workdir, "train", line), "disk")
    (disk / "filler").unlink()


@SLOW
def test_several_processes_of_a_run_on_a_full_disk(disk, workdir):
    line = f"{LINE} trainer=ddp_cpu dir=disk/run"
    fill(disk, leave=250_000)
    interrupted(call(workdir, "train", line), "disk/run")
    assert rundir.get_status(disk / "run").status == "interrupted"
    (disk / "filler").unlink()
    done = call(workdir, "train", line)
    assert done.code == 0, done.err


@SLOW
def test_a_file_that_may_not_grow_is_the_disks_fault_too(workdir):
    if not shutil.which("prlimit"):
        pytest.skip("no prlimit here, which limits the size of files")

    def limited():
        child = begin(workdir, f"{LINE} dir=run", "prlimit", "--fsize=100000")
        _, err = child.communicate(timeout=200)
        return Done(child.returncode, "", err)

    interrupted(limited(), "data.prepared_dir=prepared: cannot be written", "File too large")
    assert call(workdir, "prepare").code == 0
    interrupted(limited(), "run/checkpoints/last.ckpt: the disk is full, or has no room for this file (File too large)")
    assert call(workdir, "train", f"{LINE} dir=run").code == 0


# ---- the parts


def test_a_row_that_finds_no_room_leaves_no_torn_line(disk):
    (disk / "metrics.jsonl").write_bytes(b"")
    rundir.append_metrics(disk, 1, {"val/acc": 0.5})
    before = (disk / "metrics.jsonl").read_bytes()
    fill(disk, leave=0)
    with pytest.raises(OSError, match=r"No space left.*metrics\.jsonl"):
        rundir.append_metrics(disk, 2, {f"metric/{n}": n / 7 for n in range(500)})
    assert (disk / "metrics.jsonl").read_bytes() == before
    rundir.beat(disk, 1, 2)  # a hint, and no reason to stop
    (disk / "filler").unlink()
    rundir.append_metrics(disk, 2, {"val/acc": 0.75})
    assert [row.step for row in rundir.metric_rows(disk)] == [1, 2]


def test_the_cause_is_found_at_any_depth_and_no_other():
    full, torchs, ours = OSError(errno.ENOSPC, "full"), RuntimeError("unexpected pos 64 vs 0"), ValueError("not saved")
    torchs.__context__ = full  # as torch.save leaves it: no cause is named
    ours.__cause__ = torchs
    assert of_machine(ours) is full
    torchs.__suppress_context__ = True  # raised `from None`: what was being handled is not why
    assert of_machine(ours) is None
    assert of_machine(OSError(errno.ENOENT, "No such file")) is None
    assert of_machine(MemoryError()).errno == errno.ENOMEM
    assert of_machine(ImportError("libtorch_cpu.so: failed to map segment from shared object")).errno == errno.ENOMEM
    assert of_machine(ImportError("No module named nosuch")) is None
    full.__context__ = ours  # a circle
    assert of_machine(ours) is None
