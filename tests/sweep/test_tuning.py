"""optimizer.lr=tuned: each arm's own rate, chosen on validation data at seeds of its own."""

import json

import pytest
from running import TINY, refused

from pipeline import rundir

GRID = "optimizer.lr=tuned optimizer.lr_grid=[0.00001,0.01] optimizer.tuning_seeds=1 trainer.max_epochs=3"
SWEEP = f"-m {TINY} {GRID} architecture.kernel_size=3,5 output=json"


def test_each_arm_is_trained_at_the_rate_that_validation_data_like_best(command, workdir):
    done = command("train", f"{SWEEP} seed=0,1")
    assert done.code == 0, done.err
    record = rundir.read_sweep(workdir / done.document["sweep"])
    assert [(one.levels, one.lr) for one in record.tuned] == [
        ({"architecture.kernel_size": 3}, 0.01), ({"architecture.kernel_size": 5}, 0.01)
    ]  # fmt: skip
    assert record.tuned[0].scores["0.01"] > record.tuned[0].scores["1e-05"]
    for run in done.document["runs"]:
        assert rundir.read_run(workdir / run["run"]).config["optimizer"]["lr"] == 0.01
    tuning = rundir.read_sweep(workdir / record.tuned_in)
    assert len(tuning.jobs) == 4  # its cost: a sweep of its own
    assert {job.seed for job in tuning.jobs}.isdisjoint({0, 1})
    assert tuning.experiment["metric"] == "val/acc"
    assert "the best rate is at an end of optimizer.lr_grid" in done.err
    assert list(done.document["verdict"]["factors"]) == ["architecture.kernel_size"]


def test_the_same_command_tunes_once(command, workdir):
    first = command("train", f"{SWEEP} seed=0,1")
    again = command("train", f"{SWEEP} seed=0,1")
    assert again.document["sweep"] == first.document["sweep"]
    assert again.err.count("finished before") == 4 + 4
    assert len(list((workdir / "runs").glob("*/*/sweep.json"))) == 2


def test_stopped_while_it_tunes_it_goes_on(command, workdir, stopped_once):
    stopped_once("002_")
    assert command("train", f"{SWEEP} seed=0,1").code == 75
    done = command("train", f"{SWEEP} seed=0,1")
    assert done.code == 0, done.err
    assert "interrupted before, goes on" in done.err


def test_a_sequential_design_can_be_tuned(command, workdir):
    done = command("train", f"{SWEEP} seeds=auto experiment.max_seeds=4 experiment.smallest_effect=0.9")
    assert done.code == 0, done.err
    assert len(done.document["runs"]) == 8
    assert json.loads((workdir / done.document["sweep"] / "sweep.json").read_text())["tuned"][0]["lr"] == 0.01


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-m optimizer.lr=tuned,0.01 seed=0,1", "beside other rates it says nothing new"),
        ("optimizer.lr=tuned", "rates are tuned for the arms of a sweep; say -m"),
        ("-m optimizer.lr=tund seed=0,1", "optimizer.lr=tund: must be greater than 0, or tuned"),
        ("-m optimizer.lr=tuned optimizer.lr_grid=[0] seed=0,1", "must be rates greater than 0"),
    ],
)
def test_what_cannot_be_tuned_is_refused(command, line, message):
    refused(command("train", f"{line} {TINY}"), message)
