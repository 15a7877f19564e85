"""What a run can be compared by besides what it measured: figures of the predictions that it left."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import rundir
from pipeline.diagnosis import calibration, confusion, operating, ranking
from pipeline.diagnosis.estimate import Floats, Ints
from pipeline.diagnosis.ranking import Bools

FLOOR = 0.9  # what is kept of specificity or sensitivity, unless another share is said


class Predictions(NamedTuple):
    """Of a split: label [N] and logits [N, K]."""

    labels: Ints
    logits: Floats


class Asked(NamedTuple):
    """What the figures are about."""

    positive: int | None = None  # a class, against all others; None: the mean over the classes, each against all others
    specificity: float = FLOOR  # at least that is kept where sensitivity is reported
    sensitivity: float = FLOOR  # and the other way round
    merged: tuple[tuple[int, ...], ...] = ()  # the classes that are one where it is judged; (): each is judged itself


def of_run(run: Path, asked: Asked) -> dict[str, float]:
    """`figures` of the predictions in a run's directory; nothing where there are none, or they are damaged."""
    try:
        found = rundir.read_predictions(run)
    except rundir.DamagedError:
        return {}
    val = Predictions(found["val_label"], found["val_logits"]) if "val_label" in found else None
    return figures(Predictions(found["label"], found["logits"]), val, asked)


class Guessing(NamedTuple):
    """What answers are worth beside the best guess that looks at no example."""

    accuracy: float
    largest: float  # the share of the largest class: the accuracy of calling all of them that
    examples: int


def guessing(run: Path, asked: Asked) -> Guessing | None:
    """Of the test predictions in a run's directory; None where there are none, or they are damaged."""
    try:
        found = rundir.read_predictions(run)
    except rundir.DamagedError:
        return None
    test = merge(Predictions(found["label"], found["logits"]), asked.merged)
    right = float((test.logits.argmax(axis=1) == test.labels).mean())
    return Guessing(right, float(np.bincount(test.labels).max() / len(test.labels)), len(test.labels))


def merge(predictions: Predictions, merged: tuple[tuple[int, ...], ...]) -> Predictions:
    """Of coarser classes, whose probabilities are the sums of those that each is made of."""
    if not merged:
        return predictions
    coarse_K = np.empty(predictions.logits.shape[1], dtype=np.intp)
    for k, fine in enumerate(merged):
        coarse_K[list(fine)] = k
    logits = [ranking.log_sum_exp(np.asarray(predictions.logits[:, list(fine)], dtype=np.float64)) for fine in merged]
    return Predictions(coarse_K[predictions.labels], np.stack(logits, axis=1))


def figures(test: Predictions, val: Predictions | None, asked: Asked) -> dict[str, float]:
    """By name, without what cannot be said.

    test/balanced_acc: mean recall. test/ece: calibration error in bins of equal mass.
    test/auroc, test/ap, test/f1: area under the ROC curve, average precision, F1; see `Asked.positive`.
    test/sensitivity: at the threshold that on validation has at least `Asked.specificity` there; test/specificity the
    other way round. Both want the predictions of validation.
    test/acc, test/loss: where classes are merged, whose run has measured others.
    """
    if not np.isfinite(test.logits).all():
        return {}
    test, val = merge(test, asked.merged), merge(val, asked.merged) if val else None
    classes = test.logits.shape[1]
    counts_KK = confusion.counts(test.labels, test.logits.argmax(axis=1), classes)
    by_class = confusion.per_class(counts_KK)
    named = {
        "balanced_acc": confusion.balanced_accuracy(counts_KK).value,
        "ece": calibration.calibration_error(*calibration.confidences(test.logits, test.labels)),
    }
    if asked.merged:
        named["acc"] = float(np.trace(counts_KK) / len(test.labels))
        named["loss"] = calibration.cross_entropy(test.logits, test.labels)
    wanted = range(classes) if asked.positive is None else [asked.positive]
    known = [k for k in wanted if by_class[k].examples or by_class[k].called]
    named["f1"] = _mean([by_class[k].f1.value for k in known])
    scores_NK = ranking.margins(test.logits)
    told_apart = [k for k in wanted if 0 < by_class[k].examples < len(test.labels)]
    one_of = {k: test.labels == k for k in told_apart}
    named["auroc"] = _mean([float(_area(scores_NK[:, k], one_of[k])) for k in told_apart])
    named["ap"] = _mean([ranking.average_precision(scores_NK[:, k], one_of[k]) for k in told_apart])
    if val is not None and np.isfinite(val.logits).all():
        chosen_NK = ranking.margins(val.logits)
        both = [k for k in told_apart if 0 < (val.labels == k).sum() < len(val.labels)]
        sensitivities, specificities = [], []
        for k in both:
            chosen = chosen_NK[:, k], val.labels == k
            at = operating.at_specificity(*chosen, asked.specificity)
            sensitivities.append(operating.at_threshold(scores_NK[:, k], one_of[k], at).sensitivity.value)
            at = operating.at_sensitivity(*chosen, asked.sensitivity)
            specificities.append(operating.at_threshold(scores_NK[:, k], one_of[k], at).specificity.value)
        named |= {"sensitivity": _mean(sensitivities), "specificity": _mean(specificities)}
    return {f"test/{name}": value for name, value in named.items() if math.isfinite(value)}


def _area(scores: Floats, positive: Bools) -> float:
    return float(ranking.placements(scores, positive)[positive].mean())


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
