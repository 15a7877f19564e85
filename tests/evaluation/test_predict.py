"""A checkpoint gives what its run says it gave; anything else is refused with a clear message."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from running import TINY, call, refused
from torch.nn import functional as F

from pipeline import data, rundir
from pipeline.architecture import Cnn
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.evaluation import predict
from pipeline.rundir.documents import write_checked


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a finished run of two epochs in `run`, and its prepared data."""
    folder = tmp_path_factory.mktemp("evaluation")
    line = TINY.replace("max_epochs=1", "max_epochs=2")
    done = call(folder, "train", f"{line} dir=run")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def run(trained, workdir):
    """A copy of that run, to be damaged."""
    shutil.copytree(trained, workdir, dirs_exist_ok=True)
    return Path("run")


# ---- what it gives


def test_evaluate_gives_exactly_what_the_run_says(run, command):
    done = command("evaluate", "run=run invariance=false output=json")
    assert done.code == 0
    assert done.document["metrics"] == rundir.get_status(run).metrics
    assert done.document["run"] == "run"


def test_prepared_labels_in_another_order_are_noticed(run, workdir):
    (labels,) = workdir.glob("prepared/*/labels.npy")
    np.save(labels, np.random.default_rng(0).permutation(np.load(labels)))
    done = call(workdir, "evaluate", "run=run invariance=false output=json")
    assert f"{labels.relative_to(workdir)}: is not what was written there; the set is made anew" in done.err
    assert done.document["metrics"] == rundir.get_status(run).metrics


def test_the_last_checkpoint_is_another(run, command):
    best, last = (command("evaluate", f"run=run checkpoint={name} output=json").document for name in ("best", "last"))
    epochs = [torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["epoch"] for name in ("best", "last")]
    assert epochs[1] == 1
    assert (best["metrics"] == last["metrics"]) == (epochs[0] == epochs[1])


def test_evaluate_is_readable(run, command):
    done = command("evaluate", "run=run")
    accuracy = rundir.get_status(run).metrics["test/acc"]
    assert f"test/acc   {accuracy:.4f}" in done.out


def test_evaluate_changes_nothing(run, command):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert command("evaluate", "run=run invariance=false diagnosis=false").code == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_predictions_are_the_checkpoints_logits(run):
    module = predict.load(run)
    prepared = data.prepare(Config(architecture=Cnn()).data, 0)
    with np.load(run / "predictions.npz") as saved:
        logits = predict.logits(module, prepared.images, prepared.labels, saved["index"])
        assert np.array_equal(logits.numpy(), saved["logits"])
        assert np.array_equal(prepared.labels[saved["index"]], saved["label"])


def test_metrics_by_hand():
    logits_BK = torch.tensor([[2.0, 0.0], [0.0, 2.0], [3.0, 1.0], [0.0, 0.0]])
    found = predict.metrics(logits_BK, torch.tensor([0, 0, 0, 1]), "test")
    # log(1 + e^-2) = 0.126928, and 2 more where it is wrong; log 2 for the undecided
    assert found["test/acc"] == 0.5
    assert found["test/loss"] == pytest.approx((3 * 0.126928011 + 2 + 0.693147181) / 4)
    assert found["test/loss"] == pytest.approx(F.cross_entropy(logits_BK, torch.tensor([0, 0, 0, 1])).item())


def test_logits_do_not_depend_on_the_batch(run):
    module = predict.load(run)
    prepared = data.prepare(Config(architecture=Cnn()).data, 0)
    indices = np.arange(600)  # more than one batch of 512
    whole = predict.logits(module, prepared.images, prepared.labels, indices)
    parts = [predict.logits(module, prepared.images, prepared.labels, indices[i : i + 7]) for i in range(0, 600, 7)]
    assert whole.shape == (600, 10)
    torch.testing.assert_close(torch.cat(parts), whole)


def test_a_loaded_network_is_ready_to_predict(run):
    module = predict.load(run)
    assert not module.training
    assert module.device.type == "cpu"
    assert {weights.dtype for weights in module.parameters()} == {torch.float32}


# ---- what is refused


def test_a_missing_checkpoint(run, command):
    (run / "checkpoints" / "best.ckpt").unlink()
    refused(command("evaluate", "run=run"), "run/checkpoints/best.ckpt: no such checkpoint.")


def test_an_unknown_checkpoint(run, command):
    refused(command("evaluate", "run=run checkpoint=first"), "checkpoint=first: must be one of best, last.")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "no weights", "a list"])
def test_a_damaged_checkpoint(damage, run, command):
    path = run / "checkpoints" / "best.ckpt"
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        path.write_bytes(whole.replace(b"state_dict", b"stale_dict"))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a checkpoint")
    elif damage == "no weights":
        torch.save({"state_dict": {}}, path)
    else:
        torch.save([1, 2], path)
    refused(command("evaluate", "run=run"), "run/checkpoints/best.ckpt: ")


def test_a_changed_weight_is_noticed(run, command):
    """The archive's own checksum covers every tensor."""
    path = run / "checkpoints" / "best.ckpt"
    with zipfile.ZipFile(path) as file:
        biggest = max((m for m in file.infolist() if "/data/" in m.filename), key=lambda member: member.file_size)
        content = file.read(biggest)
    whole = path.read_bytes()
    assert whole.count(content) == 1
    path.write_bytes(whole.replace(content, bytes([content[0] ^ 1]) + content[1:]))
    refused(command("evaluate", "run=run"), "run/checkpoints/best.ckpt: ")


class Malice:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("how", ["torch.save", "pickle", "among the weights"])
def test_pickled_code_is_refused_and_not_executed(how, run, command):
    path = run / "checkpoints" / "best.ckpt"
    if how == "torch.save":
        torch.save({"state_dict": Malice()}, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": Malice()}))
    else:
        state = torch.load(path, weights_only=True)
        torch.save({**state, "callbacks": Malice()}, path)
    done = command("evaluate", "run=run")
    assert not Path("executed").exists()
    refused(done, "run/checkpoints/best.ckpt: cannot be read as a checkpoint")
    torch.load(path, weights_only=False) if how != "pickle" else pickle.loads(path.read_bytes())
    assert Path("executed").exists()  # it would have been


def test_a_network_that_does_not_fit_its_weights(run, command):
    asked = rundir.read_json(run / "run.json")
    asked["config"]["architecture"]["filters"] = [4, 4]
    write_checked(run / "run.json", asked)
    refused(command("evaluate", "run=run"), "run/checkpoints/best.ckpt: does not fit the network of run/run.json")


def test_data_that_changed(run, command):
    asked = rundir.read_json(run / "run.json")
    was = asked["dataset"]["digest"]
    asked["dataset"]["digest"] = "0" * 64
    write_checked(run / "run.json", asked)
    refused(command("evaluate", "run=run"), "run=run: was trained on data of digest 000000000000", was[:12])


def test_another_size_of_the_same_data(run):
    asked = rundir.read_json(run / "run.json")
    asked["config"]["data"]["size"] = 16
    write_checked(run / "run.json", asked)
    with pytest.raises(InputError, match="was trained on data of digest"):
        predict.evaluate(run)


def test_a_run_that_is_none(run, command):
    refused(command("evaluate", "run=prepared"), "run=prepared: not a run directory; it holds no run.json.")
    (run / "run.json").write_text("{")
    refused(command("evaluate", "run=run"), "run/run.json: cannot be read as JSON")


@pytest.mark.parametrize("change", ["unknown key", "no config", "unknown section"])
def test_a_run_of_another_version(change, run, command):
    asked = json.loads((run / "run.json").read_text())
    if change == "unknown key":
        asked["config"]["optimizer"]["beta"] = 0.9
    elif change == "no config":
        del asked["config"]
    else:
        asked["config"]["augmentation"] = {"type": "none"}
    (run / "run.json").write_text(json.dumps(asked))
    refused(command("evaluate", "run=run"), "run.json")
