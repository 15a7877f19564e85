"""Calibration error by hand, as scikit-learn bins it, and at confidence 1; a temperature that is known."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from pipeline.diagnosis import calibration


def test_by_hand():
    confidence, right = np.array([0.5, 0.6, 0.9, 1.0]), np.array([1.0, 0.0, 1.0, 1.0])
    # Two bins of two: |0.55 - 0.5| and |0.95 - 1|
    assert calibration.calibration_error(confidence, right, bins=2) == pytest.approx(0.05)
    assert calibration.calibration_error(confidence, right, bins=1) == pytest.approx(0.0)
    assert np.isnan(calibration.calibration_error(confidence[:0], right[:0]))


def test_as_scikit_learns_quantiles():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, 1500)
    right = (random.random(1500) < confidence**2).astype(float)
    accuracy, mean = calibration_curve(right, confidence, n_bins=15, strategy="quantile")
    assert calibration.calibration_error(confidence, right) == pytest.approx(np.abs(accuracy - mean).mean(), abs=1e-3)
    found = calibration.reliability(confidence, right)
    assert [one.examples for one in found] == [100] * 15
    assert [one.accuracy.value for one in found] == pytest.approx(accuracy, abs=0.011)


def test_examples_of_confidence_1_count_and_stay_together():
    """torchmetrics 1.8 puts them into a bin of their own, behind the last."""
    confidence, right = np.ones(1000), (np.arange(1000) < 700).astype(float)
    assert calibration.calibration_error(confidence, right) == pytest.approx(0.3)
    shuffled = np.random.default_rng(0).permutation(1000)
    assert calibration.calibration_error(confidence, right[shuffled]) == pytest.approx(0.3)
    (only,) = calibration.reliability(confidence, right)
    assert (only.examples, only.confidence, only.accuracy.value) == (1000, 1.0, 0.7)


def test_the_order_of_examples_does_not_matter():
    random = np.random.default_rng(2)
    confidence = np.round(random.uniform(0.4, 1, 300), 1)
    right = (random.random(300) < 0.8).astype(float)
    order = random.permutation(300)
    assert calibration.calibration_error(confidence, right) == pytest.approx(
        calibration.calibration_error(confidence[order], right[order])
    )


@pytest.mark.slow
@pytest.mark.parametrize("overconfident", [0.0, 0.03, 0.1])
def test_the_interval_covers_the_true_error(overconfident):
    held, repeats = 0, 200
    for seed in range(repeats):
        _, low, high = judged(seed, overconfident, draws=120).error
        held += low <= overconfident <= high
    assert held / repeats >= 0.93


def judged(seed, overconfident, draws):
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.6, 1, 600)
    right = (random.random(600) < confidence - overconfident).astype(float)
    return calibration.judged_calibration(confidence, right, bins=10, draws=draws)


def test_what_chance_alone_gives_is_no_error():
    good, bad = judged(0, 0.0, draws=100), judged(0, 0.1, draws=100)
    assert 0.02 < good.by_chance < 0.06
    assert good.error.value > 0.02
    assert good.error.low == 0
    assert bad.error.low > 0.03
    assert np.isnan(calibration.judged_calibration(np.zeros(0), np.zeros(0)).error.value)


def test_the_temperature_is_the_one_that_logits_were_spoilt_by():
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 4)) * 2
    p = calibration.probabilities(logits)
    labels = (random.random(len(p))[:, None] > p.cumsum(1)).sum(1)
    temperature = calibration.fit_temperature(logits * 3, labels)
    assert temperature == pytest.approx(3, abs=0.1)
    scaled = [log_loss(labels, calibration.probabilities(logits * 3, t)) for t in (0.9 * temperature, temperature)]
    assert scaled[1] < scaled[0]
    confidence, right = calibration.confidences(logits * 3, labels)
    mended, same = calibration.confidences(logits * 3, labels, temperature)
    assert np.array_equal(right, same)
    assert calibration.calibration_error(mended, right) < 0.02 < 0.15 < calibration.calibration_error(confidence, right)


def test_where_all_are_right_it_ends_at_the_end_of_the_range():
    logits = np.eye(3) * 2
    assert 0.01 <= calibration.fit_temperature(logits, np.arange(3)) < 0.05
