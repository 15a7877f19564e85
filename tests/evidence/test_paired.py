"""The arithmetic against scipy.stats and against numbers worked by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.evidence.paired import interval, plain_p, quantisation


def test_p_is_that_of_scipys_paired_t_test():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 7))
    p = plain_p(values[1:] - values[0])
    assert p == pytest.approx([stats.ttest_rel(values[i], values[0]).pvalue for i in (1, 2, 3)])


def test_nothing_is_said_of_one_seed_or_of_no_spread():
    assert plain_p(np.array([[1.0, np.nan, np.nan], [0.5, 0.5, 0.5]])).tolist() == [1.0, 1.0]


def test_seeds_that_share_examples_say_less():
    d = np.array([[0.01, 0.02, 0.03, 0.02]])
    t = 0.02 / (d.std(ddof=1) * math.sqrt(1 / 4 + 0.25))
    assert plain_p(d, overlap=0.25)[0] == pytest.approx(2 * stats.t.sf(t, 3))


def test_the_interval_is_scipys():
    values = [0.95, 0.96, 0.975]
    mean, low, high = interval(values)
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (mean, low, high) == pytest.approx((np.mean(values), *expected))
    assert interval([0.5]) == (0.5, None, None)
    assert interval([]) == (None, None, None)


def test_the_floor_is_the_rounding_of_two_accuracies():
    # 100 examples: q = 0.01; variance 2 * 0.01^2 / 12, a quarter of it over four cells
    assert quantisation(100, np.array([1, 1])) == pytest.approx(math.sqrt(2 * 0.0001 / 12))
    assert quantisation(100, np.array([4, 4])) == pytest.approx(math.sqrt(2 * 0.0001 / 12) / 2)
    assert quantisation(100, np.array([1]), sides=4) == pytest.approx(math.sqrt(4 * 0.0001 / 12))
    assert quantisation(None, np.array([1])) == 0
