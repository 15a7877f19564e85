"""Whether a class's examples are ranked above all others: ROC curve, its area with DeLong's interval, precision."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.diagnosis.estimate import CONFIDENCE, DRAWS, UNKNOWN, Estimate, Floats, percentiles, wilson, z_of

Bools = NDArray[np.bool_]


def margins(logits_NK: Floats) -> Floats:
    """How much more each class has than all others together, log p/(1-p) [N, K].

    It ranks as the probability does, which is 1 for many examples at once where a network is sure of itself.
    """
    logits_NK = np.asarray(logits_NK, dtype=np.float64)
    classes = logits_NK.shape[1]
    others = np.stack([log_sum_exp(np.delete(logits_NK, k, axis=1)) for k in range(classes)], axis=1)
    return logits_NK - others


def log_sum_exp(x_NK: Floats) -> Floats:
    """Over the second axis [N]; of none 0, where nothing is to be told apart."""
    if x_NK.shape[1] == 0:
        return np.zeros(len(x_NK))
    most = x_NK.max(axis=1)
    return most + np.log(np.exp(x_NK - most[:, None]).sum(axis=1))


def midranks(scores: Floats) -> Floats:
    """Ranks from 1, of equal scores the mean [N]."""
    _, which, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[which]


def placements(scores: Floats, positive: Bools) -> Floats:
    """DeLong's structural components [N]: of each example the share of those of the other kind that lie on its right
    side, equal ones half. Their mean over the positive ones, and over the others, is the area.

    By ranks in n log n (Sun and Xu 2014), not by comparing all pairs.
    """
    n_positive, n_others = int(positive.sum()), int((~positive).sum())
    among_all = midranks(scores)
    found = np.empty(len(scores))
    found[positive] = (among_all[positive] - midranks(scores[positive])) / n_others
    found[~positive] = 1 - (among_all[~positive] - midranks(scores[~positive])) / n_positive
    return found


def auroc(scores: Floats, positive: Bools, confidence: float = CONFIDENCE) -> Estimate:
    """The chance that an example of the class scores above another (DeLong et al. 1988), equal ones half.

    The interval is made on the logit's scale, so it stays within 0 and 1 (Pepe 2003).
    """
    return macro_auroc(scores[:, None], positive[:, None], confidence)


def macro_auroc(scores_NK: Floats, positive_NK: Bools, confidence: float = CONFIDENCE) -> Estimate:
    """The mean area over the classes, each against all others; NaN where a class has no examples, or all.

    The classes' areas are of the same examples: what each example adds to all of them is summed before it is squared.
    """
    count_K = positive_NK.sum(axis=0)
    if not len(count_K) or (count_K == 0).any() or (count_K == len(positive_NK)).any():
        return UNKNOWN
    value, variance = _area_and_variance(scores_NK, positive_NK)
    if math.isnan(variance):
        return Estimate(value, math.nan, math.nan)
    least = int(min(count_K.min(), (len(positive_NK) - count_K).min()))
    return _on_logits(value, variance, least, confidence)


def _area_and_variance(scores_NK: Floats, positive_NK: Bools) -> tuple[float, float]:
    value, adds_N = 0.0, np.zeros(len(scores_NK))
    classes = scores_NK.shape[1]
    for scores, positive in zip(scores_NK.T, positive_NK.T, strict=True):
        placed = placements(scores, positive)
        area = float(placed[positive].mean())
        kind_N = np.where(positive, positive.sum(), (~positive).sum()).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):  # of a single example no spread is known
            adds_N += (placed - area) / np.sqrt(kind_N * (kind_N - 1)) / classes
        value += area / classes
    return value, float(np.sum(adds_N**2))


def _on_logits(value: float, variance: float, least: int, confidence: float) -> Estimate:
    end = round(value)
    if abs(value - end) < 1e-12:  # all are told apart: the variance is 0 and says nothing. Wilson's, of the rarer kind
        return wilson(end * least, least, confidence)
    half = z_of(confidence) * math.sqrt(variance) / (value * (1 - value))
    middle = math.log(value / (1 - value))
    return Estimate(value, 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle)))


class Roc(NamedTuple):
    """What each threshold gives, from above all scores to the least: examples at or above it are called positive."""

    thresholds: Floats  # the first is infinite
    sensitivity: Floats
    specificity: Floats


def roc(scores: Floats, positive: Bools) -> Roc:
    """A point for each score that occurs. Raises AssertionError where there are not both kinds."""
    assert positive.any(), "no positive example"
    assert not positive.all(), "no negative example"
    threshold, hits, misses = _cumulated(scores, positive)
    return Roc(
        np.concatenate([[np.inf], threshold]),
        np.concatenate([[0.0], hits / hits[-1]]),
        1 - np.concatenate([[0.0], misses / misses[-1]]),
    )


def _cumulated(scores: Floats, positive: Bools) -> tuple[Floats, Floats, Floats]:
    """The scores that occur, the highest first, and how many positive and other examples lie at or above each."""
    threshold, which = np.unique(-np.asarray(scores, dtype=np.float64), return_inverse=True)
    hits = np.cumsum(np.bincount(which[positive], minlength=len(threshold)))
    misses = np.cumsum(np.bincount(which[~positive], minlength=len(threshold)))
    return -threshold, hits.astype(np.float64), misses.astype(np.float64)


def average_precision(scores: Floats, positive: Bools) -> float:
    """The mean precision over the positive examples as the threshold falls, not interpolated; NaN without any."""
    if not positive.any():
        return math.nan
    _, hits, misses = _cumulated(scores, positive)
    gained = np.diff(hits, prepend=0.0) / hits[-1]
    return float(np.sum(gained * hits / (hits + misses)))


def average_precisions(scores_NK: Floats, positive_NK: Bools, draws: int = DRAWS) -> tuple[list[Estimate], Estimate]:
    """Of each class, and their mean; intervals by a bootstrap in which all classes are drawn at once.

    A resample counts each example some times, so scores are sorted once and not in each.
    """
    count, classes = scores_NK.shape
    values = [average_precision(scores_NK[:, k], positive_NK[:, k]) for k in range(classes)]
    random = np.random.default_rng(0)
    drawn = np.full((draws, classes), np.nan)
    orders = [np.argsort(-scores, kind="stable") for scores in scores_NK.T]
    ranked = [scores[order] for scores, order in zip(scores_NK.T, orders, strict=True)]
    ends = [np.flatnonzero(np.append(one[1:] != one[:-1], True)) for one in ranked]  # the last of equal scores
    for draw in range(draws):
        times_N = np.bincount(random.integers(0, count, count), minlength=count)
        for k, (order, end) in enumerate(zip(orders, ends, strict=True)):
            times = times_N[order]
            hits = np.cumsum(times * positive_NK[order, k])[end]
            called = np.cumsum(times)[end]
            if hits[-1]:
                drawn[draw, k] = np.sum(np.diff(hits, prepend=0) * hits / np.maximum(called, 1)) / hits[-1]
    each = [percentiles(value, one[np.isfinite(one)]) for value, one in zip(values, drawn.T, strict=True)]
    means = drawn.mean(axis=1)
    return each, percentiles(float(np.mean(values)) if values else math.nan, means[np.isfinite(means)])
