"""How much a run overfits: accuracy on its own clean training images, above that on validation."""

import numpy as np
import torch
from running import TINY

from pipeline import data, rundir
from pipeline.evaluation import predict

LINE = TINY.replace("max_epochs=1", "max_epochs=30").replace("limit_train=64", "limit_train=40") + " optimizer.lr=0.02"


def test_a_memorised_handful_shows_a_gap(command, workdir):
    assert command("train", f"{LINE} dir=run").code == 0
    found = rundir.get_status(workdir / "run").metrics
    assert found["train/acc"] > 0.95
    assert found["gap/acc"] == found["train/acc"] - found["val/acc"] > 0.1


def test_it_is_measured_on_clean_images(command, workdir, monkeypatch):
    line = f"{TINY} augmentation=all augmentation.strength=4 dir=run"
    assert command("train", line).code == 0
    run = workdir / "run"
    settings = data.Data(limit_train=64)
    prepared = data.prepare(settings, 0)
    train = data.split(prepared, settings, 0)["train"]
    module = predict.load(run)
    with torch.no_grad():
        x_BCHW = torch.from_numpy(np.asarray(prepared.images[train])).permute(0, 3, 1, 2)
        right = (module(x_BCHW).argmax(1).numpy() == prepared.labels[train]).mean()
    assert rundir.get_status(run).metrics["train/acc"] == right
    # A sample stands for a large split.
    monkeypatch.setattr(predict, "MOST_TRAIN", 8)
    sampled = predict.evaluate(run)["metrics"]["train/acc"]
    assert sampled * 8 == round(sampled * 8)
