"""Folds of cross-validation: the set in K parts of one size, each of which is tested on by every K-th seed.

`data.folds=10 seed=0,1,2,3,4,5,6,7,8,9` tests on each example once. Which example is in which fold is drawn by
data.split_seed, 0 where there is none, and not by the run's seed, or folds would overlap.
"""

import numpy as np

from pipeline.data import grouping
from pipeline.data.config import Data
from pipeline.data.prepared import Prepared
from pipeline.errors import InputError

STREAM = 5  # of random numbers, beside those that splitting and halves draw from


def tested(prepared: Prepared, config: Data, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """bool [N]: the examples of the fold that a run with this seed is tested on; copies and groups [N] are kept whole.

    InputError where there are fewer of them than folds.
    """
    assert config.folds is not None
    together = groups if groups is not None else grouping.copies(prepared)
    used = np.flatnonzero(prepared.labels >= 0)
    of = np.arange(len(used)) if together is None else together[used]
    folds = fold_of(prepared.labels[used], of, config.folds, config.split_seed or 0)
    inside = np.zeros(len(prepared.labels), bool)
    inside[used[folds == seed % config.folds]] = True
    return inside


def fold_of(labels: np.ndarray, together: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """int64 [n]: the fold of each example, of `folds`; what is equal in `together` is in one.

    Groups come the largest first, in a random order among those of one size, and each goes to the fold that has least
    of its classes so far, and of these to the one that has least in all.
    """
    values, group = np.unique(together, return_inverse=True)
    if len(values) < folds:
        raise InputError(f"{len(values)} groups are too few for {folds} folds, and none may be divided")
    draws = np.random.PCG64([seed, STREAM]).random_raw(len(values))
    sizes = np.bincount(group)
    by_group = np.argsort(group, kind="stable")
    ends = np.cumsum(sizes)
    have = np.zeros((folds, int(labels.max(initial=0)) + 1), np.int64)
    found = np.empty(len(values), np.int64)
    for one in np.lexsort((draws, -sizes)).tolist():
        counts = np.bincount(labels[by_group[ends[one] - sizes[one] : ends[one]]], minlength=have.shape[1])
        found[one] = np.lexsort((have.sum(1), have @ counts))[0]
        have[found[one]] += counts
    return found[group]
