"""What must hold before a verdict means what it says."""

import numpy as np
import pytest

from pipeline.evidence import Run, gates, verdict


def sweep(values, key="k"):
    return [
        Run({key: level}, seed, {"test/acc": value}) for level, row in values.items() for seed, value in enumerate(row)
    ]


def judge(values):
    return verdict(sweep(values), ["k"], "test/acc", smallest_effect=0.01)


GOOD = [0.951, 0.949, 0.955, 0.947, 0.950, 0.953]


def test_a_run_that_failed_to_learn_is_counted_apart():
    doc = judge({3: [*GOOD[:2], 0.11, *GOOD[3:]], 5: [0.952, 0.949, 0.954, 0.949, 0.950, 0.952]})
    assert doc.runs.excluded[0].reason == "failed to learn"
    assert doc.warnings[1] == (
        "k=3 failed to learn in 1 of 6 runs (3% to 56%; seed 2): these are counted here, and not in the means, which "
        "are of runs that did learn."
    )
    assert doc.factors["k"].conclusion == "no difference shown"


def test_a_seed_that_is_hard_for_all_is_no_failure():
    doc = judge({3: [*GOOD[:5], 0.5], 5: [*GOOD[:5], 0.52]})
    assert doc.runs.excluded == []


def test_few_runs_cannot_say_which_of_them_failed():
    assert judge({3: [0.95, 0.95, 0.11], 5: [0.95, 0.95, 0.95]}).runs.excluded == []


def test_an_arm_that_collapses_now_and_then_raises_no_false_alarm():
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(300):
        values = 0.95 + 0.004 * rng.normal(size=(2, 12))
        values[0, rng.random(12) < 0.1] = 0.1
        alarms += judge({level: row.tolist() for level, row in enumerate(values)}).factors["k"].conclusion == "better"
    assert alarms / 300 <= 0.08


def test_the_share_of_failures_has_wilsons_interval():
    assert gates.wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)  # Wilson 1927, as statsmodels has it
    assert gates.wilson(0, 10)[0] == 0


def test_arms_that_were_still_improving_are_named():
    def run(level, seed, losses, stopped=False):
        curve = list(enumerate(losses, start=1))
        return Run({"k": level}, seed, {"test/acc": 0.9}, curves={"val/loss": curve}, stopped_early=stopped)

    falling, risen = [1, 0.8, 0.6, 0.5, 0.4, 0.3], [1, 0.3, 0.2, 0.3, 0.4, 0.5]
    runs = [
        run(3, 0, falling),
        run(3, 1, falling),
        run(5, 0, risen),
        run(5, 1, risen),
        run(7, 0, falling, stopped=True),
    ]
    [said] = gates.still_improving(runs, ["k"])
    assert said.startswith("Still improving when training ended, 1 of 3 arms: k=3.")
    assert gates.still_improving([run(5, 0, risen)], ["k"]) == []


def test_skewed_differences_are_told():
    skew = np.array([0.01, 0.011, 0.012, 0.009, 0.3, 0.01, 0.012, -0.01])
    assert gates.sign_flip_p(np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0])) == pytest.approx(2 / 64)
    assert gates.skewed("a and b", np.array([1.0, 1.1, 0.9, 1.0, 1.2, 0.8])) == []
    [said] = gates.skewed("a and b", np.array([*skew[:4], *-skew[:4], 0.3]))
    assert "p is" in said
