"""What a verdict leaves open, and what it would take."""

import numpy as np
import pytest

from pipeline.config import Contrast
from pipeline.evidence import Run, rule, verdict
from pipeline.evidence.remaining import all_at_once, still_open


def judge(values, seconds=10.0, **asked):
    runs = [
        Run({"k": k, "p": p}, s, {"acc": value + (0.1 + 0.001 * s) * p}, 1, 1, seconds * k)
        for k, row in values.items()
        for p in (0, 1)
        for s, value in enumerate(row)
    ]
    return verdict(runs, ["k", "p"], "acc", smallest_effect=0.01, **asked)


CLOSE = {1: [0.90, 0.92, 0.91, 0.93], 2: [0.93, 0.93, 0.95, 0.94], 3: [0.5, 0.51, 0.5, 0.52]}


def test_an_open_level_has_the_chance_of_the_rule():
    doc = judge(CLOSE)
    [one] = still_open(doc)
    assert one.what == "k: 1 less 2"
    d = np.subtract(CLOSE[1], CLOSE[2])
    level = doc.rule.levels[-1]
    wanted = rule.chance_settled(4, 8, float(d.mean()), float(d.std(ddof=1)), 0.01, level)
    assert one.chance == pytest.approx(wanted)
    assert 0.1 < one.chance < 0.9
    assert (one.n, one.needed) == (4, doc.factors["k"].levels[0].seeds_needed)


def test_as_many_seeds_again_cost_the_runs_of_the_arms_concerned():
    # Levels 1 and 2, each at both of p: four arms at four seeds, of 10 and 20 seconds.
    doc = judge(CLOSE)
    [one] = still_open(doc)
    assert (one.runs, one.seconds) == (16, pytest.approx(4 * (10 + 10 + 20 + 20)))
    assert all_at_once(doc) == (16, pytest.approx(240))
    assert still_open(judge(CLOSE, seconds=float("nan")))[0].seconds is None


def test_an_open_claim_asks_for_its_own_arms():
    claims = [Contrast({"k": [2, 1]}, at={"p": 1}, claim="2 is better", expects="better")]
    first, second = still_open(judge(CLOSE, contrasts=claims))
    assert (first.what, first.runs, first.seconds) == ("2 is better", 8, pytest.approx(4 * (10 + 20)))
    assert second.what == "k: 1 less 2"


def test_with_one_seed_or_no_spread_nothing_is_predicted():
    assert still_open(judge({1: [0.9], 2: [0.91]})) == []
    assert still_open(judge({1: [0.9, 0.9], 2: [0.95, 0.95]})) == []


def test_at_an_early_look_the_spread_is_that_of_its_interval():
    doc = judge(CLOSE, looks=[4, 6, 8])
    [one] = still_open(doc)
    d = np.subtract(CLOSE[1], CLOSE[2])
    level = doc.rule.levels[-1]  # of the last look, as `seeds_needed`
    wanted = rule.chance_settled(4, 8, float(d.mean()), float(d.std(ddof=1)), 0.01, level)
    assert one.chance == pytest.approx(wanted)
