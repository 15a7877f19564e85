"""Thresholds by hand, and that they are the best there are."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.diagnosis.estimate import wilson
from pipeline.diagnosis.operating import at_sensitivity, at_specificity, at_threshold

SCORES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
POSITIVE = np.array([0, 0, 0, 1, 0, 1, 1, 1], bool)


@pytest.mark.parametrize(
    ("least", "threshold", "sensitivity", "specificity"),
    [(1.0, 5.5, 3 / 4, 1.0), (0.8, 5.5, 3 / 4, 1.0), (0.75, 3.5, 1.0, 3 / 4), (0.0, 3.5, 1.0, 3 / 4)],
)
def test_at_a_specificity_by_hand(least, threshold, sensitivity, specificity):
    found = at_threshold(SCORES, POSITIVE, at_specificity(SCORES, POSITIVE, least))
    assert found.threshold == threshold
    assert found.sensitivity == wilson(int(4 * sensitivity), 4)
    assert found.specificity == wilson(int(4 * specificity), 4)


def test_at_a_sensitivity_by_hand():
    assert at_sensitivity(SCORES, POSITIVE, 0.9) == 3.5
    assert at_sensitivity(SCORES, POSITIVE, 0.75) == 5.5
    found = at_threshold(SCORES, POSITIVE, 3.5)
    assert found.precision == wilson(4, 5)


def test_a_specificity_that_no_score_has_calls_nothing_positive():
    threshold = at_specificity(SCORES, ~POSITIVE & (SCORES > 4.5), 1.0)
    assert threshold == np.inf
    assert at_threshold(SCORES, POSITIVE, threshold).sensitivity.value == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40),
    st.floats(0, 1),
)
def test_no_other_threshold_is_better(pairs, least):
    scores, positive = (np.array(x) for x in zip(*pairs, strict=True))
    scores, positive = scores.astype(float), positive.astype(bool)
    assume(positive.any() and not positive.all())
    all_of_them = [at_threshold(scores, positive, one) for one in (*scores, np.inf)]
    for choose, kept, wanted in (
        (at_specificity, "specificity", "sensitivity"),
        (at_sensitivity, "sensitivity", "specificity"),
    ):
        found = at_threshold(scores, positive, choose(scores, positive, least))
        assert getattr(found, kept).value >= least - 1e-12
        best = max(getattr(one, wanted).value for one in all_of_them if getattr(one, kept).value >= least - 1e-12)
        assert getattr(found, wanted).value == pytest.approx(best)
