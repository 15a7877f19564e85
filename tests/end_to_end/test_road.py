"""The whole road as a newcomer walks it: real commands, one after the other, in an empty folder."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from road import LINE, SINGLE, SWEEP
from running import REPOSITORY, call, left_in, strict_json
from torch.nn import functional as F

pytestmark = pytest.mark.slow  # whole commands in processes of their own


@pytest.fixture
def documents(road):
    return {name: done.document for name, done in road[1].items()}


# ---- the documents


def test_stdout_is_one_json_document_alone(road):
    for done in road[1].values():
        assert isinstance(strict_json(done.out), dict)
        assert "Traceback" not in done.err


def test_the_document_of_prepare(road, documents):
    folder, _ = road
    found = documents["prepare"]
    assert {"dataset", "digest", "counts", "quarantined", "duplicates"} <= set(found)
    assert (folder / found["dataset"] / "manifest.json").exists()
    assert re.fullmatch("[0-9a-f]{64}", found["digest"])
    assert {split: sum(counts.values()) for split, counts in found["counts"].items()} == {
        "train": 1258,
        "val": 180,
        "test": 359,
    }
    assert all(sorted(counts) == [str(digit) for digit in range(10)] for counts in found["counts"].values())
    assert found["quarantined"] == []


def check_run(found, folder):
    assert {"run", "mlflow_run_id", "status", "metrics", "parameters", "seconds"} <= set(found)
    assert found["status"] == "finished"
    assert {"val/acc", "val/loss", "test/acc", "test/loss"} <= set(found["metrics"])
    assert 0 <= found["metrics"]["test/acc"] <= 1
    assert found["parameters"]["trainable"] == found["parameters"]["total"] > 0
    assert found["seconds"] > 0
    assert re.fullmatch("[0-9a-f]{32}", found["mlflow_run_id"])
    assert (folder / found["run"] / "run.json").exists()


def test_the_document_of_train(road, documents):
    check_run(documents["train"], road[0])
    assert documents["train"]["run"].startswith("runs/train/")


def test_the_document_of_a_sweep(road, documents):
    folder, found = road[0], documents["sweep"]
    assert {"sweep", "mlflow_run_id", "runs", "verdict"} <= set(found)
    assert len(found["runs"]) == 8
    for run in found["runs"]:
        check_run(run, folder)
        assert Path(run["run"]).parent == Path(found["sweep"])
    assert len({run["mlflow_run_id"] for run in found["runs"]} | {found["mlflow_run_id"]}) == 9
    assert len(list((folder / "runs").glob("**/sweep.json"))) == 1


def test_the_document_of_compare(documents):
    found = documents["compare"]
    assert found["experiment"] == "road"
    assert found["metric"] == "test/acc"
    assert list(found["factors"]) == ["architecture.kernel_size", "architecture.head"]
    for factor, levels in (("architecture.kernel_size", [3, 5]), ("architecture.head", ["flatten", "gap"])):
        entry = found["factors"][factor]
        assert [level["level"] for level in entry["levels"]] == levels
        assert entry["best"] in levels
        for level in entry["levels"]:
            assert {"level", "n", "mean", "sd", "difference", "low", "high", "verdict"} <= set(level)
            assert level["n"] == 2


def test_the_verdict_is_the_same_again_from_the_run_directories(road, documents):
    folder, _ = road
    assert documents["compare"] == documents["sweep"]["verdict"]
    assert documents["compare"] == json.loads((folder / documents["sweep"]["sweep"] / "verdict.json").read_text())


def test_the_verdicts_means_are_those_of_its_runs(road, documents):
    folder, _ = road
    by_level = {}
    for run in documents["sweep"]["runs"]:
        asked = json.loads((folder / run["run"] / "run.json").read_text())["config"]
        by_level.setdefault(asked["architecture"]["head"], []).append(run["metrics"]["test/acc"])
    for level in documents["compare"]["factors"]["architecture.head"]["levels"]:
        values = by_level[level["level"]]
        assert len(values) == 4  # 2 kernel sizes x 2 seeds
        assert level["mean"] == pytest.approx(np.mean(values), abs=1e-12)


def test_every_arm_has_the_same_seeds_and_the_same_split(road, documents):
    folder, _ = road
    seen = {}
    for run in documents["sweep"]["runs"]:
        asked = json.loads((folder / run["run"] / "run.json").read_text())
        with np.load(folder / run["run"] / "predictions.npz") as saved:
            seen.setdefault(asked["config"]["seed"], []).append(saved["index"].tobytes())
    assert {seed: len(splits) for seed, splits in seen.items()} == {0: 4, 1: 4}
    assert all(len(set(splits)) == 1 for splits in seen.values())
    assert seen[0][0] != seen[1][0]


# ---- the numbers


def by_hand(run):
    """Test accuracy of a run's best checkpoint, with scikit-learn's digits and torch alone."""
    from sklearn.datasets import load_digits

    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    images, labels = load_digits(return_X_y=True)
    with np.load(run / "predictions.npz") as saved:
        test = saved["index"]
    assert len(set(test.tolist())) == len(test) == 359
    pixels = np.round(images[test] * 255 / 16).reshape(-1, 1, 8, 8)
    x_BCHW = (torch.tensor(pixels, dtype=torch.float32) / 255 - state["mean"]) / state["std"]
    for block in ("block1_conv1", "block2_conv1"):
        weight, bias = state[f"network.{block}.weight"], state[f"network.{block}.bias"]
        x_BCHW = F.max_pool2d(F.relu(F.conv2d(x_BCHW, weight, bias, padding=weight.shape[-1] // 2)), 2)
    dense = state["network.head_classes.weight"]
    features = x_BCHW.flatten(1) if dense.shape[1] == 8 * 2 * 2 else x_BCHW.mean((2, 3))
    logits = F.linear(features, dense, state["network.head_classes.bias"])
    return (logits.argmax(1).numpy() == labels[test]).mean()


def test_every_accuracy_is_what_its_checkpoint_gives(road, documents):
    folder, _ = road
    for run in (documents["train"], *documents["sweep"]["runs"]):
        assert run["metrics"]["test/acc"] == pytest.approx(by_hand(folder / run["run"]), abs=1e-12)


def test_the_mean_and_spread_are_those_of_the_training_images(road, documents):
    from sklearn.datasets import load_digits

    from pipeline import data
    from pipeline.config import Config

    run = road[0] / documents["train"]["run"]
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    settings = Config().data
    settings.limit_train, settings.prepared_dir = 128, str(road[0] / "prepared")
    train = data.split(data.prepare(settings, 9), settings, 9)["train"]  # the seed of the single run
    pixels = np.round(load_digits(return_X_y=True)[0][train] * 255 / 16) / 255
    assert state["mean"].item() == pytest.approx(pixels.mean(), rel=1e-6)
    assert state["std"].item() == pytest.approx(pixels.std(), rel=1e-6)
    with np.load(run / "predictions.npz") as saved:
        assert set(train.tolist()).isdisjoint(saved["index"].tolist())


def test_the_same_command_gives_the_same_numbers(road, documents):
    folder, _ = road
    again = call(folder, "train", f"{SINGLE} output=json").document
    assert again["run"] != documents["train"]["run"]
    assert again["metrics"] == documents["train"]["metrics"]


def test_a_run_of_the_sweep_is_the_run_by_itself(road, documents):
    first = documents["sweep"]["runs"][0]  # kernel size 3, flatten, seed 0: the defaults
    alone = call(road[0], "train", f"{LINE} tracking=none runs_dir=alone output=json").document
    assert first["metrics"] == alone["metrics"]


def test_the_same_sweep_gives_the_same_numbers(road, documents):
    again = call(road[0], "train", f"{SWEEP} tracking=none runs_dir=again output=json").document
    assert [run["metrics"] for run in again["runs"]] == [run["metrics"] for run in documents["sweep"]["runs"]]
    for factor, entry in again["verdict"]["factors"].items():
        for level, before in zip(
            entry["levels"], documents["sweep"]["verdict"]["factors"][factor]["levels"], strict=True
        ):
            measured = ("level", "n", "mean", "sd", "difference", "low", "high", "verdict")  # all but its seconds
            assert {name: level[name] for name in measured} == {name: before[name] for name in measured}


# ---- what people see


def test_progress_goes_over_the_whole_sweep(road):
    err = road[1]["sweep"].err
    lines = re.findall(r"^\[(\d)/8\] (\S+)  test/acc 0\.\d{4}  \d+\.\d s(  ETA \d+:\d\d)?$", err, re.M)
    assert [int(number) for number, _, _ in lines] == list(range(1, 9))
    assert [bool(eta) for _, _, eta in lines] == [True] * 7 + [False]
    assert lines[0][1] == "kernel_size=3,head=flatten,seed=0"


def test_a_table_and_where_to_look_next(road, documents):
    done = call(road[0], "compare", "sweep=latest")
    assert done.code == 0
    for level in ("flatten", "gap"):
        assert re.search(rf"^{level} ", done.out, re.M)
    assert f"report     {documents['sweep']['sweep']}/report.html" in done.out
    assert f"dashboard  python -m pipeline.dashboard sweep={documents['sweep']['sweep']}" in done.out


def test_compare_publishes_a_folder_for_dvc(road, documents):
    folder, _ = road
    assert call(folder, "compare", "sweep=latest out=reports/road").code == 0
    assert set(left_in(folder / "reports" / "road")) >= {
        "verdict.json",
        "report.html",
        "verdict.md",
        "verdict.tex",
        "verdict.csv",
        "metrics/kernel_size.json",
        "metrics/head.json",
    }
    swept = folder / documents["sweep"]["sweep"]
    assert left_in(folder / "reports/road/plots") == left_in(swept / "plots")
    assert json.loads((folder / "reports/road/verdict.json").read_text()) == documents["compare"]


def test_nothing_is_left_but_the_four_folders(road):
    assert {path.name for path in road[0].iterdir()} <= {
        "prepared",
        "runs",
        "mlruns",
        "reports",
        "again",
        "alone",
        "demo",
    }


def test_the_report_is_one_file(road, documents):
    page = (road[0] / documents["sweep"]["sweep"] / "report.html").read_text()
    assert re.findall(r"""src=["'](?!data:)|<link|@import|url\((?!["']?(?:data:|#))""", page) == []
    assert page.count("<svg") >= 3  # the plots are inside
    for words in ("kernel_size", "flatten", "gap"):
        assert words in page


# ---- the real thing


@pytest.mark.timeout(900)
def test_the_demo(tmp_path):
    """`make demo`, which .ci/run runs whole, with less training."""
    line = "-m experiment=demo data.limit_train=200 trainer.max_epochs=2 output=json"
    done = call(tmp_path, "train", line, timeout_s=800)
    assert done.code == 0
    found = done.document
    assert len(found["runs"]) >= 24
    assert {run["status"] for run in found["runs"]} == {"finished"}
    assert len(found["verdict"]["factors"]) == 3
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    assert len(runs) == len(found["runs"]) + 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    shown = {run.info.run_id: run.data.metrics.get("test/acc") for run in runs}
    assert all(shown[run["mlflow_run_id"]] == run["metrics"]["test/acc"] for run in found["runs"])
    for run in found["runs"][:: len(found["runs"]) // 4]:
        evaluated = call(tmp_path, "evaluate", f"run={run['run']} invariance=false output=json")
        assert evaluated.document["metrics"] == run["metrics"]


FASHION = REPOSITORY.parent / "shared" / "data" / "fashion_mnist"


@pytest.mark.timeout(1200)
@pytest.mark.skipif(not FASHION.exists(), reason=f"no {FASHION}")
def test_fashion_mnist_reaches_90_percent(tmp_path):
    line = f"data=fashion_mnist data.root={FASHION} trainer.max_epochs=5 output=json"
    done = call(tmp_path, "train", line, timeout_s=1100)
    assert done.code == 0, done.err
    assert done.document["metrics"]["test/acc"] >= 0.90
