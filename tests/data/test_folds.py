"""Folds: each example is tested on once, groups and copies are kept whole, and the run's seed picks the fold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_data_split import prepared_of
from test_grouping import grouped

from pipeline.data import Data, column_of, redrawn, split
from pipeline.data.folds import fold_of
from pipeline.errors import InputError

SPEAKERS = np.repeat(np.arange(6), 40)
LABELS = np.tile(np.arange(4), 60)


def folds(k: int, **fields: object) -> Data:
    return Data(source="npz", folds=k, **fields)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.integers(2, 8), st.integers(0, 9))
def test_single_examples_are_shared_out_evenly_in_every_class(classes: list[int], k: int, seed: int) -> None:
    labels = np.array(classes)
    found = fold_of(labels, np.arange(len(labels)), k, seed)
    for label in np.unique(labels):
        assert np.ptp(np.bincount(found[labels == label], minlength=k)) <= 1
    assert np.bincount(found, minlength=k).min() > 0


def test_every_example_is_tested_on_once_and_never_trained_on_then() -> None:
    prepared = prepared_of(LABELS)
    parts = [split(prepared, folds(10), seed) for seed in range(10)]
    assert sorted(np.concatenate([one["test"] for one in parts])) == list(range(240))
    for one in parts:
        assert len(one["test"]) == 24
        assert sorted(np.concatenate(list(one.values()))) == list(range(240))
        assert np.bincount(LABELS[one["test"]]).tolist() == [6] * 4
    assert (split(prepared, folds(10), 13)["test"] == parts[3]["test"]).all()
    assert (split(prepared, folds(10, split_seed=1), 3)["test"] != parts[3]["test"]).any()


def test_six_speakers_make_six_folds_of_one_each() -> None:
    prepared = grouped(LABELS, SPEAKERS, column="speaker")
    assert column_of(prepared, folds(6)) == "speaker"
    seen = [np.unique(SPEAKERS[split(prepared, folds(6), seed)["test"]]).tolist() for seed in range(6)]
    assert sorted(seen) == [[i] for i in range(6)]
    parts = split(prepared, folds(6), 0)
    assert not set(SPEAKERS[parts["val"]]) & set(SPEAKERS[parts["train"]])
    with pytest.raises(InputError, match=r"data\.folds=7.*6 groups are too few for 7 folds"):
        split(prepared, folds(7), 0)


def test_a_split_of_the_sets_own_gives_way_to_folds() -> None:
    own = np.where(np.arange(240) < 200, 0, 2).astype(np.int8)
    prepared = grouped(LABELS, SPEAKERS, own, column="speaker")
    assert column_of(prepared, folds(3)) == "speaker"
    tested = np.concatenate([split(prepared, folds(3), seed)["test"] for seed in range(3)])
    assert sorted(tested) == list(range(240))


def test_copies_are_in_one_fold() -> None:
    plain = prepared_of(np.zeros(40, np.int64))
    prepared = replace(plain, hashes=(np.arange(40) // 2).astype(np.uint64))
    for seed in range(4):
        tested = split(prepared, folds(4), seed)["test"]
        assert (np.bincount(tested // 2)[np.unique(tested // 2)] == 2).all()


def test_how_much_folds_share_is_known_to_the_interval() -> None:
    """Nadeau and Bengio: of K folds, test to train as 1 to K - 1."""
    assert redrawn(prepared_of(LABELS), folds(10), "test") == pytest.approx(1 / 9)
    assert redrawn(prepared_of(LABELS), folds(10, split_seed=4), "test") == pytest.approx(1 / 9)


@pytest.mark.parametrize("k", [1, 0, True, 2.0])
def test_a_number_of_folds_is_two_or_more(k: object) -> None:
    with pytest.raises(InputError, match=r"data\.folds="):
        folds(k)  # type: ignore[arg-type]


def test_validation_may_share_speakers_with_training_and_never_with_the_test() -> None:
    prepared = grouped(LABELS, SPEAKERS, column="speaker")
    for seed in range(6):
        parts = split(prepared, folds(6, val_groups="shared"), seed)
        speakers = {name: set(SPEAKERS[indices]) for name, indices in parts.items()}
        assert speakers["train"] == speakers["val"] == set(range(6)) - speakers["test"]
        assert len(parts["val"]) == 20  # a tenth of the five others
        assert np.bincount(LABELS[parts["val"]]).tolist() == [5] * 4
        assert sorted(np.concatenate(list(parts.values()))) == list(range(240))
