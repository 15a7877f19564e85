"""Per-class figures by hand and as scikit-learn has them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipeline.diagnosis import confusion
from pipeline.diagnosis.estimate import bootstrap, percentiles, wilson


def test_by_hand():
    counts = confusion.counts(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 1]), 4)
    assert counts.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    first, second, third, fourth = confusion.per_class(counts)
    assert (first.examples, first.called) == (3, 2)
    assert first.precision == wilson(2, 2)
    assert first.recall == wilson(2, 3)
    assert first.f1.value == pytest.approx(0.8)
    assert second.precision == wilson(2, 4)
    assert np.isnan(third.precision.value)
    assert third.recall.value == third.f1.value == 0
    assert np.isnan(fourth.recall.value)
    assert np.isnan(fourth.f1.value)
    assert confusion.balanced_accuracy(counts).value == pytest.approx((2 / 3 + 1 + 0) / 3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_as_scikit_learn_has_them(pairs):
    labels, predicted = np.array(pairs).T
    counts = confusion.counts(labels, predicted, 4)
    assert np.array_equal(counts, sk.confusion_matrix(labels, predicted, labels=range(4)))
    theirs = np.array(
        sk.precision_recall_fscore_support(labels, predicted, labels=range(4), zero_division=np.nan)[:3]
    ).T
    ours = [(one.precision.value, one.recall.value, one.f1.value) for one in confusion.per_class(counts)]
    assert ours == [pytest.approx(row, nan_ok=True) for row in theirs.tolist()]
    recalls = theirs[np.unique(labels), 1]
    assert confusion.balanced_accuracy(counts).value == pytest.approx(recalls.mean())
    assert confusion.macro_f1(counts, 2).value == pytest.approx(sk.f1_score(labels, predicted, average="macro"))


def test_the_interval_of_f1_is_the_bootstraps():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 800)
    predicted = np.where(random.random(800) < 0.8, labels, 1 - labels)

    def f1(some):
        return confusion.per_class(confusion.counts(labels[some], predicted[some], 2))[1].f1.value

    ours = confusion.per_class(confusion.counts(labels, predicted, 2))[1].f1
    assert ours == pytest.approx(percentiles(ours.value, bootstrap(f1, 800, draws=400)), abs=0.008)
    other = confusion.per_class(confusion.counts(labels, predicted, 2))[0].f1
    both = confusion.macro_f1(confusion.counts(labels, predicted, 2))
    assert both.value == pytest.approx((ours.value + other.value) / 2)
    assert both.high - both.low == pytest.approx(ours.high - ours.low, abs=0.01)
