"""Seeds that are trained at once: each comes to what it comes to in any company, and outlives what befalls another."""

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from run_state import ledger, state, states, tracked
from running import TINY, begin, call, refused

from pipeline import config, rundir
from pipeline.architecture import Cnn, plan
from pipeline.config import Config, Trainer
from pipeline.data import Data
from pipeline.training import checkpoints as kept
from pipeline.training import stack

# All that could go astray: dropout draws, batch norm's statistics, Adam's moments, a schedule, augmentation, the
# shuffle.
LINE = (
    f"-m {TINY.replace('filters=[4,8]', 'filters=[8,16]')} trainer.max_epochs=3 data.batch_size=16 "
    "architecture.block=CNAP architecture.head_dropout=0.3 optimizer.schedule=cosine optimizer.warmup_epochs=1 "
    "augmentation=affine output=json"
)
BATCHES = 4  # 64 images


@pytest.fixture
def sweep(command):
    def train(line, folder="sweep"):
        done = command("train", f"{LINE} {line} dir={folder}")
        assert done.code == 0, done.err
        return states(Path(folder))

    return train


def by_seed(found):
    """A sweep's states by what stands behind the number of a run's folder."""
    return {name.partition("_")[2]: one for name, one in found.items()}


def stacks(folder):
    """How many runs there are in each stack."""
    jobs = rundir.read_sweep(Path(folder)).jobs
    return sorted(sum(other.stack == job.dir for other in jobs) for job in jobs if job.stack == job.dir)


def test_a_seed_comes_to_the_same_in_any_company(sweep):
    five = by_seed(sweep("seed=0,1,2,3,4 trainer.stack=8", "five"))
    two = by_seed(sweep("seed=3,1 trainer.stack=2 resume=false", "two"))
    one = by_seed(sweep("seed=2 trainer.stack=auto resume=false", "one"))
    assert (stacks("five"), stacks("two"), stacks("one")) == ([5], [2], [1])
    assert {**two, **one} == {name: five[name] for name in ("seed-1", "seed-2", "seed-3")}
    key = {rundir.read_run(run).key for run in (Path("five/003_seed-3"), Path("two/000_seed-3"))}
    assert len(key) == 1


def test_stacks_of_an_arm_are_of_equal_size_and_finished_runs_are_in_none(sweep):
    sweep("seed=0 trainer.stack=3", "runs/first")
    sweep("seed=0,1,2,3,4 architecture.kernel_size=3,5 trainer.stack=3", "wider")
    assert stacks("wider") == [2, 2, 2, 3]
    assert rundir.read_sweep(Path("wider")).jobs[0].stack == ""  # taken from the first sweep
    assert rundir.read_run(Path("wider/000_kernel_size-3_seed-0")).taken_from


def test_a_stack_is_as_the_runs_alone_but_for_rounding(sweep, command, workdir):
    # Not with Adam: what a bias before a batch norm gets is rounding alone, and Adam makes whole steps of it.
    line = f"{ALIKE} optimizer=sgd optimizer.lr=0.02 seed=0,1"
    stacked = by_seed(sweep(f"{line} trainer.stack=2"))
    alone = by_seed(sweep(f"{line} trainer.stack=off", "alone"))
    assert rundir.read_sweep(Path("sweep")).jobs[0].key != rundir.read_sweep(Path("alone")).jobs[0].key
    for name, found in stacked.items():
        assert found["weights"].keys() == alone[name]["weights"].keys()
        for part, value in found["weights"].items():
            mine, theirs = torch.tensor(value), torch.tensor(alone[name]["weights"][part])
            torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-3)
        for (step, mine), (other, theirs) in zip(found["rows"], alone[name]["rows"], strict=True):
            assert (step, mine) == (other, pytest.approx(theirs, abs=1e-3))
    done = command("evaluate", "run=sweep/001_seed-1 output=json")
    assert done.document["metrics"]["test/acc"] == stacked["seed-1"]["metrics"]["test/acc"]


# Without dropout, whose draws are each member's own, and in full precision.
ALIKE = "architecture.head_dropout=0 trainer.precision=32-true"


def signalled(monkeypatch, step, number=signal.SIGTERM):
    """Have this process signalled once, before its `step`-th step (from 0)."""
    original, count = stack.Stack.step, iter(range(10**9))

    def before(self, indices):
        if next(count) == step:
            os.kill(os.getpid(), number)
        return original(self, indices)

    monkeypatch.setattr(stack.Stack, "step", before)


@pytest.mark.parametrize("step", [2, 3, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 1, 4, 7, 9, 11))])
def test_stopped_at_any_batch_it_goes_on_to_the_same_bits(step, sweep, command, workdir, monkeypatch):
    line = "seed=0,1,2 trainer.stack=8"
    expected = sweep(line, "undisturbed")
    with monkeypatch.context() as patch:
        signalled(patch, step)
        done = command("train", f"{LINE} {line} dir=run resume=true retry=true")
    assert done.code == 75, done.err
    assert set(ledger(workdir / "run").values()) == {"interrupted"}
    for run in workdir.glob("run/*/checkpoints/last.ckpt"):
        place = kept.position(torch.load(run, weights_only=True))
        assert place["epoch"] * BATCHES + place["batch"] == step + 1
    again = command("train", f"{LINE} {line} dir=run")
    assert again.code == 0, again.err
    assert again.err.count("goes on") == 3
    assert states(workdir / "run") == expected


def test_what_was_left_at_different_epochs_goes_on_apart_to_the_same_bits(sweep, command, workdir, monkeypatch):
    line = "seed=0,1,2 trainer.stack=8"
    expected = sweep(line, "undisturbed")

    class KilledError(BaseException):
        pass

    original = stack.Member.save

    def save(self):  # a kill between the checkpoints of two members
        if (self.settings.seed, self.epoch) == (1, 2):
            raise KilledError
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(stack.Member, "save", save)
        with pytest.raises(KilledError):
            command("train", f"{LINE} {line} dir=run")
    place = [
        kept.position(torch.load(run, weights_only=True))["epoch"]
        for run in sorted(workdir.glob("run/*/checkpoints/last.ckpt"))
    ]
    assert place == [2, 1, 1]
    monkeypatch.chdir(workdir)
    again = command("train", f"{LINE} {line} dir=run")
    assert again.code == 0, again.err
    assert states(workdir / "run") == expected


def test_one_that_diverges_fails_alone(sweep, command, workdir, monkeypatch):
    line = "seed=0,1,2 trainer.stack=8"
    expected = sweep(line, "undisturbed")
    original = stack.Stack.step

    def poisoned(self, indices):
        losses = original(self, indices)
        for seat, one in enumerate(self.members):
            if (one.settings.seed, one.step) == (1, 6):
                losses[seat] = float("nan")
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(stack.Stack, "step", poisoned)
        done = command("train", f"{LINE} {line} dir=run")
    assert done.code == 1
    assert list(ledger(workdir / "run").values()) == ["finished", "failed", "finished"]
    assert "epoch 2, batch 3: training diverged" in rundir.get_status(workdir / "run/001_seed-1").error
    said = rundir.read_json(workdir / "run/001_seed-1/diverged.json")
    assert (said["epoch"], said["batch"], len(said["examples"])) == (2, 3, 16)
    assert kept.newest(workdir / "run/001_seed-1")[1]["global_step"] == BATCHES
    for name in ("000_seed-0", "002_seed-2"):
        assert state(workdir / "run" / name) == expected[name]
    again = command("train", f"{LINE} {line} dir=run retry=true")
    assert again.code == 0, again.err
    assert states(workdir / "run") == expected


def test_each_stops_early_by_itself(sweep):
    line = "trainer.max_epochs=12 trainer.early_stopping_patience=1 trainer.monitor=val/loss optimizer.lr=0.03"
    three = by_seed(sweep(f"{line} seed=0,1,2 trainer.stack=8"))
    epochs = {name: one["steps"] // BATCHES for name, one in three.items()}
    assert len(set(epochs.values())) > 1
    assert min(epochs.values()) < 12
    alone = by_seed(sweep(f"{line} seed=2 trainer.stack=8 resume=false", "alone"))
    assert alone["seed-2"] == three["seed-2"]


SLOWLY = (
    f"{ALIKE} trainer.max_epochs=12 trainer.monitor=val/loss optimizer.lr=0.0005 optimizer.schedule=constant "
    "optimizer.warmup_epochs=0 trainer.early_stopping_patience=5 trainer.early_stopping_min_delta=0.025 seed=0,1"
)


def val_losses(sweep):
    return [[row["val/loss"] for _, row in one["rows"] if "val/loss" in row] for one in by_seed(sweep).values()]


def test_gains_that_are_small_each_count_together_until_they_are_not(sweep, command, workdir, monkeypatch):
    """No epoch is better than the one before by as much as is asked for; the best of five is."""
    stacked = sweep(f"{SLOWLY} trainer.stack=2", "stacked")
    for losses in (*val_losses(stacked), *val_losses(sweep(f"{SLOWLY} trainer.stack=off", "off"))):
        assert len(losses) == 12
        assert all(before - after < 0.025 for before, after in itertools.pairwise(losses))
    done = [len(one) for one in val_losses(sweep(f"{SLOWLY} trainer.early_stopping_patience=2 trainer.stack=2", "two"))]
    assert done == [3, 3]
    with monkeypatch.context() as patch:
        signalled(patch, 8 * BATCHES + 1)
        assert command("train", f"{LINE} {SLOWLY} trainer.stack=2 dir=run").code == 75
    assert command("train", f"{LINE} {SLOWLY} trainer.stack=2 dir=run").code == 0
    assert states(workdir / "run") == stacked


def test_all_optimizers_learn_alike(sweep):
    for optimizer in ("optimizer=sgd optimizer.momentum=0", "optimizer=sgd optimizer.momentum=0.9", "optimizer=adamw"):
        name = optimizer.replace("=", "-").replace(" ", "_")
        two = by_seed(sweep(f"{optimizer} {ALIKE} seed=0,1 trainer.stack=2", f"{name}-two"))
        off = by_seed(sweep(f"{optimizer} {ALIKE} seed=1 trainer.stack=off", f"{name}-off"))
        loss = [row["val/loss"] for _, row in two["seed-1"]["rows"] if "val/loss" in row]
        assert loss == pytest.approx([row["val/loss"] for _, row in off["seed-1"]["rows"] if "val/loss" in row], 1e-3)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("trainer.threads=2", "trainer.threads=2"),
        ("trainer=ddp_cpu", "trainer.devices=2"),
        ("data.num_workers=1", "data.num_workers=1"),
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1"),
        ("architecture=timm architecture.name=mobilenetv2_035", "architecture=timm"),
        ("data@transfer.pretrain=digits transfer=fine_tune", "transfer=fine_tune"),
    ],
)
def test_what_cannot_be_stacked_is_refused_by_name_and_left_alone_by_auto(more, said, command, workdir):
    tiny = TINY.replace("trainer.threads=1", "") if "timm" not in more else "data.limit_train=64 tracking=none"
    done = command("train", f"-m {tiny} {more} trainer.stack=4 seed=0,1")
    refused(done, "trainer.stack=4", said, "trainer.stack=off")
    assert not (workdir / "runs").exists()


@pytest.mark.parametrize("value", ["0", "-1", "yes", "1.5"])
def test_what_a_stack_may_be(value, command):
    refused(command("train", f"-m {TINY} trainer.stack={value} seed=0,1"), f"trainer.stack={value}", "off, auto")


def test_auto_stacks_what_computes_on_one_thread():
    def stacked(filters, batch_size=32):
        settings = Config(Data(batch_size=batch_size), Cnn(filters=filters), trainer=Trainer(stack="auto"))
        found = config.settled(settings, plan(settings.architecture, (1, 28, 28), 10)).trainer
        return found.stack, found.threads

    assert stacked([8, 16]) == ("8", 1)
    assert stacked([32, 64, 128], 128) == ("off", 2)


# Eight stacks, of all arms of the demo.
DEMO = "-m experiment=demo seed=0,1,2 data.limit_train=64 trainer.max_epochs=2 tracking=local output=json"


def shared(folder, launcher):
    """What the sweep leaves, and what MLflow shows of it."""
    done = call(folder, "train", f"{DEMO} dir=sweep {launcher}", 800)
    assert done.code == 0, done.err
    assert done.err.count("test/acc 0.") == 24
    shown = tracked(folder, "demo")
    assert [status for _, status in shown["runs"]] == ["FINISHED"] * 24
    assert shown["parents"] == ["FINISHED"]
    return states(folder / "sweep"), shown


@pytest.fixture(scope="module")
def by_one_process(tmp_path_factory):
    return shared(tmp_path_factory.mktemp("serial"), "hydra/launcher=basic")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "engine",
    [
        "",
        "hydra/launcher=joblib hydra.launcher.n_jobs=2",
        "hydra/launcher=ray hydra.launcher.ray.init.num_cpus=2",
        "hydra/launcher=submitit_local ++hydra.launcher.cpus_per_task=1",
    ],
    ids=["workers", "joblib", "ray", "submitit"],
)
def test_every_launcher_gives_what_one_process_gives(engine, by_one_process, tmp_path):
    assert shared(tmp_path, engine) == by_one_process


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_worker_leaves_its_stack_and_the_same_command_goes_on(workdir):
    line = f"{LINE} trainer.max_epochs=80 architecture.kernel_size=3,5 seed=0,1,2 trainer.stack=8 dir=sweep"
    process = begin(workdir, line)
    end = [*sorted(workdir.glob("sweep/*_kernel_size-3*"))]
    while process.poll() is None and not (end and all((run / "checkpoints/last.ckpt").exists() for run in end)):
        end = sorted(workdir.glob("sweep/*_kernel_size-3*"))
    os.kill(rundir.get_status(end[0]).pid, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 75, err
    assert "was killed" in err
    assert sorted(ledger(workdir / "sweep").values()) == ["finished"] * 3 + ["interrupted"] * 3
    again = call(workdir, "train", line, 300)
    assert again.code == 0, again.err
    undisturbed = call(workdir, "train", line.replace("dir=sweep", "dir=undisturbed resume=false"), 300)
    assert undisturbed.code == 0, undisturbed.err
    assert states(workdir / "sweep") == states(workdir / "undisturbed")


def test_a_run_by_itself_is_a_stack_of_one(command, sweep, workdir):
    line = LINE.removeprefix("-m ")
    done = command("train", f"{line} seed=1 trainer.stack=auto dir=run")
    assert done.code == 0, done.err
    assert state(workdir / "run") == by_seed(sweep("seed=0,1 trainer.stack=2"))["seed-1"]
