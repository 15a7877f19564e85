"""Which examples train, which validate, which test: by seed, and every class with its share in each."""

import numpy as np

from pipeline.data import grouping
from pipeline.data.config import NO_GROUP, Data
from pipeline.data.folds import tested
from pipeline.data.prepared import Prepared
from pipeline.data.raw import SPLITS, TEST, TRAIN, VAL
from pipeline.errors import InputError

UNUSED = -1  # of no split


def split(prepared: Prepared, config: Data, seed: int) -> dict[str, np.ndarray]:
    """{"train", "val", "test"}: ascending int64 indices, disjoint, the same for the same seed everywhere.

    What the set itself calls test (or val) stays that. What it lacks is cut from its training part:
    `test_fraction` and `val_fraction` of it. `limit_train` then keeps that many of what is left to train on;
    a smaller limit keeps a subset of what a larger one keeps.

    Copies of an image are never cut apart, nor are the groups of the column that `config.group` names or that is
    known by its name. A set whose own split divides a group of the column that was named is mended by splitting it
    anew, three ways, as if it had none: to leave out what leaks would leave nearly nothing where nearly all groups
    leak (malaria), and to move groups would make a test set that is no longer its publisher's either.
    With `config.folds` the set is split anew as well: what is tested on is a fold, by the run's seed. With
    `config.val_groups=shared` validation may have groups that are trained on: where there are six speakers, five train
    and not four, and the test is of another one all the same.
    InputError where there is too little for that, or a class would have no example to train on.
    """
    replicate, seed = seed, seed if config.split_seed is None else config.split_seed
    own = prepared.own_split
    if own is None or split_anew(prepared, config):
        own = np.full(len(prepared.labels), TRAIN, np.int8)
    column = grouping.column_of(prepared, config)
    groups = None if column is None else grouping.join(grouping.codes(prepared, column), grouping.copies(prepared))
    option = f"data.group={config.group}"
    if column is not None and config.group is None:
        option = f"data.group=null, and the column {column} groups by its name (data.group=none leaves it aside)"
    if config.folds is not None:
        try:
            own[tested(prepared, config, groups, replicate)] = TEST
        except InputError as error:
            raise InputError(f"data.folds={config.folds}, {option}: {error}.") from None
    own = np.where(prepared.labels < 0, UNUSED, own)
    parts = {name: np.flatnonzero(own == code) for code, name in enumerate(SPLITS)}

    # Test first: it does not change with val_fraction.
    whole = parts["train"]
    copies = grouping.copies(prepared)
    order = stratified_order(prepared.labels[whole], seed, 0, None if copies is None else copies[whole])
    train = whole if groups is not None else whole[order]
    for code, name, fraction in (
        (TEST, "test", config.test_fraction),
        (VAL, "val", config.val_fraction),
    ):
        whole_groups = groups is not None and not (name == "val" and config.val_groups == "shared")
        if not (own == code).any() and groups is not None and whole_groups:
            share = fraction * np.bincount(prepared.labels[whole], minlength=len(prepared.classes))
            try:
                mine = grouping.cut(prepared.labels[train], groups[train], share, seed, stream=code + 1)
            except InputError as error:
                raise InputError(f"{option}: {error}.") from None
            parts[name], train = train[mine], train[~mine]
        elif not (own == code).any():
            if groups is not None:  # in the order of groups so far: classes keep their shares, copies stay together
                train = train[
                    stratified_order(prepared.labels[train], seed, code, None if copies is None else copies[train])
                ]
            count = max(1, round(fraction * len(whole)))
            count = count if copies is None else _between_images(copies[train], count)
            parts[name], train = train[:count], train[count:]

    grouped = "" if groups is None else f"{option}, "
    fractions = f"{grouped}data.val_fraction={config.val_fraction}, data.test_fraction={config.test_fraction}"
    _check_classes(prepared, train, f"{fractions}: leave")
    if config.limit_train is not None:
        train = train[stratified_order(prepared.labels[train], seed, stream=1)]
        train = train[: _limit(config.limit_train, len(train))]
        _check_classes(prepared, train, f"data.limit_train={config.limit_train}: leaves")
    parts["train"] = train
    return {name: np.sort(parts[name]).astype(np.int64) for name in SPLITS}


def redrawn(prepared: Prepared, config: Data, split: str) -> float:
    """Examples of `split` per example of the rest, where each seed draws its own; 0 where all seeds share them.

    Two such seeds are trained and tested on much the same examples, so they agree more with each other than with what
    other examples would give: see `evidence.rule.decide`.
    """
    own = prepared.own_split
    if split not in SPLITS:  # of a metric of something else
        return 0.0
    if split == "test" and config.folds is not None:
        return 1 / (config.folds - 1)
    fixed = own is not None and not split_anew(prepared, config) and (own == SPLITS.index(split)).any()
    if split == "train" or fixed or config.split_seed is not None:
        return 0.0
    share = {"val": config.val_fraction, "test": config.test_fraction}[split]
    return share / (1 - share)


def split_anew(prepared: Prepared, config: Data) -> bool:
    """Whether the set's own split is not used: folds are asked for, or it divides groups of the column named."""
    if config.folds is not None:
        return prepared.own_split is not None
    if prepared.own_split is None or config.group in (None, NO_GROUP):
        return False
    return bool(grouping.is_divided(grouping.codes(prepared, str(config.group)), prepared.own_split).any())


def stratified_order(labels: np.ndarray, seed: int, stream: int, same: np.ndarray | None = None) -> np.ndarray:
    """int64 [n]: a random order of which every beginning has the classes in their overall shares.

    The k-th of a class's n examples stands at (k + 1/2) / n of the way, which is Webster's method of sharing
    out seats: each class's number is its share, rounded. A rare class comes late: it is kept to train on
    rather than spent on testing. Only numpy's bit generator is used, whose stream is fixed across versions.

    Where `same` [n] is equal, examples follow each other, as one example that counts as many times and stands where
    its middle does, in the class of its first.
    """
    n = len(labels)
    generator = np.random.PCG64([seed, stream])
    draws = generator.random_raw(n)
    classes, label = np.unique(labels, return_inverse=True)
    first, image, size = np.arange(n), np.arange(n), np.ones(n, np.int64)
    if same is not None:
        _, first, image, size = np.unique(same, return_index=True, return_inverse=True, return_counts=True)
    by_class = np.lexsort((draws[first], label[first]))  # at random within each class
    label_of, size = label[first][by_class], size[by_class]
    total = np.bincount(label_of, size, minlength=len(classes)).astype(np.int64)
    before = np.cumsum(size) - size - (np.cumsum(total) - total)[label_of]
    place = (2 * before + size) / (2 * total[label_of])
    # Which class comes first among equals is drawn as well, or the first classes would always win.
    precedence = np.argsort(generator.random_raw(len(classes)))
    order = by_class[np.lexsort((precedence[label_of], place))]
    return np.argsort(np.argsort(order)[image], kind="stable")


def _between_images(same: np.ndarray, count: int) -> int:
    """`count`, or the nearest place in the order [n] that has no copies of one image on both sides."""
    if count >= len(same) or same[count - 1] != same[count]:
        return count
    places = np.flatnonzero(same[1:] != same[:-1]) + 1
    if not len(places):
        raise InputError(f"the {len(same)} examples left to cut a part from are copies of one image.")
    return int(places[np.abs(places - count).argmin()])


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
        names = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise InputError(f"{what} no training example of {len(absent)} of {len(prepared.classes)} classes: {names}.")
