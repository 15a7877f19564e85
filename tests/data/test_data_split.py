from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import Data, Prepared, class_counts, split
from pipeline.data.leaks import find_leaks
from pipeline.data.splitting import redrawn, stratified_order
from pipeline.errors import InputError


def prepared_of(labels: np.ndarray, own_split: np.ndarray | None = None) -> Prepared:
    """A set of one-pixel images, in memory."""
    classes = [f"c{k}" for k in range(int(labels.max()) + 1)]
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Prepared(Path("nowhere"), images, labels.astype(np.int64), classes, "", own_split, {})


# Class sizes from which every class keeps an example to train on.
class_sizes = st.lists(st.integers(5, 40), min_size=1, max_size=6)
seeds = st.integers(0, 2**32)
fractions = st.floats(0.01, 0.4)


def labels_of(sizes: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return labels[np.random.default_rng(len(labels)).permutation(len(labels))]


@given(class_sizes, seeds)
def test_every_beginning_of_the_order_is_webster_s_share(sizes: list[int], seed: int) -> None:
    labels = labels_of(sizes)
    order = stratified_order(labels, seed, stream=0)
    assert sorted(order) == list(range(len(labels)))
    for n in range(1, len(labels) + 1):
        counts = np.bincount(labels[order[:n]], minlength=len(sizes))
        # One divisor rounds every class's size to its count.
        assert ((counts - 0.5) / sizes).max() <= ((counts + 0.5) / sizes).min() + 1e-12


@given(st.integers(2, 30), st.integers(1, 6), seeds)
def test_balanced_classes_stay_within_one_of_their_share(size: int, classes: int, seed: int) -> None:
    labels = labels_of([size] * classes)
    order = stratified_order(labels, seed, stream=0)
    for n in range(1, len(labels) + 1):
        counts = np.bincount(labels[order[:n]], minlength=classes)
        assert counts.max() - counts.min() <= 1


@given(class_sizes, seeds, fractions, fractions)
def test_three_ways_covers_all_once_and_every_class_keeps_its_share(
    sizes: list[int], seed: int, val: float, test: float
) -> None:
    labels = labels_of(sizes)
    config = Data(val_fraction=val, test_fraction=test)
    prepared = prepared_of(labels)
    parts = split(prepared, config, seed)
    assert list(parts) == ["train", "val", "test"]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))
    for indices in parts.values():
        assert indices.dtype == np.int64
        assert (np.diff(indices) > 0).all()
    assert len(parts["test"]) == max(1, round(test * len(labels)))
    assert len(parts["val"]) == max(1, round(val * len(labels)))
    again = split(prepared, config, seed)
    assert all((parts[name] == again[name]).all() for name in parts)
    # Test does not move when validation is given another size.
    other = split(prepared, Data(val_fraction=0.3, test_fraction=test), seed)
    assert (other["test"] == parts["test"]).all()


@settings(max_examples=50)
@given(st.lists(st.integers(8, 30), min_size=2, max_size=5), seeds, st.floats(0.5, 1), st.floats(0.5, 1))
def test_a_smaller_limit_is_a_subset_of_a_larger_one(sizes: list[int], seed: int, one: float, another: float) -> None:
    prepared = prepared_of(labels_of(sizes))
    small, large = sorted((one, another))
    few = split(prepared, Data(limit_train=small), seed)
    more = split(prepared, Data(limit_train=large), seed)
    assert set(few["train"]) <= set(more["train"])
    assert (few["val"] == more["val"]).all()
    assert (few["test"] == more["test"]).all()


@given(seeds)
def test_a_limit_takes_from_balanced_classes_evenly(seed: int) -> None:
    prepared = prepared_of(labels_of([50] * 10))
    for limit, expected in ((10, 1), (30, 3), (0.2, 7)):
        counts = class_counts(prepared, split(prepared, Data(limit_train=limit), seed))["train"]
        assert set(counts.values()) == {expected}


@given(class_sizes, seeds)
def test_a_set_keeps_its_own_test_split(sizes: list[int], seed: int) -> None:
    labels = labels_of(sizes)
    own = np.zeros(len(labels), np.int8)
    own[np.unique(labels, return_index=True)[1]] = 2  # one of each class
    prepared = prepared_of(labels, own)
    parts = split(prepared, Data(val_fraction=0.25), seed)
    assert parts["test"].tolist() == np.flatnonzero(own == 2).tolist()
    assert sorted(np.concatenate([parts["train"], parts["val"]])) == np.flatnonzero(own == 0).tolist()
    assert len(parts["val"]) == max(1, round(0.25 * (own == 0).sum()))


def test_a_set_keeps_its_own_validation_split() -> None:
    own = np.repeat(np.array([0, 1, 2], np.int8), 10)
    parts = split(prepared_of(np.tile([0, 1], 15), own), Data(), 0)
    assert [part.tolist() for part in parts.values()] == [[*range(10)], [*range(10, 20)], [*range(20, 30)]]


def test_the_seed_decides_unless_split_seed_does() -> None:
    prepared = prepared_of(labels_of([40] * 3))
    by_seed = [split(prepared, Data(), seed)["test"].tolist() for seed in (0, 1)]
    assert by_seed[0] != by_seed[1]
    assert [split(prepared, Data(split_seed=1), seed)["test"].tolist() for seed in (0, 1)] == [by_seed[1]] * 2


def test_the_split_of_a_seed_never_changes() -> None:
    parts = split(prepared_of(np.tile([0, 1], 10)), Data(val_fraction=0.2, test_fraction=0.2), 7)
    assert parts["test"].tolist() == FROZEN_TEST
    assert parts["val"].tolist() == FROZEN_VAL


# Written down from numpy 2.4.6. If they differ, every published result has another split.
FROZEN_TEST = [3, 6, 11, 12]
FROZEN_VAL = [4, 9, 10, 13]


def test_a_rare_class_is_kept_to_train_on() -> None:
    labels = np.array([0] * 30 + [1])
    for seed in range(20):
        assert 30 in split(prepared_of(labels), Data(), seed)["train"]


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (3, r"data.limit_train=3: leaves no training example of 2 of 5 classes: c\d, c\d\."),
        (36, "data.limit_train=36: there are only 35 training examples."),
    ],
)
def test_a_limit_that_cannot_be(limit: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(prepared_of(labels_of([10] * 5)), Data(limit_train=limit), 0)


def test_fractions_that_leave_a_class_without_training() -> None:
    with pytest.raises(InputError, match=r"test_fraction=0\.8: leave no training example of 1 of 2"):
        split(prepared_of(np.array([0] * 30 + [1])), Data(test_fraction=0.8), 0)


def test_duplicates_across_splits_are_found_and_those_within_one_are_not() -> None:
    prepared = prepared_of(np.array([0, 1, 0, 1, 0, 1]))
    prepared = replace(prepared, hashes=np.array([0, 1, 1, 3, 3, 0]))
    splits = {"train": np.array([0, 1, 2]), "val": np.array([3, 4]), "test": np.array([5])}
    (found,) = find_leaks(prepared, Data(), splits).duplicates
    assert (found.indices, found.splits, found.classes) == ([0, 5], ["train", "test"], ["c0", "c1"])


def test_seeds_that_draw_their_own_test_examples_share_them():
    labels = np.repeat(np.arange(2), 50)
    own = np.repeat([0, 2], 50).astype(np.int8)  # train and test
    anew, given = prepared_of(labels), prepared_of(labels, own)
    assert redrawn(anew, Data(test_fraction=0.2), "test") == pytest.approx(0.25)
    assert redrawn(anew, Data(test_fraction=0.2, split_seed=0), "test") == 0  # one split for all seeds
    assert redrawn(given, Data(), "test") == 0
    assert redrawn(given, Data(val_fraction=0.1), "val") == pytest.approx(1 / 9)
    assert redrawn(anew, Data(), "train") == 0
