"""The arithmetic against scipy.stats and against numbers worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.evidence.paired import compare, half_width, holm, quantisation, seeds_needed


def test_the_interval_and_p_are_those_of_scipys_paired_t_test():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 7))
    found = compare(values, np.array(2))
    for level in (0, 1, 3):
        expected = stats.ttest_rel(values[level], values[2])
        interval = expected.confidence_interval(0.95)
        assert found.p[level] == pytest.approx(expected.pvalue)
        assert (found.low[level], found.high[level]) == pytest.approx((interval.low, interval.high))
    assert (found.difference[2], found.low[2], found.high[2], found.p[2]) == (0, 0, 0, 1)


def test_holm_on_the_textbook_case():
    # sorted: 0.005 * 4, 0.01 * 3, then 0.03 * 2, and 0.04 * 1 raised to the step before it
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])) == pytest.approx([1.0, 1.0])
    assert holm(np.empty(0)).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_nor_reorders_two(p: list[float]):
    adjusted = holm(np.array(p))
    assert np.all(adjusted >= np.array(p))
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-15)


def test_leading_axes_are_independent_repetitions():
    values = np.random.default_rng(1).normal(size=(5, 3, 4))
    best = values.mean(axis=-1).argmax(axis=-1)
    together = compare(values, best)
    for i in range(5):
        alone = compare(values[i], best[i])
        assert together.p_adjusted[i] == pytest.approx(alone.p_adjusted)
        assert together.low[i] == pytest.approx(alone.low)


def test_the_floor_is_the_rounding_of_two_accuracies():
    # 100 examples: q = 0.01; variance 2 * 0.01^2 / 12, a quarter of it over four cells
    assert quantisation(100, np.array([1, 1])) == pytest.approx(math.sqrt(2 * 0.0001 / 12))
    assert quantisation(100, np.array([4, 4])) == pytest.approx(math.sqrt(2 * 0.0001 / 12) / 2)
    assert quantisation(None, np.array([1])) == 0


@given(st.integers(2, 40), st.floats(1e-4, 1), st.floats(1e-3, 1))
def test_seeds_needed_is_the_least_number_that_is_enough(n: int, sd: float, effect: float):
    needed = seeds_needed(n, 0.0, sd, effect, 1)
    assert needed is not None
    assert half_width(needed, sd) <= effect * (1 + 1e-9)
    if needed > n + 1:
        assert half_width(needed - 1, sd) > effect


def test_seeds_needed_by_hand():
    # t(0.975, 13) = 2.1604: 2.1604 * 0.0086 / sqrt(14) = 0.00497; t(0.975, 12) = 2.1788: 0.00520 with 13
    assert seeds_needed(3, 0.004, 0.0086, 0.005, 1) == 14
    assert seeds_needed(3, 0.001, 0.005, 0.005, 1) == 7  # t(0.975, 6) / sqrt(7) = 0.925, with 6: 1.049
    assert seeds_needed(3, 0.001, 0.0, 0.005, 1) is None
    assert seeds_needed(3, 0.001, 0.1, 0.0, 1) is None
    # narrow already, yet open since the difference is about the size that matters: more than there are
    assert seeds_needed(10, 0.004, 0.006, 0.005, 3) > 10
