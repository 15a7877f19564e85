"""Areas as scikit-learn has them, DeLong's variance by all pairs and against the bootstrap."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipeline.diagnosis import ranking
from pipeline.diagnosis.estimate import bootstrap, percentiles, wilson

# Few different scores, so that many are equal.
scored = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=50)


def both(pairs):
    scores, positive = (np.array(x) for x in zip(*pairs, strict=True))
    assume(positive.any() and not positive.all())
    return scores.astype(float), positive.astype(bool)


def blobs(count, shift, share=0.3, seed=0):
    random = np.random.default_rng(seed)
    positive = random.random(count) < share
    return random.normal(size=count) + shift * positive, positive


@settings(max_examples=40, deadline=None)
@given(scored)
def test_the_area_is_scikit_learns_and_has_its_interval_about_it(pairs):
    scores, positive = both(pairs)
    found = ranking.auroc(scores, positive)
    assert found.value == pytest.approx(sk.roc_auc_score(positive, scores), abs=1e-12)
    if min(positive.sum(), (~positive).sum()) > 1:
        assert 0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1


@settings(max_examples=40, deadline=None)
@given(scored)
def test_components_are_those_of_all_pairs(pairs):
    scores, positive = both(pairs)
    wins = np.heaviside(scores[positive][:, None] - scores[~positive][None], 0.5)
    found = ranking.placements(scores, positive)
    assert found[positive] == pytest.approx(wins.mean(axis=1))
    assert found[~positive] == pytest.approx(wins.mean(axis=0))
    if min(wins.shape) > 1 and 0 < wins.mean() < 1:
        delong = wins.mean(axis=1).var(ddof=1) / wins.shape[0] + wins.mean(axis=0).var(ddof=1) / wins.shape[1]
        area = ranking.auroc(scores, positive, confidence=0.95)
        half = 1.959963985 * np.sqrt(delong) / (area.value * (1 - area.value))
        logit = np.log(area.value / (1 - area.value))
        assert area.high == pytest.approx(1 / (1 + np.exp(-(logit + half))))


@settings(max_examples=40, deadline=None)
@given(scored)
def test_average_precision_and_curve_are_scikit_learns(pairs):
    scores, positive = both(pairs)
    assert ranking.average_precision(scores, positive) == pytest.approx(sk.average_precision_score(positive, scores))
    curve = ranking.roc(scores, positive)
    fpr, tpr, thresholds = sk.roc_curve(positive, scores, drop_intermediate=False)
    assert curve.thresholds.tolist() == thresholds.tolist()
    assert curve.sensitivity == pytest.approx(tpr)
    assert curve.specificity == pytest.approx(1 - fpr)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_delong_is_the_bootstraps(shift):
    scores, positive = blobs(1000, shift)
    found = ranking.auroc(scores, positive)
    drawn = bootstrap(lambda some: ranking.auroc(scores[some], positive[some]).value, 1000)
    assert found == pytest.approx(percentiles(found.value, drawn), abs=0.006)


@pytest.mark.slow
def test_the_interval_covers_the_true_area():
    true = 0.9213503964748574  # of two normals, 2 apart: Phi(2 / sqrt 2)
    held = 0
    for seed in range(1000):
        low, high = ranking.auroc(*blobs(120, 2.0, seed=seed))[1:]
        held += low <= true <= high
    assert 0.93 <= held / 1000 <= 0.97


def test_macro_is_the_mean_and_has_the_bootstraps_interval():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    logits = random.normal(size=(900, 3)) + np.eye(3)[labels] * [0.5, 1.0, 2.0]
    scores, positive = ranking.margins(logits), np.eye(3, dtype=bool)[labels]
    found = ranking.macro_auroc(scores, positive)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.value == pytest.approx(sk.roc_auc_score(labels, p, multi_class="ovr"))
    drawn = bootstrap(lambda some: ranking.macro_auroc(scores[some], positive[some]).value, 900, draws=200)
    assert found == pytest.approx(percentiles(found.value, drawn), abs=0.005)
    # Not as if the classes' areas were independent: two classes have one area between them.
    first, is_first = scores[:, 0], positive[:, 0]
    two = ranking.macro_auroc(np.stack([-first, first], axis=1), np.stack([~is_first, is_first], axis=1))
    assert two == pytest.approx(ranking.auroc(first, is_first))


def test_where_all_are_told_apart_the_interval_is_no_point():
    scores, positive = np.arange(30.0), np.arange(30) >= 20
    assert ranking.auroc(scores, positive) == wilson(10, 10)
    assert ranking.auroc(-scores, positive) == wilson(0, 10)
    assert ranking.auroc(np.zeros(30), positive) == (0.5, 0.5, 0.5)


def test_what_cannot_be_said():
    scores, none = np.arange(4.0), np.zeros(4, bool)
    assert all(np.isnan(ranking.auroc(scores, none)))
    assert all(np.isnan(ranking.auroc(scores, ~none)))
    assert np.isnan(ranking.average_precision(scores, none))
    single = ranking.auroc(scores, np.array([False, True, False, False]))
    assert single.value == pytest.approx(1 / 3)
    assert np.isnan(single.low)


def test_margins_rank_as_probabilities_and_where_these_are_all_1():
    logits = np.array([[1.0, 2.0, 0.5], [60.0, 1.0, 2.0], [80.0, 1.0, 2.0]])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert p[1, 0] == p[2, 0] == 1
    found = ranking.margins(logits)
    assert found[0] == pytest.approx(np.log(p[0] / (1 - p[0])))
    assert found[2, 0] > found[1, 0]


def test_average_precisions_intervals_are_the_bootstraps():
    scores, positive = blobs(400, 1.5)
    scores = scores.round(1)  # many are equal
    both, each = np.stack([scores, -scores], 1), np.stack([positive, ~positive], 1)
    (first, second), together = ranking.average_precisions(both, each, draws=300)
    drawn = bootstrap(lambda some: ranking.average_precision(scores[some], positive[some]), 400, draws=300)
    assert first == percentiles(ranking.average_precision(scores, positive), drawn)
    assert together.value == pytest.approx((first.value + second.value) / 2)
    assert min(first.low, second.low) < together.low < together.high < max(first.high, second.high)
