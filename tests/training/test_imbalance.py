"""Class weights, focal loss and balanced batches: by hand, over processes, in a stack, and what they are for."""

import dataclasses

import numpy as np
import pytest
import torch
from running import TINY, refused
from torch.nn import functional as F

from pipeline import config, key, rundir
from pipeline.architecture import Cnn
from pipeline.config import Config
from pipeline.config.loss import Loss
from pipeline.data import Data
from pipeline.data.loader import Shuffled
from pipeline.diagnosis import confusion
from pipeline.training.loss import class_weights, example_losses

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
LABELS = torch.tensor([0, 0, 1])


def test_focal_by_hand():
    p = LOGITS.softmax(1)[range(3), LABELS]
    found = example_losses(LOGITS, LABELS, Loss(type="focal", gamma=2.0))
    torch.testing.assert_close(found, -((1 - p) ** 2) * p.log())
    plain = F.cross_entropy(LOGITS, LABELS, reduction="none")
    torch.testing.assert_close(example_losses(LOGITS, LABELS, Loss(type="focal", gamma=0.0)), plain)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_has_a_slope_where_all_is_right(gamma):
    logits = torch.tensor([[200.0, 0.0], [0.0, 0.0]], requires_grad=True)
    example_losses(logits, torch.tensor([0, 0]), Loss(type="focal", gamma=gamma)).sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[1] != 0).all()


def test_weights_by_hand():
    labels = np.array([0, 0, 0, 2])
    found = class_weights(labels, 4, Loss(class_weights="balanced"))
    assert found.tolist() == pytest.approx([4 / 6, 0, 2, 0])  # half of all weight to each class that is there
    assert found[labels].mean() == pytest.approx(1)
    assert class_weights(labels, 4, Loss()) is None
    weighted = example_losses(LOGITS, LABELS, Loss(class_weights="balanced"), torch.tensor([1.0, 3.0, 0.5]))
    torch.testing.assert_close(weighted, F.cross_entropy(LOGITS, LABELS, reduction="none") * torch.tensor([1, 3, 0.5]))


# ---- batches


def test_balanced_batches_show_each_class_as_often():
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    indices = np.random.default_rng(0).permutation(100)
    sampler = Shuffled(indices, 10, seed=1, labels=labels)
    first, again, other = [], [], []
    for epoch, into in ((0, first), (0, again), (1, other)):
        sampler.set_epoch(epoch)
        into.extend(np.concatenate(list(sampler)).tolist())
    assert first == again
    assert first != other
    assert len(first) == 100
    assert sorted(np.bincount(labels[first])) == [33, 33, 34]
    times = np.bincount(first, minlength=100)
    assert times[:80].max() == 1  # of a frequent class others in each epoch
    assert set(times[:80] + np.bincount(other, minlength=100)[:80]) == {0, 1, 2}
    assert set(times[95:]) <= {6, 7}  # of a rare one each as often as any other
    assert set(times[80:95]) <= {2, 3}


def test_balanced_batches_are_one_over_all_processes():
    labels = np.repeat([0, 1], [30, 10])
    whole = list(Shuffled(np.arange(40), 8, 3, labels=labels))
    shares = [list(Shuffled(np.arange(40), 8, 3, rank, 2, labels)) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(np.concatenate(parts))


def test_more_classes_than_a_balanced_epoch_has_examples():
    sampler = Shuffled(np.arange(3), 3, seed=0, labels=np.array([0, 1, 2]))
    assert sorted(np.concatenate(list(sampler))) == [0, 1, 2]


# ---- configuration


def test_what_was_before_has_the_key_that_it_had():
    before = Config(architecture=Cnn())
    plain = key.deciding(before)
    assert "loss" not in plain
    assert "sampling" not in plain["data"]
    for changed in (
        dataclasses.replace(before, loss=Loss(type="focal")),
        dataclasses.replace(before, loss=Loss(class_weights="balanced")),
        dataclasses.replace(before, data=Data(sampling="balanced")),
    ):
        assert key.of(changed, "d", "c", []).digest != key.of(before, "d", "c", []).digest
    values = config.to_dict(before)
    del values["loss"], values["data"]["sampling"]  # as an earlier run.json has them
    assert config.from_dict(values) == before


def test_what_is_refused(command):
    refused(command("plan", "loss.type=focl"), "loss.type=focl", "Did you mean 'focal'?")
    refused(command("plan", "loss.class_weights=yes"), "loss.class_weights=")
    refused(command("plan", "loss.gamma=-1"), "loss.gamma=-1.0")
    refused(command("plan", "data.sampling=even"), "data.sampling=even", "natural, balanced")


# ---- runs


@pytest.fixture
def rare(workdir):
    """A set of two kinds of noise, of which one example in ten is brighter by little."""
    random = np.random.default_rng(0)
    y = (np.arange(1200) % 10 == 0).astype(int)
    x = random.integers(0, 160, (1200, 8, 8)) + 25 * y[:, None, None]
    np.savez(workdir / "rare.npz", x=x.astype(np.uint8), y=y)
    base = TINY.replace("data.limit_train=64 ", "").replace("max_epochs=1", "max_epochs=4")
    return f"{base} data=npz data.root=rare.npz data.size=8 optimizer.lr=0.003"


@pytest.mark.slow
def test_all_of_them_find_more_of_a_rare_class(rare, command, workdir):
    recalls = {}
    options = (
        "seed=0",
        "loss.class_weights=balanced",
        "data.sampling=balanced",
        "loss.type=focal loss.class_weights=balanced",
    )
    for number, option in enumerate(options):
        assert command("train", f"{rare} {option} dir=run{number}").code == 0
        saved = rundir.read_predictions(workdir / f"run{number}")
        counts = confusion.counts(saved["label"], saved["logits"].argmax(1), 2)
        recalls[option] = confusion.per_class(counts)[1].recall.value
    assert min(list(recalls.values())[1:]) > recalls["seed=0"] + 0.2, recalls


@pytest.mark.slow
@pytest.mark.parametrize("option", ["loss.class_weights=balanced", "loss.type=focal", "data.sampling=balanced"])
def test_a_stack_gives_what_each_seed_gives_by_itself(option, rare, command, workdir):
    line = f"-m {rare} {option} trainer.precision=32-true output=json seed=0,1"
    stacked, alone = (command("train", f"{line} trainer.stack={stack} dir=s{stack}") for stack in (2, "off"))
    assert stacked.code == alone.code == 0, stacked.err
    for one, other in zip(stacked.document["runs"], alone.document["runs"], strict=True):
        assert one["metrics"]["test/loss"] == pytest.approx(other["metrics"]["test/loss"], rel=0.02)
    # And each its own, whoever else is there.
    single = command("train", f"{line.replace('seed=0,1', 'seed=1')} trainer.stack=2 dir=single")
    assert single.document["runs"][0]["metrics"] == stacked.document["runs"][1]["metrics"]


@pytest.mark.slow
def test_two_processes_give_what_one_gives(rare, process):
    line = f"{rare} loss.type=focal loss.class_weights=balanced data.sampling=balanced trainer.precision=32-true"
    one = process("train", f"{line} output=json dir=one").document
    two = process("train", f"{line} output=json dir=two trainer=ddp_cpu").document
    assert two["metrics"]["test/loss"] == pytest.approx(one["metrics"]["test/loss"], rel=0.01)
