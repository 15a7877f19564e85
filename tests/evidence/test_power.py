"""What a design can find: as simulated whole experiments find it."""

import itertools
import json

import numpy as np
import pytest
from simulated import noise, pairs

from pipeline.evidence import Run, power, rule, verdict
from pipeline.evidence.power import power_of, sentences, spread_before

ARMS = [{"a": a, "b": b} for a, b in itertools.product((1, 2, 3), (1, 2))]


@pytest.mark.parametrize("looks", [None, [4, 6, 8, 10]])
def test_a_difference_of_the_size_that_it_names_is_found_in_eight_of_ten(looks):
    found = power_of(ARMS, ["a", "b"], [], 10, looks)
    assert found.contrasts == 4
    rng, hits = np.random.default_rng(2), 0
    for _ in range(200):
        # b=2 ahead of b=1: a level's mean over three cells, a difference of two of them
        size = found.found * np.sqrt(2 / 3)
        runs = [
            Run(arm, seed, {"m": float(rng.normal()) + size * (arm["b"] == 2)}) for arm in ARMS for seed in range(10)
        ]
        doc = verdict(runs, ["a", "b"], "m", smallest_effect=1e-9, looks=looks)
        hits += doc.factors["b"].conclusion == "better"
    assert abs(hits / 200 - 0.8) <= 0.1  # three standard errors; its own simulation is held to 0.01


@pytest.mark.parametrize("kind", ["normal", "ceiling"])
@pytest.mark.parametrize("looks", [(8,), (4, 6, 8, 10, 13)])
@pytest.mark.parametrize(("levels", "factors"), [(2, 1), (4, 1), (6, 1), (4, 2)])
def test_power_is_within_five_points_of_what_is_said(levels, factors, looks, kind):
    names = [f"f{i}" for i in range(factors)]
    cells = list(itertools.product(range(levels), repeat=factors))
    said = power_of([dict(zip(names, cell, strict=True)) for cell in cells], names, [], looks[-1], looks)
    weights = pairs(levels, factors)
    size = said.found * np.linalg.norm(weights[0])  # of level 0 over level 1 of the first factor
    ahead = np.array([size * (cell[0] == 0) for cell in cells])
    rng, hits = np.random.default_rng([levels, factors]), 0
    for _ in range(8):
        values = noise(kind, (500, len(cells), looks[-1]), rng) + ahead[:, None]
        found = rule.decide(weights @ values, rule.boundary(weights, looks), 0.0)
        hits += int((found.state[:, 0] == rule.DIFFERENT).sum())
    assert abs(hits / 4000 - 0.8) <= 0.05


def test_more_seeds_find_more_and_more_contrasts_less():
    few, many = (power_of(ARMS, ["a", "b"], [], seeds, None) for seeds in (4, 16))
    alone = power_of(ARMS[:2], ["b"], [], 4, None)
    assert many.found < few.found
    assert many.equal > few.equal
    assert alone.found < few.found


def test_seeds_that_share_their_examples_find_less():
    own, shared = (power_of(ARMS, ["a", "b"], [], 30, None, overlap) for overlap in (0.0, 0.25))
    assert shared.found > 2 * own.found


def test_nothing_to_compare_finds_nothing():
    assert power_of([{}], [], [], 5, None) is None
    assert power_of(ARMS, ["a", "b"], [], 1, None) is None


def test_the_spread_of_a_finished_sweep_says_it_in_the_metric(tmp_path):
    levels = [{"values": [0.90, 0.92, 0.91]}, {"values": [0.91, 0.92, 0.93]}]
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "verdict.json").write_text(json.dumps({"metric": "test/acc", "factors": {"k": {"levels": levels}}}))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "verdict.json").write_text("{}")  # of another time, or damaged
    spread = spread_before(tmp_path, ["k"], "test/acc")
    assert spread == pytest.approx(0.01)  # of -0.01, 0 and -0.02
    assert spread_before(tmp_path, ["k"], "test/loss") is None
    assert spread_before(tmp_path / "none", ["k"], "test/acc") is None
    said = sentences(power.Power(1, 2.0, 0.5), 0.01, spread)
    assert said[1] == (
        "in the newest verdict on this it was 0.01: so 0.02 is found, and it is too wide to show that there is none"
    )
