"""Weights that others wrote: what is taken, what is said of the rest, and that nothing in a file is run."""

import os
import pickle
import shutil

import pytest
import timm
import torch
from running import refused
from safetensors.torch import save_file
from transfer_runs import TARGET, same, state

from pipeline import rundir
from pipeline.transfer import network

NAME = "test_efficientnet"  # timm's own tiny model for tests: 7 stages, 99,000 parameters
LINE = f"architecture=timm architecture.name={NAME} data.size=32 {TARGET} trainer.max_epochs=1"


@pytest.fixture(scope="session")
def tensors():
    """A state dict of the model but for its classifier, as feature extractors are published."""
    torch.manual_seed(5)
    model = timm.create_model(NAME, num_classes=0)
    for name, buffer in model.named_buffers():  # as if trained: no batch norm has a mean of 0 then
        if "running_mean" in name:
            buffer.uniform_(-0.1, 0.1)
    return model.state_dict()


@pytest.fixture
def ask(command, workdir):
    """Train from the file `weights`: ask("head_only", "more=...")."""

    def run(strategy="head_only", more="", file="weights"):
        return command("train", f"transfer={strategy} transfer.source=timm transfer.weights={file} {LINE} {more}")

    return run


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "nested", "prefixed", "safetensors"])
def test_every_form_of_file_gives_the_same_weights(form, ask, workdir, tensors):
    if form == "safetensors":
        save_file(dict(tensors), "weights")
    else:
        saved = {f"module.{k}": v for k, v in tensors.items()} if form == "prefixed" else tensors
        torch.save({"state_dict": saved, "best_prec1": 91.7} if form == "nested" else saved, "weights")
    done = ask(more="dir=run output=json")
    assert done.code == 0, done.err
    found = {name.removeprefix("network."): tensor for name, tensor in state(workdir / "run").items()}
    assert same(tensors, found) == sorted(tensors)
    asked = rundir.read_json(workdir / "run" / "run.json")
    assert asked["transfer"]["source"]["tensors_loaded"] == len(tensors)
    assert asked["transfer"]["new"] == ["classifier"]
    assert asked["transfer"]["network"]["channels"] == 3  # digits are grey; the model takes RGB
    mean = timm.get_pretrained_cfg(NAME).mean
    assert found["mean"].flatten().tolist() == pytest.approx(mean)


@pytest.mark.slow
def test_early_layers_of_a_timm_model(ask, command, workdir, tensors):
    torch.save(tensors, "weights")
    done = ask("early_layers", "transfer.depth=3 dir=run output=json")
    assert done.code == 0, done.err
    found = {name.removeprefix("network.trunk."): tensor for name, tensor in state(workdir / "run").items()}
    kept = [name for name in tensors if name.startswith(("conv_stem", "bn1", "blocks.0", "blocks.1"))]
    assert same({name: tensors[name] for name in kept}, found) == sorted(kept)
    assert {name for name in found if name in tensors} == set(kept)  # the later stages are gone
    evaluated = command("evaluate", "run=run invariance=false output=json")
    assert evaluated.document["metrics"] == done.document["metrics"]
    # A run of a cut timm model can itself be started from, and cut again.
    again = command("train", f"transfer=early_layers transfer.source=run transfer.depth=1 {TARGET} data.size=32 dir=r2")
    assert again.code == 0, again.err
    assert "network.trunk.blocks.0.0.conv.weight" not in state(workdir / "r2")


@pytest.mark.slow
def test_fine_tune_of_a_timm_model_moves_every_weight(ask, workdir, tensors):
    torch.save(tensors, "weights")
    done = ask("fine_tune", "transfer.warmup_epochs=0 transfer.unfreeze_every=null dir=run")
    assert done.code == 0, done.err
    found = {name.removeprefix("network."): tensor for name, tensor in state(workdir / "run").items()}
    assert same(tensors, found) == []


class Hostile:
    """Pickled, this runs a command when it is read back."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def refuse(ask, workdir, *said):
    before = sorted(os.listdir(workdir))
    done = ask()
    refused(done, "transfer.weights=", *said)
    after = set(os.listdir(workdir))
    assert after - {"prepared"} == set(before) - {"prepared"}
    assert "owned" not in after


def test_a_file_with_code_in_it_is_refused_and_nothing_is_run(ask, workdir, tensors):
    torch.save({**tensors, "more": Hostile()}, "weights")
    refuse(ask, workdir, "it holds more than weights, which could be code: nothing of it was run")
    (workdir / "weights").write_bytes(pickle.dumps(Hostile()))
    refuse(ask, workdir, "cannot be read as weights")
    with (workdir / "weights").open("rb") as file:
        pickle.load(file)  # the test's own check: read carelessly, it does run
    assert (workdir / "owned").exists()


@pytest.mark.parametrize("form", ["torch", "safetensors"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.95])
def test_a_truncated_file_is_refused(form, part, ask, workdir, tensors):
    if form == "torch":
        torch.save(tensors, "weights")
    else:
        save_file(dict(tensors), "weights")
    whole = (workdir / "weights").read_bytes()
    (workdir / "weights").write_bytes(whole[: int(part * len(whole))])
    refuse(ask, workdir, "cannot be read as")


def test_a_damaged_file_is_refused(ask, workdir, tensors):
    torch.save(tensors, "weights")
    whole = bytearray((workdir / "weights").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (workdir / "weights").write_bytes(whole)
    refuse(ask, workdir, "cannot be read as weights", "is damaged")


def test_what_is_no_weights_file_is_refused(ask, workdir):
    (workdir / "weights").write_text("these are not weights\n" * 100)
    refuse(ask, workdir, "cannot be read as weights")
    torch.save({"epoch": 3, "lr": 0.1}, "weights")
    refuse(ask, workdir, "holds no weights by name, but a dict of epoch, lr.")
    torch.save(torch.zeros(3), "weights")
    refuse(ask, workdir, "holds no weights by name, but a Tensor.")
    refused(ask(file="nowhere"), "transfer.weights=nowhere: no such file.")


def test_foreign_names_are_counted_and_named(ask, workdir, tensors):
    torch.save({f"module.layer{i}.weight": torch.zeros(1) for i in range(6)}, "weights")
    count = len(tensors) + 2
    missing = sum(not name.endswith("num_batches_tracked") for name in tensors)
    refuse(
        ask, workdir,
        f"does not fit timm's {NAME}: {missing} of its {count} tensors are missing (",
        "6 of the 6 in the file are unknown to it (layer0.weight, layer1.weight, layer2.weight, layer3.weight, ...).",
    )  # fmt: skip


def test_one_missing_or_one_too_many_is_refused(ask, workdir, tensors):
    torch.save({k: v for k, v in tensors.items() if k != "conv_stem.weight"}, "weights")
    refuse(ask, workdir, f"1 of its {len(tensors) + 2} tensors are missing (conv_stem.weight).")
    torch.save({**tensors, "extra": torch.zeros(1)}, "weights")
    refuse(ask, workdir, f"1 of the {len(tensors) + 1} in the file are unknown to it (extra).")


def test_another_shape_is_refused(ask, workdir, tensors):
    shape = "x".join(map(str, tensors["conv_stem.weight"].shape))
    torch.save({**tensors, "conv_stem.weight": torch.zeros(2, 3)}, "weights")
    refuse(ask, workdir, "1 of its tensors have other shapes", f"conv_stem.weight is 2x3 there and {shape} here")


def test_a_damaged_source_run_is_refused(command, source, workdir):
    shutil.copytree(source, "copy")
    file = workdir / "copy/checkpoints/best.ckpt"
    file.write_bytes(file.read_bytes()[:1000])
    line = f"transfer=head_only transfer.source=copy {TARGET}"
    refused(command("train", line), "transfer.source=copy: ", "best.ckpt: is not what the run ended with")
    file.unlink()
    refused(command("train", line), "transfer.source=copy: holds no checkpoints/best.ckpt (its status is finished)")


def test_weights_that_changed_after_the_run_began_are_refused(command, source, workdir):
    line = f"transfer=head_only transfer.source={source} {TARGET} dir=run"
    assert command("train", line).code == 0
    asked = rundir.read_run(workdir / "run")
    asked.transfer["source"]["digest"] = "0" * 64
    made = network.of_run(asked)
    with pytest.raises(ValueError, match="holds other weights"):
        network.load(made, asked.transfer)
