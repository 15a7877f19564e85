"""What must hold before a verdict means what it says."""

import numpy as np
import pytest

from pipeline.diagnosis.estimate import wilson
from pipeline.diagnosis.predicted import Guessing
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
    assert wilson(1, 10)[1:] == pytest.approx((0.0179, 0.4042), abs=1e-4)  # Wilson 1927, as statsmodels has it
    assert wilson(0, 10).low == 0


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


def gate(doc, name):
    return next((one for one in doc.gates if one.name == name), None)


def test_pairs_that_agree_save_seeds():
    # Variances 1 and 4, covariance 2: they agree wholly, and the difference varies by 1 in place of 1 + 4.
    assert gates.pairing(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])) == pytest.approx((1.0, 0.2))
    assert gates.pairing(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])) == pytest.approx((-1.0, 2.0))
    # The third arm shares three seeds with each of the others: 1, 2, 3 beside 1, 3, 2, of covariance 0.5, twice.
    missing = np.array([[1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0, 9.0], [1.0, 3.0, 2.0, np.nan]])
    assert gates.pairing(missing) == pytest.approx(((1 + 0.5 + 0.5) / 3, (0 + 1 + 1) / 6))


def test_pairing_says_nothing_of_few_seeds_or_no_spread():
    assert gates.pairing(np.array([[1.0, 2.0], [2.0, 4.0]])) is None
    assert gates.pairing(np.array([[0.9, 0.9, 0.9], [0.9, 0.8, 0.9]])) is None
    assert gates.pairing(np.array([[np.nan] * 3] * 2)) is None


def test_the_gates_of_a_sound_sweep_hold():
    doc = judge({3: GOOD, 5: [0.962, 0.959, 0.964, 0.959, 0.960, 0.962]})
    assert [(one.name, one.holds) for one in doc.gates] == [
        ("runs finished", True),
        ("comparisons without a pair", True),
        ("runs that failed to learn", True),
        ("skew of the differences", True),
        ("agreement of pairs", None),
    ]
    assert (gate(doc, "runs finished").result, gate(doc, "comparisons without a pair").result) == ("12 of 12", "0 of 6")


def test_the_gates_of_a_lacking_sweep_fail():
    runs = sweep({3: [*GOOD[:2], 0.11, *GOOD[3:]], 5: GOOD})
    runs[-1].status = "failed"
    doc = verdict(runs, ["k"], "test/acc", smallest_effect=0.01)
    assert (gate(doc, "runs finished").holds, gate(doc, "runs finished").result) == (False, "11 of 12")
    # Without seed 2 of level 3 and seed 5 of level 5.
    assert (gate(doc, "comparisons without a pair").holds, gate(doc, "comparisons without a pair").value) == (False, 2)
    assert (gate(doc, "runs that failed to learn").holds, gate(doc, "runs that failed to learn").value) == (False, 1)


def test_few_runs_leave_a_gate_untold():
    assert gate(judge({3: [0.95, 0.96], 5: [0.95, 0.94]}), "runs that failed to learn").holds is None


def test_what_a_sequential_design_did_not_train_is_no_failure():
    runs = sweep({3: GOOD, 5: GOOD, 7: GOOD[:4]})
    doc = verdict(runs, ["k"], "test/acc", smallest_effect=0.01, looks=[4, 6])
    assert (gate(doc, "comparisons without a pair").holds, gate(doc, "comparisons without a pair").value) == (True, 0)


def test_arms_at_the_ceiling_cannot_show_a_difference():
    def ceiling(low, **asked):
        runs = sweep({3: [low, low], 5: [0.99, 0.995]})
        return gate(verdict(runs, ["k"], "test/acc", smallest_effect=0.01, **asked), "means below the ceiling")

    assert ceiling(0.985, n_test=1000).holds is False
    assert ceiling(0.975, n_test=1000).holds is True
    assert ceiling(0.985) is None  # no accuracy
    assert ceiling(0.985, n_test=1000, mode="min") is None


def test_a_skewed_difference_fails_its_gate():
    doc = judge({3: [0.9, 0.901, 0.9, 0.901, 0.9, 0.901], 5: [0.91, 0.911, 0.91, 0.911, 0.91, 0.951]})
    told = gate(doc, "skew of the differences")
    # Differences 0.01 five times and 0.05: skewness -(5 - 1) / sqrt(5), as of any one that stands out of six.
    assert told.value == pytest.approx(-4 / np.sqrt(5))
    assert "3 less 5" in told.result


def test_arms_that_were_still_improving_fail_their_gate():
    falling, risen = [1, 0.8, 0.6, 0.5, 0.4, 0.3], [1, 0.3, 0.2, 0.3, 0.4, 0.5]
    runs = [
        Run({"k": k}, s, {"test/acc": 0.9 + s / 100}, curves={"val/loss": list(enumerate(losses, start=1))})
        for k, losses in ((3, falling), (5, risen))
        for s in (0, 1)
    ]
    told = gate(verdict(runs, ["k"], "test/acc", smallest_effect=0.01), "arms still improving")
    assert (told.holds, told.result) == (False, "1 of 2")


def guessers(accuracies, largest=0.6, n=400):
    runs = sweep(accuracies)
    for run in runs:
        run.guessing = Guessing(run.metrics["test/acc"], largest, n)
    return runs


def guessed(accuracies, metric="test/acc", **asked):
    runs = guessers(accuracies, **asked)
    for run in runs:
        run.metrics[metric] = run.metrics["test/acc"]
    doc = verdict(runs, ["k"], metric, smallest_effect=0.01)
    return gate(doc, "accuracy above guessing"), gates.nothing_learnt(runs, ["k"])


def test_arms_at_the_share_of_the_largest_class_learnt_nothing():
    told, [warning] = guessed({3: [0.6, 0.6], 5: [0.58, 0.62]})
    assert (told.holds, told.value) == (False, 0.6)
    assert told.result == "0.600 to 0.600, and 0.600 for calling all the largest class"
    assert warning.startswith(
        "No arm is shown to do better than calling all test examples the largest class (0.600 to 0.600, "
    )


def test_one_arm_that_learns_is_enough():
    told, warnings = guessed({3: [0.6, 0.6], 5: [0.66, 0.64]})  # Wilson: 0.6 of 400 reaches to 0.647
    assert (told.holds, warnings) == (True, [])
    assert guessed({3: [0.6, 0.6], 5: [0.645, 0.645]})[0].holds is False
    assert guessed({3: [0.6, 0.6], 5: [0.645, 0.645]}, n=4000)[0].holds is True


def test_what_ranks_examples_can_tell_where_answers_do_not():
    told, [_] = guessed({3: [0.6, 0.6], 5: [0.6, 0.6]}, metric="test/auroc")
    assert told.holds is None
    assert told.means == "test/auroc may tell all the same what was learnt; answers do not"
    assert guessed({3: [0.1, 0.1], 5: [0.1, 0.1]}, "localization/pointing")[0].holds is False


def test_nothing_is_said_of_guessing_where_it_is_not_known():
    runs = sweep({3: [0.6, 0.6], 5: [0.6, 0.6]})
    assert gate(verdict(runs, ["k"], "test/acc", smallest_effect=0.01), "accuracy above guessing") is None
    assert gates.nothing_learnt(runs, ["k"]) == []
