"""Which examples train, which validate, which test: by seed, and every class with its share in each."""

import numpy as np

from pipeline.data import grouping
from pipeline.data.config import Data
from pipeline.data.prepared import Prepared
from pipeline.data.sources import SPLITS, TEST, TRAIN, VAL
from pipeline.errors import InputError

UNUSED = -1  # of no split


def split(prepared: Prepared, config: Data, seed: int) -> dict[str, np.ndarray]:
    """{"train", "val", "test"}: ascending int64 indices, disjoint, the same for the same seed everywhere.

    What the set itself calls test (or val) stays that. What it lacks is cut from its training part:
    `test_fraction` and `val_fraction` of it. `limit_train` then keeps that many of what is left to train on;
    a smaller limit keeps a subset of what a larger one keeps.

    With `config.group`, whole groups are cut. A set whose own split divides one is mended by splitting it anew,
    three ways, as if it had none: to leave out what leaks would leave nearly nothing where nearly all groups
    leak (malaria), and to move groups would make a test set that is no longer its publisher's either.
    InputError where there is too little for that, or a class would have no example to train on.
    """
    seed = seed if config.split_seed is None else config.split_seed
    own = prepared.own_split
    if own is None:
        own = np.full(len(prepared.labels), TRAIN, np.int8)
    groups = None
    if config.group is not None:
        groups = grouping.codes(prepared, config.group)
        if grouping.divided(groups, own).any():
            own = np.full(len(prepared.labels), TRAIN, np.int8)
    own = np.where(prepared.labels < 0, UNUSED, own)
    parts = {name: np.flatnonzero(own == code) for code, name in enumerate(SPLITS)}

    # Test first: it does not change with val_fraction.
    whole = parts["train"]
    train = whole if groups is not None else whole[stratified_order(prepared.labels[whole], seed, stream=0)]
    for code, name, fraction in (
        (TEST, "test", config.test_fraction),
        (VAL, "val", config.val_fraction),
    ):
        if not (own == code).any() and groups is not None:
            share = fraction * np.bincount(prepared.labels[whole], minlength=len(prepared.classes))
            try:
                mine = grouping.cut(prepared.labels[train], groups[train], share, seed, stream=code + 1)
            except InputError as error:
                raise InputError(f"data.group={config.group}: {error}.") from None
            parts[name], train = train[mine], train[~mine]
        elif not (own == code).any():
            count = max(1, round(fraction * len(whole)))
            parts[name], train = train[:count], train[count:]

    grouped = "" if groups is None else f"data.group={config.group}, "
    fractions = f"{grouped}data.val_fraction={config.val_fraction}, data.test_fraction={config.test_fraction}"
    _check_classes(prepared, train, f"{fractions}: leave")
    if config.limit_train is not None:
        train = train[stratified_order(prepared.labels[train], seed, stream=1)]
        train = train[: _limit(config.limit_train, len(train))]
        _check_classes(prepared, train, f"data.limit_train={config.limit_train}: leaves")
    parts["train"] = train
    return {name: np.sort(parts[name]).astype(np.int64) for name in SPLITS}


def stratified_order(labels: np.ndarray, seed: int, stream: int) -> np.ndarray:
    """int64 [n]: a random order of which every beginning has the classes in their overall shares.

    The k-th of a class's n examples stands at (k + 1/2) / n of the way, which is Webster's method of sharing
    out seats: each class's number is its share, rounded. A rare class comes late: it is kept to train on
    rather than spent on testing. Only numpy's bit generator is used, whose stream is fixed across versions.
    """
    n = len(labels)
    generator = np.random.PCG64([seed, stream])
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.lexsort((generator.random_raw(n), inverse))  # at random within each class
    rank = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    place = (2 * rank + 1) / np.repeat(2 * counts, counts)
    # Which class comes first among equals is drawn as well, or the first classes would always win.
    precedence = np.argsort(generator.random_raw(len(classes)))
    return by_class[np.lexsort((precedence[inverse[by_class]], place))]


def _limit(limit: int | float, n: int) -> int:
    if isinstance(limit, float):
        return max(1, round(limit * n))
    if limit > n:
        raise InputError(f"data.limit_train={limit}: there are only {n} training examples.")
    return limit


def _check_classes(prepared: Prepared, train: np.ndarray, what: str) -> None:
    counts = np.bincount(prepared.labels[train], minlength=len(prepared.classes))
    absent = [name for name, count in zip(prepared.classes, counts, strict=True) if count == 0]
    if absent:
        shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise InputError(f"{what} no training example of {len(absent)} of {len(prepared.classes)} classes: {shown}.")
