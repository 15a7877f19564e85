"""One process trains a run: repeatably, for the better, and with an honest end."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from run_state import decided
from running import TINY, left_in

from pipeline import rundir
from pipeline.config.trainer import Optimizer
from pipeline.records import Parameters
from pipeline.run import finish
from pipeline.training.module import Classifier

TWO_EPOCHS = TINY.replace("max_epochs=1", "max_epochs=2")


def weights(run, name="last"):
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def logits(run):
    with np.load(run / "predictions.npz") as saved:
        return saved["logits"]


# ---- the same command


def test_the_same_seed_gives_the_same_weights_to_the_last_bit(command, workdir):
    for name in ("a", "b"):
        assert command("train", f"{TWO_EPOCHS} seed=3 dir={name}").code == 0
    a, b = workdir / "a", workdir / "b"
    assert same(weights(a), weights(b))
    assert same(weights(a, "best"), weights(b, "best"))
    assert decided(a) == decided(b)
    assert rundir.get_status(a).metrics == rundir.get_status(b).metrics
    assert np.array_equal(logits(a), logits(b))
    assert rundir.read_json(a / "run.json")["key"] == rundir.read_json(b / "run.json")["key"]


def test_other_seeds_give_other_runs(command, workdir):
    for seed in (1, 2):
        assert command("train", f"{TINY} seed={seed} dir={seed}").code == 0
    a, b = workdir / "1", workdir / "2"
    assert not any(torch.equal(one, weights(b)[name]) for name, one in weights(a).items() if name.endswith(".weight"))
    assert decided(a) != decided(b)
    assert rundir.read_json(a / "run.json")["key"] != rundir.read_json(b / "run.json")["key"]


def test_the_seed_decides_dropout_too(command, workdir):
    line = f"{TINY} architecture.head_dropout=0.5"
    for name in ("a", "b"):
        assert command("train", f"{line} dir={name}").code == 0
    assert same(weights(workdir / "a"), weights(workdir / "b"))
    assert command("train", f"{TINY} dir=c").code == 0
    assert not same(weights(workdir / "a"), weights(workdir / "c"))  # it was not without effect


def test_what_is_volatile_changes_no_number(command, workdir):
    assert command("train", f"{TINY} dir=a").code == 0
    assert command("train", f"{TINY} dir=b output=json experiment.name=other data.prepared_dir=elsewhere").code == 0
    assert same(weights(workdir / "a"), weights(workdir / "b"))
    assert rundir.read_json(workdir / "a/run.json")["key"] == rundir.read_json(workdir / "b/run.json")["key"]


# ---- what a run leaves


def test_a_finished_run_leaves_its_record(command, workdir):
    assert command("train", f"{TWO_EPOCHS} dir=run seed=1").code == 0
    run = workdir / "run"
    assert {"run.json", "status.json", "metrics.jsonl", "predictions.npz"} <= set(left_in(run))
    assert [path for path in left_in(run) if path.startswith("checkpoints/")] == [
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    ]
    asked, status = rundir.read_json(run / "run.json"), rundir.get_status(run)
    assert asked["config"]["seed"] == 1
    assert asked["config"]["trainer"]["precision"] in ("32-true", "bf16-mixed")  # what auto came to
    assert asked["dataset"]["counts"] == {"train": 64, "val": 180, "test": 359}
    assert len(asked["dataset"]["digest"]) == len(asked["code_digest"]) == len(asked["key"]) == 64
    assert asked["environment"]["packages"]["torch"] == torch.__version__.split("+")[0]
    # 1x8x8 -> 4@8x8 -> 4x4 -> 8@4x4 -> 2x2 -> 10: (9 + 1) 4 + (36 + 1) 8 + (32 + 1) 10
    assert status.parameters == Parameters(666, 666)
    assert asked["parameters"] == 666
    assert status.status == "finished"
    assert 0 < status.seconds < status.ended - status.started + 1
    assert list(status.metrics) == ["val/acc", "val/loss", "test/acc", "test/loss", "train/acc", "gap/acc"]
    with np.load(run / "predictions.npz") as saved:
        assert saved["logits"].shape == (359, 10)
        assert (saved["logits"].argmax(1) == saved["label"]).mean() == status.metrics["test/acc"]
        assert len(set(saved["index"].tolist())) == 359


def test_each_epoch_leaves_a_row(command, workdir):
    assert command("train", f"{TWO_EPOCHS} dir=run").code == 0
    rows = decided(workdir / "run")
    assert [step for step, _ in rows] == [1, 2, 2]
    for _, row in rows[:2]:
        assert list(row) == ["train/loss", "val/loss", "val/acc", "lr"]
    assert rows[0][1]["train/loss"] != rows[1][1]["train/loss"]  # each epoch's own
    assert list(rows[2][1]) == ["test/acc", "test/loss", "train/acc", "gap/acc"]
    assert rundir.progress(workdir / "run") == 1


def test_the_best_checkpoint_is_that_of_the_best_epoch(command, workdir):
    line = TINY.replace("max_epochs=1", "max_epochs=6")
    assert command("train", f"{line} dir=run optimizer.lr=0.01 trainer.precision=32-true").code == 0
    run = workdir / "run"
    accuracies = [row["val/acc"] for _, row in decided(run) if "val/acc" in row]
    assert len(accuracies) == 6
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == int(np.argmax(accuracies))
    assert rundir.get_status(run).metrics["val/acc"] == pytest.approx(max(accuracies), abs=1e-6)
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 5


def test_checkpoints_hold_no_code(command, workdir):
    import pickletools
    import zipfile

    assert command("train", f"{TINY} dir=run").code == 0
    for name in ("best", "last"):
        with zipfile.ZipFile(workdir / "run" / "checkpoints" / f"{name}.ckpt") as file:
            pickled = next(file.read(member) for member in file.namelist() if member.endswith("data.pkl"))
        globals_ = {str(arg) for op, arg, _ in pickletools.genops(pickled) if op.name in ("GLOBAL", "STACK_GLOBAL")}
        assert globals_
        assert all(one.startswith(("torch", "collections OrderedDict")) for one in globals_), globals_


# ---- learning


def test_training_lowers_the_loss_and_learns_digits(command, workdir):
    line = "trainer.max_epochs=3 trainer.threads=1 architecture.filters=[8,16] optimizer.lr=0.01 tracking=none"
    assert command("train", f"{line} dir=run").code == 0
    rows = [row for _, row in decided(workdir / "run") if "train/loss" in row]
    losses = [row["train/loss"] for row in rows]
    assert losses[0] < math.log(10)  # better than to say each digit with 1 in 10
    assert losses[2] < losses[1] < losses[0]
    assert rundir.get_status(workdir / "run").metrics["test/acc"] > 0.9


@pytest.mark.slow
def test_the_defaults_read_digits_with_97_percent(process):
    done = process("train", "output=json")
    assert done.code == 0
    assert done.document["metrics"]["test/acc"] >= 0.97


# ---- the schedule


def factors(steps, epochs, **options):
    """The learning rate of each step over that of the optimizer, as Lightning would step through it."""
    module = Classifier(torch.nn.Linear(1, 2), torch.zeros(1), torch.ones(1), 2, Optimizer(lr=2.0, **options))
    module.trainer = SimpleNamespace(gradient_clip_val=None, estimated_stepping_batches=steps, max_epochs=epochs)
    made = module.configure_optimizers()
    if isinstance(made, torch.optim.Optimizer):
        return [made.param_groups[0]["lr"] / 2] * steps
    assert made["lr_scheduler"]["interval"] == "step"
    found = []
    for _ in range(steps):
        found.append(made["optimizer"].param_groups[0]["lr"] / 2)
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    return found


def test_a_constant_rate():
    assert factors(4, 2) == [1, 1, 1, 1]


def test_warmup_is_linear_and_then_constant():
    assert factors(8, 2, warmup_epochs=1) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert factors(8, 2, warmup_epochs=0.5) == [0.5, 1, 1, 1, 1, 1, 1, 1]


def test_cosine_falls_from_one_to_zero():
    # 0.5 (1 + cos(pi k / 4)) for k = 0..3
    assert factors(4, 2, schedule="cosine") == pytest.approx([1, 0.853553390593, 0.5, 0.146446609407])


def test_cosine_begins_where_warmup_ends():
    # 2 of 6 steps warm up; then 0.5 (1 + cos(pi k / 4)) for k = 0..3
    expected = [0.5, 1, 1, 0.853553390593, 0.5, 0.146446609407]
    assert factors(6, 3, schedule="cosine", warmup_epochs=1) == pytest.approx(expected)


def test_the_schedule_reaches_the_run(command, workdir):
    line = TINY.replace("max_epochs=1", "max_epochs=4")
    line += " optimizer.schedule=cosine optimizer.warmup_epochs=1 optimizer.lr=0.01"
    assert command("train", f"{line} dir=run").code == 0
    # 2 steps an epoch: after the warmup 1, then cosine over 6 steps: 0.5 (1 + cos(pi / 3)), (2 pi / 3), (pi)
    rates = [row["lr"] for _, row in decided(workdir / "run") if "lr" in row]
    assert rates == pytest.approx([0.01, 0.0075, 0.0025, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("options", "kind", "group"),
    [
        (Optimizer("adam", 0.1, 0.2), torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.2}),
        (Optimizer("adamw", 0.1, 0.2), torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.2}),
        (Optimizer("sgd", 0.1, 0.2, 0.3), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.2, "momentum": 0.3}),
    ],
)
def test_the_options_reach_the_optimizer(options, kind, group):
    network = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 2))
    network[0].weight.requires_grad = False
    module = Classifier(network, torch.zeros(1), torch.ones(1), 2, options)
    module.trainer = SimpleNamespace(gradient_clip_val=None, estimated_stepping_batches=4, max_epochs=2)
    made = module.configure_optimizers()
    assert type(made) is kind
    (found,) = made.param_groups
    assert {name: found[name] for name in group} == group
    assert len(found["params"]) == 3  # what is frozen is left out


def test_inputs_are_normalised_inside_the_module():
    module = Classifier(torch.nn.Identity(), torch.tensor([0.5, 0.0]), torch.tensor([0.25, 1.0]), 2)
    x_BCHW = torch.tensor([255, 0], dtype=torch.uint8).reshape(1, 2, 1, 1)
    assert module(x_BCHW).flatten().tolist() == [2.0, 0.0]  # (255 / 255 - 0.5) / 0.25


# ---- stopping


def test_early_stopping_stops_when_nothing_gets_better(command, workdir):
    line = TINY.replace("max_epochs=1", "max_epochs=9") + " optimizer.lr=1e-12 trainer.early_stopping_patience=2"
    assert command("train", f"{line} dir=run").code == 0
    steps = [step for step, row in decided(workdir / "run") if "val/acc" in row]
    assert steps == [1, 2, 3]  # the first is the best so far; two more are no better
    assert rundir.get_status(workdir / "run").status == "finished"


def test_what_is_hardly_better_is_no_better(command, workdir):
    line = TINY.replace("max_epochs=1", "max_epochs=9") + " trainer.monitor=val/loss trainer.early_stopping_patience=1"
    assert command("train", f"{line} trainer.early_stopping_min_delta=10 dir=run").code == 0
    assert [step for step, row in decided(workdir / "run") if "val/acc" in row] == [1, 2]


def test_it_is_off_by_default(command, workdir):
    line = TINY.replace("max_epochs=1", "max_epochs=4") + " optimizer.lr=1e-12"
    assert command("train", f"{line} dir=run").code == 0
    assert [step for step, row in decided(workdir / "run") if "val/acc" in row] == [1, 2, 3, 4]


def test_gradients_are_clipped(command, workdir):
    line = f"{TINY} optimizer=sgd optimizer.lr=1 optimizer.momentum=0 optimizer.weight_decay=0"
    line += " optimizer.schedule=constant trainer.precision=32-true data.batch_size=64"
    assert command("train", f"{line} optimizer.lr=1e-30 dir=start").code == 0
    assert command("train", f"{line} trainer.gradient_clip_val=0.001 dir=clipped").code == 0
    mixed = line.replace("32-true", "bf16-mixed")  # for which Lightning refuses fused optimizers
    assert command("train", f"{mixed} trainer.gradient_clip_val=0.001 dir=mixed").code == 0
    start, clipped = weights(workdir / "start"), weights(workdir / "clipped")
    moved = torch.cat([(clipped[n] - start[n]).flatten() for n in start if n.startswith("network")])
    assert moved.norm().item() == pytest.approx(0.001, rel=1e-3)  # one step of lr 1 along a gradient of norm 0.001


# ---- failing


def test_a_diverging_run_fails(command, workdir):
    done = command("train", f"{TINY} optimizer.lr=1e30 dir=run output=json")
    assert done.code == 1
    assert done.document["status"] == "failed"
    assert "nan" in done.document["error"]
    assert "metrics" not in done.document
    assert rundir.get_status(workdir / "run").status == "failed"


def test_a_failing_run_says_why_and_where(command, workdir, monkeypatch):
    def broken(path, gpu=None):
        raise RuntimeError("no more memory")

    monkeypatch.setattr(finish, "fit", broken)
    done = command("train", f"{TINY} dir=run")
    assert done.code == 1
    assert "failed: RuntimeError: no more memory" in done.err
    assert "run/error.txt" in done.err
    assert "Traceback" in (workdir / "run" / "error.txt").read_text()
    assert "Traceback" not in done.err


def test_an_interrupted_run_says_so(command, workdir, monkeypatch):
    def stopped(path, gpu=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(finish, "fit", stopped)
    done = command("train", f"{TINY} dir=run")
    assert done.code == 75
    assert rundir.get_status(workdir / "run").status == "interrupted"


def test_one_failing_run_does_not_stop_the_others(command, workdir):
    done = command("train", f"-m {TINY} optimizer.lr=0.01,1e30 seed=0,1 dir=sweep output=json")
    assert done.code == 1
    runs = done.document["runs"]
    assert [run["status"] for run in runs] == ["finished", "finished", "failed", "failed"]
    assert [("metrics" in run, "error" in run) for run in runs] == [(True, False)] * 2 + [(False, True)] * 2
    assert done.err.count("failed: sweep/00") == 2
    factor = done.document["verdict"]["factors"]["optimizer.lr"]
    assert {level["level"]: level["n"] for level in factor["levels"]} == {0.01: 2, 1e30: 0}


def test_a_run_that_dies_while_it_is_made_does_not_stop_the_others(command, workdir, monkeypatch):
    began = rundir.start

    def start(path, run, together):
        if run.config["seed"] == 0:
            raise OSError("no space left")
        began(path, run, together)

    monkeypatch.setattr(rundir, "start", start)
    done = command("train", f"-m {TINY} seed=0,1 dir=sweep output=json")
    assert done.code == 1
    assert [run["status"] for run in done.document["runs"]] == ["failed", "finished"]
