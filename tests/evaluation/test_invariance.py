"""Perturbations by hand, curves of networks whose answers are known, and what a run leaves of them."""

import numpy as np
import pytest
import torch
from running import TINY

from pipeline import rundir
from pipeline.evaluation import invariance
from pipeline.evaluation.invariance import areas, evenly, measure
from pipeline.perturbations import PERTURBATIONS, Perturbation
from pipeline.training.module import Classifier

GRIDS = {kind: list(one.grid) for kind, one in PERTURBATIONS.items()}


def one(image, kind, amount, at=0):
    """One image perturbed as the `at`-th of a batch."""
    x_BCHW = torch.tensor(image, dtype=torch.uint8)[None, None].repeat(4, 1, 1, 1)
    return PERTURBATIONS[kind].apply(x_BCHW, amount)[at, 0].round(decimals=4).tolist()


# ---- the perturbations


def test_rotation_by_90_degrees_is_counterclockwise():
    assert one([[1, 2], [3, 4]], "rotation", 90.0) == [[2, 4], [1, 3]]
    image = np.arange(16).reshape(4, 4)
    assert one(image.tolist(), "rotation", 90.0) == np.rot90(image).tolist()
    assert one(image.tolist(), "rotation", -90.0) == np.rot90(image, -1).tolist()


def test_rotation_is_that_of_the_augmentation():
    """A network trained on turns to the left is measured on turns to the left."""
    from pipeline.augmentation import Augment, Augmentation

    image = np.zeros((16, 16, 1), np.uint8)
    image[2:6, 3:9] = 200
    augment = Augment(Augmentation(["rotate"], strength=2), 0)
    m = augment.matrices((16, 16), 0, np.array([3]))[0]
    degrees = np.rad2deg(np.arctan2(m[0, 1], m[0, 0]))
    assert abs(degrees) > 5
    trained = augment(image[None], 0, np.array([3]))[0, :, :, 0]
    x_BCHW = torch.from_numpy(image).permute(2, 0, 1)[None]
    measured = PERTURBATIONS["rotation"].apply(x_BCHW, float(degrees))[0, 0].numpy()
    assert np.abs(trained - measured).mean() < 1
    assert np.abs(trained - image[:, :, 0].astype(float)).mean() > 5


def test_shift_by_whole_pixels_each_way():
    image = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]
    right, left, down, up = (one(image, "shift", 0.25, at) for at in range(4))
    assert right == [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15]]
    assert left == [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0], [14, 15, 16, 0]]
    assert down == [[0, 0, 0, 0], *image[:3]]
    assert up == [*image[1:], [0, 0, 0, 0]]


def test_half_the_size_leaves_a_black_frame():
    # Each pixel of the half-size image lies in the middle of four of the original's.
    image = [[4, 8, 0, 0], [8, 12, 0, 0], [0, 0, 40, 40], [0, 0, 40, 40]]
    assert one(image, "scale", 0.5) == [[0, 0, 0, 0], [0, 8, 0, 0], [0, 0, 40, 0], [0, 0, 0, 0]]


def test_larger_shows_the_middle():
    image = [[9, 9, 9, 9], [9, 50, 50, 9], [9, 50, 50, 9], [9, 9, 9, 9]]
    grown = np.array(one(image, "scale", 1.5))
    assert (grown[1:3, 1:3] == 50).all()
    assert (grown[0] > 9).all()


@pytest.mark.parametrize("kind", GRIDS)
def test_the_neutral_amount_changes_nothing(kind):
    image = np.random.default_rng(0).integers(0, 256, (5, 5)).tolist()
    neutral = PERTURBATIONS[kind].neutral
    assert neutral in PERTURBATIONS[kind].grid
    assert np.allclose(one(image, kind, neutral), image, atol=1e-3)


def test_each_channel_and_image_keeps_to_itself():
    x_BCHW = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    x_BCHW[1, 2] = 100
    x = PERTURBATIONS["rotation"].apply(x_BCHW.contiguous(memory_format=torch.channels_last), 30.0)
    assert x[0].abs().max() == 0
    assert x[1, :2].abs().max() == 0
    assert x[1, 2, 1:3, 1:3].min() == pytest.approx(100, abs=1e-3)


# ---- the curves


class Answers(Classifier):
    """Class 1 where the image's `part` is brighter than half, else class 0."""

    def __init__(self, part):
        super().__init__(torch.nn.Identity(), torch.zeros(1), torch.ones(1), 2)
        self.part = part

    def forward(self, x_BCHW):
        light = x_BCHW.float()[:, 0, *self.part].reshape(len(x_BCHW), -1).mean(1)
        return torch.stack([torch.full_like(light, 127.5), light], dim=1)


@pytest.fixture
def dark_or_light():
    """16x16: half of them black, half bright all over."""
    labels = np.arange(40) % 2
    return np.repeat(labels, 256).reshape(40, 16, 16, 1).astype(np.uint8) * 255, labels


def test_a_network_that_sees_the_middle_alone_stands_everything(dark_or_light):
    curves = measure(Answers((slice(7, 9), slice(7, 9))), *dark_or_light, np.arange(40))
    assert {kind: [amount for amount, _ in curves[kind]] for kind in GRIDS} == GRIDS
    assert all(value == 1 for kind in GRIDS for _, value in curves[kind] + curves["agreement"][kind])
    assert set(areas(curves).values()) == {1.0}
    assert curves["examples"] == 40


def test_one_that_sees_a_corner_does_not(dark_or_light):
    curves = measure(Answers((slice(0, 1), slice(0, 1))), *dark_or_light, np.arange(40))
    # Turned, the corner is black except at right angles; half of the images are black anyway.
    turned = {amount: value for amount, value in curves["rotation"]}
    assert (turned[-90], turned[0], turned[90]) == (1, 1, 1)
    assert turned[45] == turned[-30] == 0.5
    smaller = dict(curves["scale"])
    assert smaller[0.5] == 0.5
    assert smaller[1.5] == 1
    # Even images are black (they move right and down), odd ones bright (left and up): none comes in from there.
    assert dict(curves["shift"])[0.25] == 1


def test_areas_are_means_over_the_grid():
    curve = [[0, 1.0], [1, 0.5], [2, 0.0]]
    curves = {kind: curve for kind in GRIDS}
    found = areas(curves | {"agreement": {kind: [[0, 1.0], [1, 0.0]] for kind in GRIDS}})
    assert found == {f"invariance/{kind}": 0.5 for kind in GRIDS} | {f"agreement/{kind}": 0.5 for kind in GRIDS}


def test_agreement_is_with_the_unperturbed_prediction(dark_or_light):
    images, labels = dark_or_light
    curves = measure(Answers((slice(7, 9), slice(7, 9))), images, 1 - labels, np.arange(40))
    assert all(value == 0 for kind in GRIDS for _, value in curves[kind])
    assert all(value == 1 for kind in GRIDS for _, value in curves["agreement"][kind])


def test_a_perturbation_is_one_entry(dark_or_light, monkeypatch, tmp_path):
    brighter = Perturbation(lambda x_BCHW, amount: x_BCHW.float() + amount, (0.0, 200.0), 0.0, "grey levels")
    monkeypatch.setitem(PERTURBATIONS, "brightness", brighter)
    curves = measure(Answers((slice(7, 9), slice(7, 9))), *dark_or_light, np.arange(40))
    assert curves["brightness"] == [[0.0, 1.0], [200.0, 0.5]]
    assert areas(curves)["invariance/brightness"] == 0.75
    invariance.draw(curves, tmp_path / "invariance.png")
    assert (tmp_path / "invariance.png").stat().st_size > 5000


def test_a_sample_lies_evenly_over_the_split():
    assert evenly(np.arange(10), 10).tolist() == list(range(10))
    assert evenly(np.arange(100, 109), 5).tolist() == [100, 102, 104, 106, 108]
    assert len(set(evenly(np.arange(10_000), 2000).tolist())) == 2000


# ---- a run


def test_a_run_that_asks_for_it_leaves_its_curves(command, workdir):
    assert command("train", f"{TINY} dir=run experiment.invariance=true").code == 0
    run = workdir / "run"
    curves, metrics = rundir.read_json(run / "invariance.json"), rundir.get_status(run).metrics
    assert curves["examples"] == 359
    assert (run / "invariance.png").stat().st_size > 5000
    assert dict(map(tuple, curves["rotation"]))[0.0] == dict(map(tuple, curves["shift"]))[0.0] == metrics["test/acc"]
    for kind in GRIDS:
        assert metrics[f"invariance/{kind}"] == pytest.approx(np.mean([value for _, value in curves[kind]]))
        assert 0 < metrics[f"agreement/{kind}"] <= 1
    assert metrics["gap/acc"] == pytest.approx(metrics["train/acc"] - metrics["val/acc"])
    *_, last = rundir.metric_rows(run)
    assert {k: v for k, v in metrics.items() if not k.startswith("val/")} == last.metrics
    # Measured again from the checkpoint, they are the same.
    document = command("evaluate", "run=run output=json").document
    assert document["metrics"] == metrics
    key = rundir.read_run(run).key
    assert {"version": 1, "checkpoint": "best", "key": key} | document["invariance"] == curves


def test_a_run_that_does_not_ask_has_none_until_it_is_evaluated(command, workdir):
    assert command("train", f"{TINY} dir=run").code == 0
    assert not (workdir / "run/invariance.json").exists()
    assert "invariance" not in command("evaluate", "run=run invariance=false output=json").document
    done = command("evaluate", "run=run")
    assert done.code == 0
    assert "are called what they are called unperturbed" in done.out
    assert (workdir / "run/invariance.json").exists()
    assert rundir.get_status(workdir / "run").metrics.keys() == {
        "val/acc", "val/loss", "test/acc", "test/loss", "train/acc", "gap/acc",
    }  # fmt: skip


def test_large_test_splits_are_sampled(dark_or_light, monkeypatch):
    monkeypatch.setattr(invariance, "MOST", 10)
    curves = measure(Answers((slice(7, 9), slice(7, 9))), *dark_or_light, np.arange(40))
    assert curves["examples"] == 10
