"""Two classifiers on the same examples."""

import numpy as np
import pytest
from scipy.stats import binomtest

from pipeline.diagnosis.paired import Paired, paired


def test_counts_by_hand():
    first, second = np.array([1, 1, 1, 0, 0, 0], bool), np.array([1, 0, 0, 1, 0, 0], bool)
    found = paired(first, second)
    assert found == (1, 2, 1, 2)
    assert [one.value for one in found.accuracies] == [3 / 6, 2 / 6]
    assert found.difference.value == pytest.approx(1 / 6)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 1), (2, 12), (12, 2), (7, 8), (140, 61), (5000, 5300)])
def test_mcnemars_p_is_the_binomial_tests(first, second):
    # statsmodels' mcnemar(exact=True) is this one as well.
    assert Paired(3, first, second, 9).p == pytest.approx(binomtest(first, first + second).pvalue, rel=1e-9)


def test_nothing_differs():
    assert Paired(5, 0, 0, 5).p == 1
    assert Paired(5, 0, 0, 5).difference.value == 0
    assert np.isnan(Paired(0, 0, 0, 0).difference.value)


def test_the_difference_has_newcombes_interval():
    # Newcombe 1998, Statistics in Medicine 17, table of 36, 12, 2 and 0: method 10.
    assert Paired(36, 12, 2, 0).difference[1:] == pytest.approx((0.0569, 0.3404), abs=5e-5)
    # The other way round it is mirrored.
    assert Paired(36, 2, 12, 0).difference[1:] == pytest.approx((-0.3404, -0.0569), abs=5e-5)
