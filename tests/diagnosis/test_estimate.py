"""Intervals hold what they say, at the ends too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.diagnosis.estimate import Estimate, bootstrap, mean, percentiles, wilson


@settings(max_examples=40, deadline=None)
@given(total=st.integers(1, 2000), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(total, share, confidence):
    count = round(share * total)
    theirs = binomtest(count, total).proportion_ci(confidence, "wilson")
    assert wilson(count, total, confidence) == pytest.approx((count / total, theirs.low, theirs.high), abs=1e-12)


def test_of_no_examples_nothing_is_known():
    assert all(np.isnan(wilson(0, 0)))
    assert all(np.isnan(mean([])))


def test_a_mean_of_one_is_that_one():
    assert mean([Estimate(0.9, 0.7, 0.95)]) == pytest.approx((0.9, 0.7, 0.95))
    assert mean([Estimate(0.9, 0.6, 1.0), Estimate(0.5, 0.1, 0.9)]) == pytest.approx(
        (0.7, 0.7 - 0.5 / 2, 0.7 + np.hypot(0.1, 0.4) / 2)
    )


@pytest.mark.slow
def test_a_mean_of_shares_covers_the_true_one():
    random, sizes, true = np.random.default_rng(0), (30, 12, 200), (0.95, 0.7, 0.99)
    held = 0
    for _ in range(1000):
        low, high = mean([wilson(random.binomial(n, p), n) for n, p in zip(sizes, true, strict=True)])[1:]
        held += low <= np.mean(true) <= high
    assert 0.93 <= held / 1000 <= 0.985


def test_the_bootstrap_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(1).normal(size=400)
    drawn = bootstrap(lambda some: x[some].mean(), 400)
    found = percentiles(x.mean(), drawn)
    half = 1.96 * x.std() / 20
    assert found == pytest.approx((x.mean(), x.mean() - half, x.mean() + half), abs=0.01)
    assert np.array_equal(drawn, bootstrap(lambda some: x[some].mean(), 400))  # the same each time
    assert all(np.isnan(percentiles(0.5, bootstrap(lambda some: np.nan, 10))))
