"""How a finished run fails on its test split: all that its page shows, made of its predictions and its data."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import config, rundir
from pipeline.diagnosis import calibration, confusion, operating, ranking
from pipeline.diagnosis.calibration import Bin, CalibrationError
from pipeline.diagnosis.confusion import ClassFigures
from pipeline.diagnosis.estimate import UNKNOWN, Estimate, Floats, Ints, wilson
from pipeline.diagnosis.operating import Operating
from pipeline.diagnosis.predicted import Asked, Predictions, merge
from pipeline.diagnosis.ranking import Roc

MISTAKES = 24  # shown, those that the network is surest of
FLOORS = (0.8, 0.9, 0.95, 0.99)  # of a positive class, what is kept of specificity, and of sensitivity
DRAWS = 300  # of the bootstraps whose time grows with examples and classes


@dataclass(frozen=True)
class OfClass:
    """One class against all others."""

    name: str
    figures: ClassFigures
    auroc: Estimate
    average_precision: Estimate
    roc: Roc | None  # None where the test split has no example of it, or no other


@dataclass(frozen=True)
class Point:
    """A threshold that was chosen on validation, as probability, and what it gives there and on the test split."""

    name: str  # of the class
    kept: str  # specificity | sensitivity: of which there were to be at least `floor` on validation
    floor: float
    probability: float
    val: Operating
    test: Operating


@dataclass(frozen=True)
class Mistake:
    """A test example that is called something else than it is."""

    index: int  # in the prepared set
    label: str
    predicted: str
    confidence: float  # in what was predicted
    for_label: float  # the probability of what it is


@dataclass(frozen=True)
class Diagnosis:
    """All of it."""

    examples: int
    groups: str | None  # the column whose groups no split divides: then examples are not independent
    positive: str | None
    overall: dict[str, Estimate]  # acc, balanced_acc, f1, auroc, ap
    classes: list[OfClass]
    confusions: Ints  # [true class, predicted class]
    points: list[Point]
    loss: tuple[float, float]  # as it is, and at the temperature
    temperature: float
    calibration: tuple[CalibrationError, CalibrationError]
    reliability: tuple[list[Bin], list[Bin]]
    mistakes: list[Mistake]

    @property
    def about(self) -> str | None:
        """The class that operating points are of, where they are of one alone."""
        names = {one.name for one in self.points}
        return self.positive or (names.pop() if len(names) == 1 else None)

    def document(self) -> dict[str, Any]:
        """As JSON; null for what cannot be said."""
        return {
            "overall": {name: _said(one) for name, one in self.overall.items()},
            "classes": {
                one.name: {
                    "examples": one.figures.examples,
                    "called": one.figures.called,
                    "precision": _said(one.figures.precision),
                    "recall": _said(one.figures.recall),
                    "f1": _said(one.figures.f1),
                    "auroc": _said(one.auroc),
                    "ap": _said(one.average_precision),
                }
                for one in self.classes
            },
            "confusions": self.confusions.tolist(),
            "operating_points": [
                {
                    "class": one.name,
                    f"least_{one.kept}": one.floor,
                    "threshold": one.probability,
                    "sensitivity": _said(one.test.sensitivity),
                    "specificity": _said(one.test.specificity),
                    "precision": _said(one.test.precision),
                }
                for one in self.points
            ],
            "calibration": {
                "ece": _said(self.calibration[0].error),
                "by_chance": self.calibration[0].by_chance,
                "temperature": self.temperature,
                "ece_at_temperature": _said(self.calibration[1].error),
            },
        }


def _said(one: Estimate) -> list[float | None]:
    """[value, low, high]"""
    return [value if math.isfinite(value) else None for value in one]


def diagnose(run: Path) -> Diagnosis:
    """Of a run that finished, with predictions of test and validation. Raises InputError where they are not whole."""
    record, settings = rundir.read_run(run), config.of_run(run)
    found = rundir.read_predictions(run)
    names = settings.experiment.judged(record.dataset.classes)
    asked = settings.experiment.asked(record.dataset.classes)
    test = merge(Predictions(found["label"], found["logits"]), asked.merged)
    val = merge(Predictions(found["val_label"], found["val_logits"]), asked.merged)
    scores_NK, is_NK = ranking.margins(test.logits), np.eye(len(names), dtype=bool)[test.labels]
    counts_KK = confusion.counts(test.labels, test.logits.argmax(axis=1), len(names))
    each, mean_precision = ranking.average_precisions(scores_NK, is_NK, DRAWS)
    classes = [
        _of_class(names[k], one, scores_NK[:, k], is_NK[:, k], each[k])
        for k, one in enumerate(confusion.per_class(counts_KK))
    ]
    temperature = calibration.fit_temperature(val.logits, val.labels)
    at = [calibration.confidences(test.logits, test.labels, t) for t in (1.0, temperature)]
    first, second = (calibration.judged_calibration(*one, draws=DRAWS) for one in at)
    return Diagnosis(
        examples=len(test.labels),
        groups=record.dataset.group,
        positive=None if asked.positive is None else names[asked.positive],
        overall={
            "acc": wilson(int(np.trace(counts_KK)), len(test.labels)),
            "balanced_acc": confusion.balanced_accuracy(counts_KK),
            "f1": confusion.macro_f1(counts_KK, DRAWS),
            "auroc": ranking.macro_auroc(scores_NK, is_NK),
            "ap": mean_precision,
        },
        classes=classes,
        confusions=counts_KK,
        points=_points(names, val, test, asked),
        loss=(
            calibration.cross_entropy(test.logits, test.labels),
            calibration.cross_entropy(test.logits, test.labels, temperature),
        ),
        temperature=temperature,
        calibration=(first, second),
        reliability=(calibration.reliability(*at[0]), calibration.reliability(*at[1])),
        mistakes=_mistakes(names, test, found["index"]),
    )


def _of_class(name: str, figures: ClassFigures, scores: Floats, positive: np.ndarray, precision: Estimate) -> OfClass:
    if positive.all() or not positive.any():
        return OfClass(name, figures, UNKNOWN, UNKNOWN, None)
    return OfClass(name, figures, ranking.auroc(scores, positive), precision, ranking.roc(scores, positive))


def _points(names: list[str], val: Predictions, test: Predictions, asked: Asked) -> list[Point]:
    """Of a positive class at each of FLOORS; of several classes each at what is asked for."""
    positive = asked.positive
    if positive is None and len(names) == 2:
        positive = int(np.bincount(val.labels, minlength=2).argmin())  # what is looked for is what is rare, as a rule
    val_NK, test_NK = ranking.margins(val.logits), ranking.margins(test.logits)
    found = []
    for k in range(len(names)) if positive is None else [positive]:
        chosen, judged = (val_NK[:, k], val.labels == k), (test_NK[:, k], test.labels == k)
        if not all(0 < is_one.sum() < len(is_one) for _, is_one in (chosen, judged)):
            continue
        for kept, choose, floor in (
            ("specificity", operating.at_specificity, asked.specificity),
            ("sensitivity", operating.at_sensitivity, asked.sensitivity),
        ):
            for least in sorted({floor, *(() if positive is None else FLOORS)}):
                threshold = choose(*chosen, least)
                at_val, at_test = (operating.at_threshold(*one, threshold) for one in (chosen, judged))
                found.append(Point(names[k], kept, least, _probability(threshold), at_val, at_test))
    return found


def _probability(margin: float) -> float:
    return 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0


def _mistakes(names: list[str], test: Predictions, index: Ints) -> list[Mistake]:
    p_NK, predicted = calibration.probabilities(test.logits), test.logits.argmax(axis=1)
    # By margins, since many probabilities are 1 where a network is sure of itself.
    sure_N = ranking.margins(test.logits)[np.arange(len(predicted)), predicted]
    wrong = np.flatnonzero(predicted != test.labels)
    first = wrong[np.argsort(-sure_N[wrong], kind="stable")][:MISTAKES]
    return [
        Mistake(
            int(index[i]),
            names[test.labels[i]],
            names[predicted[i]],
            float(p_NK[i, predicted[i]]),
            float(p_NK[i, test.labels[i]]),
        )
        for i in first
    ]
