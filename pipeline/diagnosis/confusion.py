"""What is taken for what, and each class's precision, recall and F1."""

from typing import NamedTuple

import numpy as np

from pipeline.diagnosis.estimate import DRAWS, UNKNOWN, Estimate, Ints, mean, percentiles, wilson


class ClassFigures(NamedTuple):
    """Of one class against all others."""

    examples: int
    called: int  # how many are called by its name
    precision: Estimate  # of these, the share that is of the class
    recall: Estimate  # of its examples, the share that is called so: its sensitivity
    f1: Estimate


def counts(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Examples [true class, predicted class]."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def per_class(counts_KK: Ints) -> list[ClassFigures]:
    """By class. A class that nothing is called has no precision, one without examples no recall."""
    return [_figures(counts_KK, k) for k in range(len(counts_KK))]


def _figures(counts_KK: Ints, k: int) -> ClassFigures:
    right, called, examples = int(counts_KK[k, k]), int(counts_KK[:, k].sum()), int(counts_KK[k].sum())
    return ClassFigures(
        examples, called, wilson(right, called), wilson(right, examples), _f1(right, called + examples - right)
    )


def _f1(right: int, either: int) -> Estimate:
    """Of `either`, which are of the class or called so, the share that is both is F1 / (2 - F1): it has Wilson's
    interval, and F1 grows with it."""
    if either == 0:
        return UNKNOWN
    return Estimate(*(2 * share / (1 + share) for share in wilson(right, either)))


def balanced_accuracy(counts_KK: Ints) -> Estimate:
    """The mean recall of the classes that have examples."""
    return mean([one.recall for one in per_class(counts_KK) if one.examples])


def macro_f1(counts_KK: Ints, draws: int = DRAWS) -> Estimate:
    """The mean F1 of the classes that have examples or are called, its interval by the bootstrap."""
    total, classes = int(counts_KK.sum()), len(counts_KK)
    if not total:
        return UNKNOWN
    true, called = np.nonzero(counts_KK)  # examples drawn anew fall into these cells alone
    cells = counts_KK[true, called]
    drawn = np.random.default_rng(0).multinomial(total, cells / total, draws)
    means = [_mean_f1(true, called, some, classes) for some in drawn]
    return percentiles(_mean_f1(true, called, cells, classes), np.array(means))


def _mean_f1(true: Ints, called: Ints, cells: Ints, classes: int) -> float:
    right = np.bincount(true, weights=cells * (true == called), minlength=classes)
    twice = np.bincount(true, weights=cells, minlength=classes) + np.bincount(called, weights=cells, minlength=classes)
    known = twice > 0
    return float((2 * right[known] / twice[known]).mean())
