"""Half of a set's classes: drawn by seed, disjoint, equal, and renumbered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import Data, Prepared, declared, prepare, split
from pipeline.data.halves import draw_halves, take_half
from pipeline.errors import InputError


@given(st.integers(4, 200), st.integers(0, 2**32 - 1))
def test_halves_are_disjoint_and_equal_and_cover_all(classes: int, seed: int) -> None:
    halves = draw_halves(classes, seed)
    a, b = set(halves["a"].tolist()), set(halves["b"].tolist())
    assert len(a) == len(b) == classes // 2
    assert not a & b
    assert a | b <= set(range(classes))
    assert len(a | b) == classes - classes % 2
    assert all((np.diff(half) > 0).all() for half in halves.values())
    assert all((halves[half] == draw_halves(classes, seed)[half]).all() for half in halves)


def test_halves_differ_by_seed():
    found = {tuple(draw_halves(10, seed)["a"]) for seed in range(50)}
    assert len(found) > 40  # of 252
    # every class is as often in A as in B: 500 draws, 6 standard deviations
    counts = np.bincount(np.concatenate([draw_halves(10, seed)["a"] for seed in range(500)]), minlength=10)
    assert (abs(counts - 250) < 6 * np.sqrt(500 / 4)).all()


def test_a_run_sees_its_half_and_nothing_else(tmp_path):
    config = Data(prepared_dir=str(tmp_path))
    whole = prepare(config, 3)
    seen = set()
    for half in ("a", "b"):
        mine = replace(config, class_half=half)
        prepared = prepare(mine, 3)
        assert prepared.dir == whole.dir
        assert len(prepared.classes) == 5
        used = np.concatenate(list(split(prepared, mine, 3).values()))
        names = [prepared.classes[k] for k in prepared.labels[used]]
        # digits are called by their number
        assert names == [str(k) for k in whole.labels[used]]
        assert set(names) == set(prepared.classes)
        assert len(used) == np.isin(whole.labels, [int(name) for name in prepared.classes]).sum()
        assert not seen & set(used.tolist())
        seen |= set(used.tolist())
    assert len(seen) == len(whole.labels)


def test_a_split_of_the_set_s_own_is_kept():
    labels = np.tile(np.arange(4), 10)
    own = np.repeat(np.array([0, 2], np.int8), 20)
    whole = Prepared(Path("nowhere"), np.zeros((40, 1, 1, 1), np.uint8), labels, list("abcd"), "", own, {})
    config = Data(class_half="a", val_fraction=0.2)
    prepared = take_half(whole, config, 0)
    parts = split(prepared, config, 0)
    mine = [whole.classes.index(name) for name in prepared.classes]
    assert parts["test"].tolist() == [i for i in range(20, 40) if labels[i] in mine]
    assert len(parts["train"]) + len(parts["val"]) == 10


def test_the_split_s_seed_draws_where_there_is_one(tmp_path):
    config = Data(prepared_dir=str(tmp_path), class_half="a", split_seed=7)
    assert len({tuple(prepare(config, seed).classes) for seed in range(5)}) == 1
    free = replace(config, split_seed=None)
    assert len({tuple(prepare(free, seed).classes) for seed in range(5)}) > 1
    assert prepare(free, 7).classes == prepare(config, 0).classes


def test_what_is_known_before_the_data_is():
    assert declared(Data()) == ((1, 8, 8), 10)
    assert declared(Data(class_half="a")) == ((1, 8, 8), 5)


def test_mistakes():
    with pytest.raises(InputError, match=r"^data\.class_half=c: must be one of a, b\."):
        Data(class_half="c")
    three = Prepared(Path("nowhere"), np.zeros((3, 1, 1, 1), np.uint8), np.arange(3), list("abc"), "", None, {})
    with pytest.raises(InputError, match=r"data\.class_half=a: digits has 3 classes; each half needs two at least\."):
        take_half(three, Data(class_half="a"), 0)
