"""No split divides a group; classes keep their shares as far as groups let them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_split import prepared_of

from pipeline.data import Data, Prepared, describe, prepare, split
from pipeline.data.grouping import divided, is_usual, leaks
from pipeline.errors import InputError


def grouped(labels: np.ndarray, groups: np.ndarray, own: np.ndarray | None = None, column: str = "patient") -> Prepared:
    plain = prepared_of(labels, own)
    columns = {column: groups.astype(np.int32)}
    return Prepared(plain.dir, plain.images, plain.labels, plain.classes, "", own, {"name": "cells"}, columns)


def config(**fields: object) -> Data:
    return Data(source="npz", group="patient", **fields)  # type: ignore[arg-type]


group_sizes = st.lists(st.integers(1, 12), min_size=12, max_size=60)


@settings(max_examples=60)
@given(group_sizes, st.integers(2, 4), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_no_group_is_ever_divided(sizes: list[int], classes: int, seed: int, own: bool, missing: bool) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = rng.integers(0, classes, len(groups))
    labels[np.searchsorted(groups, np.arange(len(sizes)))] = np.arange(len(sizes)) % classes
    order = rng.permutation(len(groups))
    groups, labels = groups[order], labels[order]
    if missing:
        groups[rng.random(len(groups)) < 0.1] = -1
    prepared = grouped(labels, groups, rng.integers(0, 3, len(groups)).astype(np.int8) if own else None)
    try:
        parts = split(prepared, config(), seed)
    except InputError as error:  # all groups with one class may be needed elsewhere
        if "no training example" in str(error):
            return
        raise
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))
    assert all(len(part) for part in parts.values())
    lies_in: dict[int, str] = {}
    for name, indices in parts.items():
        for i in indices.tolist():
            if groups[i] >= 0:
                assert lies_in.setdefault(groups[i], name) == name
    again = split(prepared, config(), seed)
    assert all((parts[name] == again[name]).all() for name in parts)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 5), min_size=80, max_size=120))
def test_shares_are_kept(seed: int, sizes: list[int]) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.random.default_rng(seed).permutation(np.arange(len(groups)) % 2)
    parts = split(grouped(labels, groups), config(), seed)
    for name, fraction in (("test", 0.2), ("val", 0.1)):
        found = np.bincount(labels[parts[name]], minlength=2)
        # A group is worth 5 at most, and one too many is given back.
        assert np.abs(found - fraction * np.bincount(labels, minlength=2)).max() <= 5


def test_seeds_differ() -> None:
    prepared = grouped(np.arange(120) % 2, np.arange(120) // 3)
    assert len({tuple(split(prepared, config(), seed)["test"]) for seed in range(5)}) == 5


def test_an_own_split_that_keeps_groups_whole_is_kept() -> None:
    groups = np.arange(60) // 3
    own = np.where(groups >= 15, 2, 0).astype(np.int8)
    prepared = grouped(np.arange(60) % 2, groups, own)
    parts = split(prepared, config(), 0)
    assert parts["test"].tolist() == np.flatnonzero(own == 2).tolist()
    assert not set(groups[parts["val"]]) & set(groups[parts["train"]])
    assert leaks(prepared) == []


def test_one_that_divides_them_is_told_and_made_anew(capfd: pytest.CaptureFixture[str]) -> None:
    groups = np.arange(60) // 3
    own = np.where(np.arange(60) % 10 == 0, 2, 0).astype(np.int8)  # 6 of 20 groups have one there
    prepared = grouped(np.arange(60) % 2, groups, own)
    expected = {"column": "patient", "groups": 6, "of_groups": 20, "examples": 18, "of_examples": 60}
    assert leaks(prepared) == [expected]
    assert split(prepared, Data(source="npz"), 0)["test"].tolist() == np.flatnonzero(own == 2).tolist()
    parts = split(prepared, config(), 0)
    assert not set(groups[parts["test"]]) & set(groups[np.concatenate([parts["train"], parts["val"]])])


def test_names_that_group() -> None:
    assert all(is_usual(name) for name in ("patient", "Patient_ID", "patientid", "group", "lesion_id", "author"))
    assert not any(is_usual(name) for name in ("index", "id", "wnid", "label", "age"))


def test_groups_that_are_too_few() -> None:
    with pytest.raises(InputError, match=r"data\.group=patient: 1 group is left to cut a part from"):
        split(grouped(np.arange(10) % 2, np.zeros(10)), config(), 0)
    with pytest.raises(InputError, match=r"data\.group=patient: 1 group is left to cut a part from"):
        split(grouped(np.arange(10) % 2, np.arange(10) % 2), config(), 0)
    with pytest.raises(InputError, match=r"data\.group=patient, data\.val_fraction=.*leave no training example of"):
        split(grouped(np.array([0] * 9 + [1]), np.arange(10)), config(test_fraction=0.6), 0)


def test_divided_by_hand() -> None:
    assert divided(np.array([5, 5, 7, 7, 9]), np.array([0, 1, 1, 1, 0])).tolist() == [True, True, False, False, False]


def test_a_set_on_disk_from_end_to_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x, patients = rng.integers(0, 256, (90, 8, 8), np.uint8), np.array([f"P{i // 3:02}" for i in range(90)])
    train = np.arange(90) % 3 < 2
    np.savez(
        tmp_path / "cells.npz",
        x_train=x[train], y_train=np.arange(90)[train] % 2, patient_train=patients[train],
        x_test=x[~train], y_test=np.arange(90)[~train] % 2, patient_test=patients[~train],
    )  # fmt: skip
    keys = {"source": "npz", "name": "cells", "root": str(tmp_path / "cells.npz"), "prepared_dir": str(tmp_path / "p")}
    leaky = Data(**keys)  # type: ignore[arg-type]
    prepared = prepare(leaky, seed=0)
    (found,) = describe(prepared, split(prepared, leaky, 0))["groups"]
    assert (found["groups"], found["examples"], found["mended"]) == (30, 90, False)
    said = capfd.readouterr().err
    assert "the set's own split divides 30 of 30 groups of patient (90 of 90 examples)" in said
    assert "data.group=patient mends it" in said
    assert "divides 30 of 30 groups" not in (prepare(leaky, seed=1), capfd.readouterr().err)[1]  # once is enough
    assert "30 groups, 90 examples" in (prepared.dir / "card.html").read_text()

    mended = Data(group="patient", **keys)  # type: ignore[arg-type]
    again = prepare(mended, seed=0)
    assert again.dir == prepared.dir  # the same form, another split
    assert "it is not used" in capfd.readouterr().err
    parts = split(again, mended, 0)
    names = np.concatenate([patients[train], patients[~train]])
    assert not set(names[parts["train"]]) & set(names[parts["test"]])
    assert describe(again, parts, "patient")["groups"][0]["mended"]
