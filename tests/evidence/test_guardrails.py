"""What winning costs."""

import pytest

from pipeline.evidence import Run, verdict


def judge(gaps, metric="test/acc", n_test=1000):
    """Level 5 is ahead at thrice the parameters; `gaps` by level and seed."""
    runs = [
        Run({"k": k}, s, {metric: 0.9 + 0.05 * (k == 5) + 0.001 * s, "gap/acc": gap}, 100 * (k - 2), 10 * k, 2.0 * k)
        for k, row in gaps.items()
        for s, gap in enumerate(row)
    ]
    return verdict(runs, ["k"], metric, smallest_effect=0.02, n_test=n_test)


def test_the_best_level_beside_each_other():
    # 5 less 3 is 0.01, 0.02 and 0.00: mean 0.01, sd 0.01, so 0.01 -+ 4.3027 * 0.01 / sqrt(3).
    [one] = judge({3: [0.02, 0.03, 0.05], 5: [0.03, 0.05, 0.05]}).guardrails
    assert (one.factor, one.best, one.level) == ("k", 5, 3)
    assert (one.parameters, one.macs, one.seconds) == pytest.approx((3.0, 5 / 3, 5 / 3))
    assert (one.gap.n, one.gap.mean, one.gap.low, one.gap.high) == pytest.approx((3, 0.01, -0.01484, 0.03484), abs=1e-5)
    assert one.not_worse is False


def test_no_worse_is_what_ends_below_the_smallest_effect():
    gaps = {3: [0.020, 0.030, 0.050], 5: [0.021, 0.032, 0.050]}
    assert judge(gaps).guardrails[0].not_worse is True
    assert judge(gaps, metric="test/loss", n_test=None).guardrails[0].not_worse is None  # 0.02 is of a loss


def test_gaps_are_paired_and_one_seed_has_no_interval():
    [one] = judge({3: [0.02], 5: [0.03]}).guardrails
    assert (one.gap.n, one.gap.mean, one.gap.low, one.not_worse) == (1, pytest.approx(0.01), None, None)


def test_results_without_gap_and_cost_have_none():
    runs = [Run({"k": k}, s, {"acc": 0.9 + k / 100 + s / 1000}) for k in (3, 5) for s in (0, 1)]
    assert verdict(runs, ["k"], "acc", smallest_effect=0.01).guardrails == []
