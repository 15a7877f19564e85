"""A run that was interrupted anywhere ends with the numbers that it would have had undisturbed."""

import os
import shutil
import signal

import pytest
import torch
from run_state import state, states
from running import TINY

from pipeline import rundir, stopping
from pipeline.rundir import status
from pipeline.training import checkpoints as kept
from pipeline.training import guard, record

# All that could go astray between two attempts: dropout draws, batch norm's statistics, Adam's moments, a schedule,
# augmentation, early stopping's patience, the shuffle.
LINE = (
    f"{TINY} trainer.max_epochs=3 data.batch_size=16 architecture.block=CNAP architecture.head_dropout=0.3 "
    "optimizer.schedule=cosine optimizer.warmup_epochs=1 augmentation=affine trainer.early_stopping_patience=3"
)
BATCHES = 4  # 64 images
SLOW = pytest.mark.slow


@pytest.fixture
def undisturbed(command, workdir):
    def train(line=LINE):
        assert command("train", f"{line} dir=undisturbed").code == 0
        return state(workdir / "undisturbed")

    return train


def signalled(monkeypatch, step, number=signal.SIGTERM):
    """Have this process signalled once, before it takes its `step`-th step (from 0)."""
    original = guard.Guard.on_before_backward

    def before(self, trainer, pl_module, loss):
        if trainer.global_step == step and not signalled.done:
            signalled.done = True
            os.kill(os.getpid(), number)
        original(self, trainer, pl_module, loss)

    signalled.done = False
    monkeypatch.setattr(guard.Guard, "on_before_backward", before)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=SLOW)])
@pytest.mark.parametrize("step", [2, 3, *(pytest.param(step, marks=SLOW) for step in (0, 1, 4, 6, 7, 9, 11))])
def test_stopped_at_any_batch_it_goes_on_to_the_same_bits(step, workers, undisturbed, command, workdir, monkeypatch):
    expected = undisturbed()
    signalled(monkeypatch, step)
    line = f"{LINE} data.num_workers={workers} dir=run"
    done = command("train", line)
    assert done.code == 75
    found = rundir.get_status(workdir / "run")
    assert found.status == "interrupted"
    assert "stopped" in done.err
    found = torch.load(workdir / "run/checkpoints/last.ckpt", weights_only=True)
    assert found["global_step"] == step + 1  # the step under way was finished and saved
    done = command("train", line)
    assert (done.code, "goes on" in done.err) == (0, True)
    assert state(workdir / "run") == expected
    assert rundir.get_status(workdir / "run").resumed == 1


@pytest.mark.slow
def test_ctrl_c_is_like_sigterm(undisturbed, command, workdir, monkeypatch):
    expected = undisturbed()
    signalled(monkeypatch, 5, signal.SIGINT)
    assert command("train", f"{LINE} dir=run").code == 75
    assert command("train", f"{LINE} dir=run").code == 0
    assert state(workdir / "run") == expected


class Killed(BaseException):
    """Stands for a kill: nothing that is left to do is done."""


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_checkpoint_of_another_run_is_put_aside(name, undisturbed, command, workdir, monkeypatch, caplog):
    expected = undisturbed()
    assert command("train", f"{LINE} seed=1 dir=other").code == 0
    signalled(monkeypatch, 9)
    assert command("train", f"{LINE} dir=run").code == 75
    shutil.copy(workdir / f"other/checkpoints/{name}.ckpt", workdir / f"run/checkpoints/{name}.ckpt")
    done = command("train", f"{LINE} dir=run")
    assert done.code == 0
    assert f"{name}.ckpt: is a checkpoint of another run" in caplog.text
    assert state(workdir / "run") == expected


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (kept.Durable, "save_checkpoint", False),  # before a checkpoint, after its row was recorded
        (kept.Durable, "save_checkpoint", True),  # between a checkpoint and the link to the best
        (kept.Keep, "link", True),
        (record.Record, "on_train_epoch_end", False),  # before the row
        (record.Record, "on_train_epoch_end", True),
    ],
)
@pytest.mark.parametrize("time", [2, pytest.param(1, marks=SLOW), pytest.param(3, marks=SLOW)])
def test_killed_between_two_writes(owner, name, after, time, undisturbed, command, workdir, monkeypatch):
    expected, original, calls = undisturbed(), getattr(owner, name), []

    def dies(*arguments, **named):
        calls.append(1)
        if after:
            original(*arguments, **named)
        if len(calls) == time:
            raise Killed
        if not after:
            original(*arguments, **named)

    monkeypatch.setattr(owner, name, dies)
    # A killed process does not say that it was.
    say = status.set_status
    monkeypatch.setattr(status, "set_status", lambda path, word, **k: word == "interrupted" or say(path, word, **k))
    with pytest.raises(Killed):
        command("train", f"{LINE} dir=run")
    monkeypatch.undo()
    monkeypatch.chdir(workdir)
    assert rundir.get_status(workdir / "run").status == "running"
    torn = [workdir / "run" / name for name in (".status.json.12-0123abcd", "checkpoints/.last.ckpt.12-0123abcd")]
    theirs = workdir / "run/.tracking.json.12-0123abcd"  # of who sends it to MLflow just now
    for path in (*torn, theirs):
        path.touch()
    assert command("train", f"{LINE} dir=run").code == 0
    assert state(workdir / "run") == expected
    assert list((workdir / "run").rglob(".*")) == [theirs]


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", ["flipped", *(pytest.param(how, marks=SLOW) for how in ("truncated", "empty", "gone"))]
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, undisturbed, command, workdir, monkeypatch):
    expected = undisturbed()
    signalled(monkeypatch, 9)
    assert command("train", f"{LINE} dir=run").code == 75
    last = workdir / "run/checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF
    if damage == "gone":
        last.unlink()
    else:
        last.write_bytes({"truncated": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    assert command("train", f"{LINE} dir=run").code == 0
    assert state(workdir / "run") == expected


@pytest.mark.slow
def test_all_checkpoints_damaged_begin_again(undisturbed, command, workdir, monkeypatch):
    expected = undisturbed()
    signalled(monkeypatch, 9)
    assert command("train", f"{LINE} dir=run").code == 75
    for path in (workdir / "run/checkpoints").glob("*.ckpt"):
        path.write_bytes(b"no checkpoint")
    assert command("train", f"{LINE} dir=run").code == 0
    assert state(workdir / "run") == expected


@pytest.mark.slow
def test_a_long_epoch_is_saved_on_its_way(undisturbed, command, workdir, monkeypatch):
    expected, saved = undisturbed(), []
    original = kept.Keep.save

    def save(self, trainer):
        saved.append(trainer.global_step)
        original(self, trainer)

    monkeypatch.setattr(kept.Keep, "save", save)
    assert command("train", f"{LINE} trainer.checkpoint_every_s=1e-9 dir=run").code == 0
    assert saved == list(range(1, 3 * BATCHES + 1))
    assert state(workdir / "run") == expected


@pytest.mark.slow
def test_a_run_that_stopped_early_does_not_train_on(command, workdir, monkeypatch):
    line = f"{TINY} trainer.max_epochs=20 optimizer.lr=1e-9 trainer.early_stopping_patience=1"
    assert command("train", f"{line} dir=undisturbed").code == 0
    monkeypatch.setattr("pipeline.run.finish.evaluate", lambda *a, **k: (_ for _ in ()).throw(stopping.Stopped()))
    assert command("train", f"{line} dir=run").code == 75
    monkeypatch.undo()
    monkeypatch.chdir(workdir)
    assert command("train", f"{line} dir=run").code == 0
    assert state(workdir / "run") == state(workdir / "undisturbed")


def test_the_same_command_finds_its_interrupted_run(command, workdir, monkeypatch):
    signalled(monkeypatch, 2)
    assert command("train", LINE).code == 75
    assert command("train", f"{LINE} seed=1").code == 0  # another run
    assert command("train", LINE).code == 0
    runs = sorted((workdir / "runs/train").iterdir())
    assert [rundir.get_status(run).status for run in runs] == ["finished", "finished"]
    assert sum((rundir.get_status(run).resumed > 0) for run in runs) == 1
    assert command("train", LINE).code == 0  # what is finished is not taken up
    assert len(list((workdir / "runs/train").iterdir())) == 3


@pytest.mark.slow
def test_resume_false_begins_anew(command, workdir, monkeypatch):
    signalled(monkeypatch, 2)
    assert command("train", LINE).code == 75
    assert command("train", f"{LINE} resume=false").code == 0
    statuses = sorted(rundir.get_status(run).status for run in (workdir / "runs/train").iterdir())
    assert statuses == ["finished", "interrupted"]


def test_a_directory_with_another_run_is_refused(command):
    assert command("train", f"{TINY} dir=run").code == 0
    done = command("train", f"{TINY} seed=1 dir=run")
    assert (done.code, "dir=run: holds another run" in done.err) == (2, True)


def test_a_finished_directory_says_what_it_found(command):
    first = command("train", f"{TINY} dir=run output=json")
    again = command("train", f"{TINY} dir=run output=json")
    assert (again.code, again.document) == (0, first.document)
    assert "finished before" in again.err


def test_a_run_that_another_process_trains_is_left_alone(command, workdir):
    (workdir / "run").mkdir()
    with rundir.locked(workdir / "run"):
        done = command("train", f"{TINY} dir=run")
    assert (done.code, "at work" in done.err) == (2, True)


def test_a_diverged_run_names_the_batch_and_keeps_the_last_good_checkpoint(command, workdir, monkeypatch):
    original = guard.Guard.on_before_backward

    def poisoned(self, trainer, pl_module, loss):
        original(self, trainer, pl_module, loss * float("nan") if trainer.global_step == 6 else loss)

    monkeypatch.setattr(guard.Guard, "on_before_backward", poisoned)
    assert command("train", f"{LINE} dir=run").code == 1
    run = workdir / "run"
    said = rundir.read_json(run / "diverged.json")
    assert (said["epoch"], said["batch"], len(said["examples"])) == (2, 3, 16)
    assert "epoch 2, batch 3" in rundir.get_status(run).error
    assert kept.newest(run)[1]["global_step"] == BATCHES
    monkeypatch.undo()
    monkeypatch.chdir(workdir)
    done = command("train", f"{LINE} dir=run")
    assert (done.code, "retry=true" in done.err) == (2, True)
    assert command("train", f"{LINE} dir=run retry=true").code == 0
    assert command("train", f"{LINE} dir=undisturbed").code == 0
    assert state(run) == state(workdir / "undisturbed")


@pytest.mark.slow
def test_weights_that_overflow_are_never_saved(command, workdir, monkeypatch):
    original = kept.Keep.save

    def overflown(self, trainer):
        if trainer.current_epoch == 1:
            next(trainer.lightning_module.parameters()).data.fill_(float("inf"))
        original(self, trainer)

    monkeypatch.setattr(kept.Keep, "save", overflown)
    assert command("train", f"{LINE} dir=run").code == 1
    assert "is not finite" in rundir.get_status(workdir / "run").error
    assert kept.newest(workdir / "run")[1]["global_step"] == BATCHES


@pytest.mark.slow
def test_a_full_disk_leaves_a_run_that_can_go_on(undisturbed, command, workdir, monkeypatch):
    expected, original = undisturbed(), kept.Durable.save_checkpoint

    def full(self, checkpoint, path, storage_options=None):
        if checkpoint["global_step"] == 2 * BATCHES:
            raise OSError(28, "No space left on device", str(path))
        original(self, checkpoint, path, storage_options)

    monkeypatch.setattr(kept.Durable, "save_checkpoint", full)
    done = command("train", f"{LINE} dir=run")
    assert done.code == 75
    assert "No space left" in done.err
    monkeypatch.undo()
    monkeypatch.chdir(workdir)
    assert command("train", f"{LINE} dir=run").code == 0
    assert state(workdir / "run") == expected


@pytest.mark.parametrize("more", ["", "trainer.stack=2"])
def test_a_run_whose_data_is_changed_while_it_trains_is_no_result(more, command, workdir, monkeypatch):
    line = f"-m {TINY} trainer.max_epochs=3 {more} seed=0,1 output=json"
    assert command("train", f"{line} dir=undisturbed").code == 0
    before = states(workdir / "undisturbed")
    original, damaged = rundir.append_metrics, []

    def append(path, step, metrics):
        if not damaged:
            damaged.append(path)
            (images,) = workdir.glob("prepared/*/images.npy")
            with open(images, "r+b") as file:  # in place: what training has mapped changes too
                file.seek(200)
                file.write(bytes(100_000))
        original(path, step, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(rundir, "append_metrics", append)
        done = command("train", f"{line} dir=run resume=false")
    assert done.code == 1
    found = rundir.get_status(damaged[0])
    assert found.status == "failed"
    assert "was changed by something else while it was trained on" in found.error
    assert not (damaged[0] / "checkpoints/last.ckpt").exists()
    monkeypatch.chdir(workdir)
    again = command("train", f"{line} dir=run retry=true")
    assert again.code == 0, again.err
    assert states(workdir / "run") == before
