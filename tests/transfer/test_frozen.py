"""Frozen means frozen: no gradients, no graph, the same bits in two processes and across a resume."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from running import call, restored_torch
from transfer_runs import FROZEN, TARGET, of_layers, same, state

from pipeline import config, data, rundir
from pipeline.data import loader
from pipeline.training import quiet
from pipeline.training.module import Classifier
from pipeline.transfer import network as networks

pytestmark = pytest.mark.slow  # each trains networks, sources first


@pytest.fixture
def asked(command, workdir, source):
    """run.json of a run that starts from the source: asked("head_only", "more=...")."""

    def ask(strategy, more=""):
        done = command("train", f"transfer={strategy} transfer.source={source} {TARGET} {more} dir=run")
        assert done.code == 0, done.err
        return rundir.read_run(workdir / "run")

    return ask


def classifier(asked):
    """The network of a run as it is before its first step."""
    network = networks.of_run(asked)
    mean, std = networks.load(network, asked.transfer)
    return Classifier(network, mean, std, 10, config.from_dict(asked.config).optimizer, networks.tuning_of(asked))


def fit(module, asked, epochs, folder, checkpoint=None):
    """Train by Lightning alone, up to so many epochs; the checkpoint is folder/last.ckpt."""
    settings = config.from_dict(asked.config)
    prepared = data.prepare(settings.data, 0)
    splits = data.split(prepared, settings.data, 0)
    quiet()
    with restored_torch():
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=epochs, logger=False, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, use_distributed_sampler=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(
            module,
            loader.loader(prepared.images, prepared.labels, loader.Shuffled(splits["train"], 32, 0)),
            loader.loader(prepared.images, prepared.labels, loader.InOrder(splits["val"], 512)),
            ckpt_path=checkpoint,
            weights_only=True if checkpoint else None,
        )
        trainer.save_checkpoint(folder / "last.ckpt")
    return {k: v.clone() for k, v in module.state_dict().items()}


def test_no_gradient_is_made_for_what_is_frozen_and_no_graph(asked):
    module = classifier(asked("head_only"))
    module.train()
    given = []
    module.network.get_submodule("head_classes").register_forward_pre_hook(lambda _, x: given.append(x[0]))
    x_BCHW = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    loss = module.training_step((x_BCHW, torch.tensor([0, 1, 2, 3]), torch.arange(4)), 0)
    loss.backward()
    assert given[0].grad_fn is None
    assert not given[0].requires_grad
    grads = {name: p.grad for name, p in module.network.named_parameters()}
    assert {name for name, grad in grads.items() if grad is not None} == {"head_classes.weight", "head_classes.bias"}


def test_batch_norm_of_what_is_frozen_stays_in_eval_mode_whoever_calls_train(asked):
    module = classifier(asked("head_only"))
    torch.nn.ModuleDict({"wrapped": module}).train()
    modes = {name: m.training for name, m in module.network.named_modules() if "norm" in name}
    assert modes == {"block1_norm1": False, "block2_norm1": False}
    assert module.network.get_submodule("head_classes").training


@pytest.mark.parametrize("strategy", ["head_only", "fine_tune"])
def test_a_resumed_run_freezes_what_one_that_never_stopped_does(strategy, asked, source, tmp_path):
    # fine_tune: the head alone for two epochs, so that the second of them comes after the resume
    more = {"fine_tune": "transfer.warmup_epochs=2 transfer.unfreeze_every=1"}.get(strategy, "")
    values = asked(strategy, more)
    before = state(source, "best")
    fit(classifier(values), values, 1, tmp_path)
    second = fit(classifier(values), values, 2, tmp_path, tmp_path / "last.ckpt")
    trunk = of_layers(second, *FROZEN)
    assert len(trunk) == 14
    assert same(trunk, before) == sorted(trunk)
    third = fit(classifier(values), values, 3, tmp_path, tmp_path / "last.ckpt")
    learns = [] if strategy == "head_only" else ["block2"]
    rests = [name for name in FROZEN if name not in learns]
    assert same(of_layers(third, *rests), before) == sorted(of_layers(third, *rests))
    assert same(of_layers(third, "head", *learns), second) == []


@pytest.mark.parametrize(
    ("data_channels", "channels", "expected"),
    # a pixel of 51 is 0.2; red 255, green 0, blue 0 has luminance 0.299
    [(1, 3, [0.2, 0.2, 0.2]), (3, 1, [0.299])],
)
def test_grey_and_rgb_are_made_of_each_other(data_channels, channels, expected):
    pixel = {1: [51], 3: [255, 0, 0]}[data_channels]
    x_BCHW = torch.tensor(pixel, dtype=torch.uint8).reshape(1, -1, 1, 1)
    half = torch.full((channels,), 0.5)
    module = Classifier(torch.nn.Flatten(), half, half, 2)
    expected_normalised = (torch.tensor(expected) - 0.5) / 0.5
    torch.testing.assert_close(module.normalised(x_BCHW).flatten(), expected_normalised)


def test_an_rgb_set_trains_from_a_grey_source(command, workdir, source):
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    # red or blue squares: luminance 0.299 and 0.114
    images = np.zeros((80, 8, 8, 3), np.uint8)
    images[labels == 0, :, :, 0] = 255
    images[labels == 1, :, :, 2] = 255
    images[:, 0] = rng.integers(0, 256, images[:, 0].shape)
    np.savez("squares.npz", x_train=images[:60], y_train=labels[:60], x_test=images[60:], y_test=labels[60:])
    line = f"transfer=head_only transfer.source={source} {TARGET} data=npz data.root=squares.npz"
    line += " data.size=8 data.limit_train=null"
    done = command("train", f"{line} trainer.max_epochs=30 optimizer.lr=0.03 dir=run output=json")
    assert done.code == 0, done.err
    assert done.document["metrics"]["test/acc"] > 0.9
    assert state(workdir / "run", "best")["network.block1_conv1.weight"].shape[1] == 1
    retrained = command("plan", f"{line.replace('head_only', 'retrain')} output=json").document
    assert retrained["input_shape"] == [3, 8, 8]  # fresh weights have no channels to keep to


# ---- features computed once


def trained_twice(command, workdir, line):
    runs = []
    for cache in ("true", "false"):
        done = command("train", f"{line} transfer.cache={cache} dir=cache_{cache} output=json")
        assert done.code == 0, done.err
        runs.append((workdir / f"cache_{cache}", done.document["metrics"]))
    rows = [[row.metrics for row in rundir.metric_rows(run)] for run, _ in runs]
    assert ["time/features_s" in found[0] for found in rows] == [True, False]
    return runs


@pytest.mark.parametrize("line", ["transfer=head_only", "transfer=early_layers transfer.depth=1"])
@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 1e-5), ("bf16-mixed", 1e-2)])
def test_cached_features_give_the_same_head(line, precision, tolerance, command, workdir, source):
    line = f"{line} transfer.source={source} {TARGET} trainer.precision={precision}"
    (cached, metrics), (plain, others) = trained_twice(command, workdir, line)
    ours, theirs = state(cached), state(plain)
    assert list(ours) == list(theirs)  # the checkpoint is the whole network
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=tolerance, rtol=tolerance)
    assert same(of_layers(ours, "block1"), theirs) == sorted(of_layers(ours, "block1"))
    assert metrics["test/loss"] == pytest.approx(others["test/loss"], rel=10 * tolerance)
    evaluated = command("evaluate", f"run={cached} invariance=false output=json")
    assert evaluated.document["metrics"] == metrics


def test_augmented_images_are_not_cached(command, workdir, source):
    line = f"transfer=head_only transfer.source={source} {TARGET} augmentation=rotate dir=run"
    assert command("train", line).code == 0
    assert not any("time/features_s" in row.metrics for row in rundir.metric_rows(workdir / "run"))


@pytest.mark.slow
def test_an_epoch_of_cached_features_is_five_times_faster(command, workdir):
    torch.save({k: v for k, v in trunk("resnet18").items()}, "weights")
    line = (
        f"transfer=head_only transfer.source=timm transfer.weights=weights {TARGET} data.limit_train=256 data.size=32 "
        "architecture=timm architecture.name=resnet18"
    )
    (cached, _), (plain, _) = trained_twice(command, workdir, line)
    epochs = [
        min(row.metrics["time/epoch_s"] for row in rundir.metric_rows(run) if "time/epoch_s" in row.metrics)
        for run in (cached, plain)
    ]
    assert 5 * epochs[0] < epochs[1]


def trunk(name):
    import timm

    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0).state_dict()


# ---- two processes


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    ["transfer=head_only", "transfer=head_only transfer.cache=false", "transfer=fine_tune transfer.warmup_epochs=2"],
)
def test_two_processes_freeze_and_learn_what_one_does(line, tmp_path, source):
    line = f"{line} transfer.source={source} {TARGET} optimizer=sgd output=json"
    for name, trainer in (("one", "cpu"), ("two", "ddp_cpu")):
        done = call(tmp_path, "train", f"{line} trainer={trainer} dir={name}")
        assert done.code == 0, done.err
    one, two, before = state(tmp_path / "one"), state(tmp_path / "two"), state(source, "best")
    for found in (one, two):
        trunk_ = of_layers(found, *FROZEN)
        assert len(trunk_) == 14
        assert same(trunk_, before) == sorted(trunk_)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-4)
    assert not (tmp_path / "two" / "features.npy").exists()


@pytest.mark.slow
def test_two_processes_unfreeze_what_one_does(tmp_path, mlp_source):
    # Without batch norm, which sees half of the batch in each of two processes.
    line = f"transfer=fine_tune transfer.warmup_epochs=1 transfer.source={mlp_source} {TARGET} optimizer=sgd"
    for name, trainer in (("one", "cpu"), ("two", "ddp_cpu")):
        assert call(tmp_path, "train", f"{line} trainer={trainer} dir={name}").code == 0
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    trunk_ = of_layers(one, "block1")
    assert len(trunk_) == 2
    assert same(trunk_, state(mlp_source, "best")) == []
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-4)
