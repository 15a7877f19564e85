"""Operating points: a threshold is chosen on some examples and reported on others, or its figures are too good."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.diagnosis.estimate import Estimate, Floats, wilson
from pipeline.diagnosis.ranking import Bools, roc


class Operating(NamedTuple):
    """What a threshold gives on some examples: those at or above it are called positive."""

    threshold: float
    sensitivity: Estimate  # of the positive ones, the share that is called so
    specificity: Estimate  # of the others, the share that is not
    precision: Estimate  # of what is called positive, the share that is


def at_specificity(scores: Floats, positive: Bools, least: float) -> float:
    """The threshold of the highest sensitivity with a specificity of at least that.

    Infinite, so that nothing is called positive, where none else has it.
    """
    return _best(scores, positive, least, by_specificity=True)


def at_sensitivity(scores: Floats, positive: Bools, least: float) -> float:
    """The threshold of the highest specificity with a sensitivity of at least that."""
    return _best(scores, positive, least, by_specificity=False)


def _best(scores: Floats, positive: Bools, least: float, by_specificity: bool) -> float:
    curve = roc(scores, positive)
    kept, wanted = curve.specificity, curve.sensitivity
    if not by_specificity:
        kept, wanted = wanted, kept
    allowed = np.flatnonzero(kept >= least - 1e-12)
    best = allowed[wanted[allowed] == wanted[allowed].max()]
    # Of equals the one that keeps most of what was asked for, halfway to the next score: what lies between them was
    # seen of neither kind.
    at = int(best[np.argmax(kept[best])])
    if at == 0:
        return math.inf
    here = float(curve.thresholds[at])
    after = float(curve.thresholds[at + 1]) if at + 1 < len(curve.thresholds) else -math.inf
    middle = (here + after) / 2
    return middle if math.isfinite(middle) and after < middle <= here else here


def at_threshold(scores: Floats, positive: Bools, threshold: float) -> Operating:
    """What it gives on these examples."""
    called = scores >= threshold
    hits = int((called & positive).sum())
    return Operating(
        threshold,
        wilson(hits, int(positive.sum())),
        wilson(int((~called & ~positive).sum()), int((~positive).sum())),
        wilson(hits, int(called.sum())),
    )
