"""The estimate of a sweep: a few timed steps, scaled to all of its runs."""

import dataclasses
import json
import time
from pathlib import Path

import pytest
import torch

from pipeline import architecture
from pipeline.architecture import SCHEMAS
from pipeline.config import Config
from pipeline.config.tracking import Tracking
from pipeline.config.trainer import Trainer
from pipeline.data import Data
from pipeline.training import calibrate
from pipeline.training.calibrate import Sizes


def run(filters=10, epochs=1, batch=32, tracked=False, threads=1):
    """One block of 3x3 `filters`, no pool, gap head on 1x8x8: 640 * 9 / 10 * filters + 10 * filters MACs."""
    settings = Config(
        data=Data(source="digits", name="digits", size=8, batch_size=batch),
        architecture=SCHEMAS["cnn"](block="CA", filters=[filters], head="gap"),
        trainer=Trainer(max_epochs=epochs, threads=threads),
        tracking=Tracking() if tracked else Tracking(uri=None),
    )
    return settings, architecture.plan(settings.architecture, (1, 8, 8), 10)


SIZES = Sizes(train=320, val=100, test=50)


@pytest.fixture
def ten_ms(monkeypatch):
    """A step of 10 ms, and 1 ms to evaluate an image, for every network."""
    monkeypatch.setattr(calibrate, "time_step", lambda *_: (0.01, 0.001))
    monkeypatch.setattr(calibrate, "STEP_OVERHEAD_S", 0.002)
    monkeypatch.setattr(calibrate, "RUN_OVERHEAD_S", 0.5)


def seconds(*runs, sizes=SIZES):
    return calibrate.estimate(runs, [sizes] * len(runs))["seconds"]


def test_seconds_by_hand(ten_ms):
    # 10 batches of 32: an epoch is 10 * 12 ms and 100 validated images; at the end 150 images more
    assert seconds(run(epochs=1)) == pytest.approx(0.5 + (0.12 + 0.1) + 0.15)
    assert seconds(run(epochs=4)) == pytest.approx(0.5 + 4 * (0.12 + 0.1) + 0.15)


def test_linear_in_epochs(ten_ms):
    once, twice, thrice = (seconds(run(epochs=n)) for n in (1, 2, 3))
    assert thrice - twice == pytest.approx(twice - once) == pytest.approx(0.22)


def test_linear_in_runs(ten_ms):
    assert seconds(*[run(epochs=3)] * 5) == pytest.approx(5 * seconds(run(epochs=3)))
    assert seconds(run(epochs=1), run(epochs=3)) == pytest.approx(seconds(run(epochs=1)) + seconds(run(epochs=3)))


def test_smaller_batches_are_more_steps(ten_ms):
    # 20 steps of 12 ms in place of 10
    assert seconds(run(batch=16)) - seconds(run(batch=32)) == pytest.approx(0.12)


def test_set_smaller_than_a_batch_is_one_step(ten_ms):
    assert seconds(run(), sizes=Sizes(train=20, val=0, test=0)) == pytest.approx(0.5 + 0.012)


def test_each_run_has_its_own_sizes(ten_ms):
    found = calibrate.estimate([run(), run()], [SIZES, Sizes(train=640, val=0, test=0)])["seconds"]
    assert found == pytest.approx((0.5 + 0.22 + 0.15) + (0.5 + 0.24))


def test_networks_between_lie_on_the_line(monkeypatch):
    timed = []

    def time_step(settings, planned, *_):
        timed.append(settings.architecture.filters)
        return planned.macs * 1e-6, 0.0

    monkeypatch.setattr(calibrate, "time_step", time_step)
    monkeypatch.setattr(calibrate, "STEP_OVERHEAD_S", 0.0)
    monkeypatch.setattr(calibrate, "RUN_OVERHEAD_S", 0.0)
    # 5,860 MACs with 10 filters: 586 each. 10 steps of 586 us for each filter, whichever were timed.
    assert seconds(run(20), run(10), run(40), run(30)) == pytest.approx(10 * 586e-6 * 100)
    assert timed == [[10], [40]]


def test_disk_by_hand(ten_ms):
    # 210 parameters. Two checkpoints of weights and two moments, 4 bytes each: 24 * 210 = 5,040; logits, label and
    # index of 50 images: 50 * (40 + 16) = 2,800; 50,000 for the record and its picture.
    assert calibrate.estimate([run()] * 3, [SIZES] * 3)["disk_bytes"] == 3 * (5_040 + 2_800 + 50_000)
    assert calibrate.estimate([run(tracked=True)], [SIZES])["disk_bytes"] == 2 * (5_040 + 2_800 + 50_000)


def test_what_was_timed_is_told(ten_ms):
    found = calibrate.estimate([run(10), run(30), run(20)], [SIZES] * 3)
    assert found["timed"] == [{"macs": 5860, "step_s": 0.01}, {"macs": 17580, "step_s": 0.01}]


@pytest.fixture
def two_threads():
    """Timing sets the threads of its process: two before it, and after the test what there was."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_step_is_really_timed(two_threads):
    """More work takes longer: 16 times the images, of a network of 16 times the filters."""
    small, image = calibrate.time_step(*run(16, batch=16))
    large, _ = calibrate.time_step(*run(256, batch=256))
    assert 0 < image < small < large / 2


def test_timed_with_the_threads_of_the_run(two_threads, monkeypatch):
    """What a run will use: on a busy machine one thread can be ten times faster than two."""
    seen = []

    def best_time(_):
        seen.append(torch.get_num_threads())
        return 0.01

    monkeypatch.setattr(calibrate, "_best_time", best_time)
    calibrate.time_step(*run(threads=1))
    assert set(seen) == {1}


@pytest.mark.slow
def test_estimate_is_of_the_right_order(process, monkeypatch):
    """Against a real sweep of two runs, which differ from the estimate by the machine's other work."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # see test_timed_with_the_threads_of_the_run
    line = "-m data.size=16 trainer.max_epochs=4 trainer.threads=1 tracking=none seed=0,1 output=json"
    planned = process("plan", line)
    assert planned.code == 0, planned.err
    began = time.perf_counter()
    trained = process("train", line)
    wall = time.perf_counter() - began
    assert trained.code == 0, trained.err
    taken = sum(outcome["seconds"] for outcome in trained.document["runs"])
    estimated = planned.document["estimate"]
    assert taken / 3 < estimated["seconds"] < 3 * taken, f"{wall:.0f} s in all"
    folders = [Path(outcome["run"]) for outcome in trained.document["runs"]]
    written = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    assert written / 3 < estimated["disk_bytes"] < 3 * written, json.dumps(estimated)


def test_a_stack_is_timed_as_one_and_shared(monkeypatch):
    timed = []

    def time_step(settings, planned, members):
        timed.append(members)
        return 0.01 / members, 0.0

    monkeypatch.setattr(calibrate, "time_step", time_step)
    monkeypatch.setattr(calibrate, "STEP_OVERHEAD_S", 0.0)
    monkeypatch.setattr(calibrate, "RUN_OVERHEAD_S", 0.0)
    alone = [run()] * 3
    at_once = [(dataclasses.replace(one, seed=i, trainer=Trainer(max_epochs=one.trainer.max_epochs, stack="2")), plan)
               for i, (one, plan) in enumerate(alone)]  # fmt: skip
    assert 2 * seconds(*at_once) == pytest.approx(seconds(*alone))
    assert sorted(set(timed)) == [1, 2]


def test_a_real_stack_is_timed():
    settings, planned = run()
    step_s, image_s = calibrate.time_step(settings, planned, members=3)
    assert 0 < image_s < step_s
