"""No split divides a group; classes keep their shares as far as groups let them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from running import TINY, Done, call
from test_data_split import prepared_of

from pipeline.data import Data, Prepared, apart, column_of, describe, prepare, split
from pipeline.data.grouping import is_divided, is_usual, join
from pipeline.data.halves import take_half
from pipeline.data.leaks import find_leaks
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
    assert find_leaks(prepared, config(), parts).document()["groups"] == []


def test_one_that_divides_them_is_told_and_made_anew(capfd: pytest.CaptureFixture[str]) -> None:
    groups = np.arange(60) // 3
    own = np.where(np.arange(60) % 10 == 0, 2, 0).astype(np.int8)  # 6 of 20 groups have one there
    prepared = grouped(np.arange(60) % 2, groups, own)
    expected = {"column": "patient", "groups": 6, "of_groups": 20, "examples": 18, "of_examples": 60, "by": "set"}
    parts = split(prepared, Data(source="npz"), 0)
    assert parts["test"].tolist() == np.flatnonzero(own == 2).tolist()
    assert find_leaks(prepared, Data(source="npz"), parts).document()["groups"] == [expected | {"mended": False}]
    assert not set(groups[parts["train"]]) & set(groups[parts["val"]])  # what is cut here is cut by whole groups
    parts = split(prepared, config(), 0)
    assert find_leaks(prepared, config(), parts).document()["groups"] == [expected | {"mended": True}]
    assert not set(groups[parts["test"]]) & set(groups[np.concatenate([parts["train"], parts["val"]])])


def test_names_that_group() -> None:
    assert all(is_usual(name) for name in ("patient", "Patient_ID", "patientid", "group", "lesion_id", "author"))
    assert all(is_usual(name) for name in ("Patient ID", "patient-id", "Patients", "subject_no", "StudyInstanceUID"))
    assert all(is_usual(name) for name in ("id_patient", "pid", "video_name", "session", "SubjectNumber", "clip.id"))
    assert not any(is_usual(name) for name in ("index", "id", "wnid", "label", "age", "patient_age", "No", "case type"))


def test_groups_that_are_too_few() -> None:
    with pytest.raises(InputError, match=r"data\.group=patient: 1 group is left to cut a part from"):
        split(grouped(np.arange(10) % 2, np.zeros(10)), config(), 0)
    with pytest.raises(InputError, match=r"data\.group=patient: 1 group is left to cut a part from"):
        split(grouped(np.arange(10) % 2, np.arange(10) % 2), config(), 0)
    with pytest.raises(InputError, match=r"data\.group=patient, data\.val_fraction=.*leave no training example of"):
        split(grouped(np.array([0] * 9 + [1]), np.arange(10)), config(test_fraction=0.6), 0)


def test_divided_by_hand() -> None:
    assert is_divided(np.array([5, 5, 7, 7, 9]), np.array([0, 1, 1, 1, 0])).tolist() == [True, True, *[False] * 3]


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
    document = describe(prepared, leaky, 0).document()
    (found,) = document["groups"]
    assert (found["groups"], found["examples"], found["mended"]) == (30, 90, False)
    said = capfd.readouterr().err
    assert "the set's own split divides 30 of 30 groups of patient (90 of 90 examples)" in said
    assert "data.group=patient mends it" in said
    assert "divides 30 of 30 groups" not in (prepare(leaky, seed=1), capfd.readouterr().err)[1]  # once is enough
    assert "30 groups, 90 examples" in Path(document["card"]).read_text()

    mended = Data(group="patient", **keys)  # type: ignore[arg-type]
    again = prepare(mended, seed=0)
    assert again.dir == prepared.dir  # the same form, another split
    assert "it is not used" in capfd.readouterr().err
    parts = split(again, mended, 0)
    names = np.concatenate([patients[train], patients[~train]])
    assert not set(names[parts["train"]]) & set(names[parts["test"]])
    assert describe(again, mended, 0).document()["groups"][0]["mended"]


# ---- what is kept together without being asked


@settings(max_examples=80)
@given(
    st.lists(st.integers(1, 6), min_size=14, max_size=50),
    st.integers(0, 2**32),
    st.sampled_from(["patient_id", "age"]),
    st.booleans(),
    st.sampled_from([None, 0.5, 12]),
    st.sampled_from([None, "a", "b"]),
)
def test_nothing_that_belongs_together_is_ever_cut_apart(
    sizes: list[int], seed: int, column: str, own: bool, limit: float | int | None, half: str | None
) -> None:
    """Copies always, groups of a column known by its name, and groups that share a copy; also within class halves."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = rng.integers(0, 4, len(groups))
    labels[:4] = np.arange(4)
    images = np.where(rng.random(len(groups)) < 0.2, rng.integers(0, 5, len(groups)), 100 + np.arange(len(groups)))
    same = np.unique(images, return_index=True)[1][np.unique(images, return_inverse=True)[1]]
    own_split = (2 * (rng.random(len(groups)) < 0.2)).astype(np.int8) if own else None
    plain = grouped(labels, groups, own_split, column)
    asked = Data(source="npz", limit_train=limit, class_half=half)
    prepared = take_half(replace(plain, hashes=same), asked, seed)
    try:
        parts = split(prepared, asked, seed)
    except InputError as error:
        if any(words in str(error) for words in ("no training example", "there are only", "left to cut")):
            return
        raise
    cut = ["train", "val"] if own else ["train", "val", "test"]
    units = join(groups, same) if column == "patient_id" else same
    lies_in: dict[int, str] = {}
    for name in cut:
        for i in parts[name].tolist():
            assert prepared.labels[i] >= 0
            assert lies_in.setdefault(int(units[i]), name) == name
    if not own:
        found = find_leaks(prepared, asked, parts).document()
        assert found["duplicates"] == found["groups"] == []


def test_joined_by_hand() -> None:
    groups = np.array([0, 0, 1, 1, 2, 2, 3])
    same = np.array([0, 1, 1, 3, 4, 5, 6])  # an image of group 0 is also one of group 1
    together = join(groups, same)
    assert len(set(together[:4].tolist())) == 1
    assert len(set(together.tolist())) == 3


def test_which_column_is_used() -> None:
    n = 120
    plain = prepared_of(np.arange(n) % 2)
    known = {"patient_id": np.arange(n) // 4, "lesion": np.arange(n) // 2, "site": np.arange(n) // 60}
    known |= {"case": np.arange(n), "user": np.zeros(n), "age": np.arange(n) // 8}

    def used(*names: str, **fields: object) -> str | None:
        columns = {name: known[name].astype(np.int32) for name in names}
        return column_of(replace(plain, columns=columns), Data(source="npz", **fields))  # type: ignore[arg-type]

    assert used("patient_id", "age") == "patient_id"
    assert used("lesion", "patient_id", "site", "age") == "patient_id"  # the coarsest that can be shared out
    assert used("site") == "site"
    assert used("case", "user", "age") is None  # all different, all the same, a name that says nothing
    assert used("patient_id", group="none") is None
    assert used("patient_id", "age", group="age") == "age"


def test_a_known_column_that_cannot_be_cut_is_refused_with_the_way_out() -> None:
    prepared = grouped(np.arange(40) % 2, np.arange(40) % 2, column="scene")
    with pytest.raises(InputError, match=r"column scene groups by its name \(data\.group=none leaves it aside\): 1"):
        split(prepared, Data(source="npz"), 0)
    assert len(split(prepared, Data(source="npz", group="none"), 0)["test"]) == 8


def test_classes_keep_their_shares_where_one_is_made_of_copies() -> None:
    """A rare class that was copied until it is as large as the other: 10 images, each 10 times."""
    labels = np.repeat([0, 1], 100)
    same = np.concatenate([np.arange(100), 100 + np.arange(100) // 10 * 10])
    prepared = replace(prepared_of(labels), hashes=same)
    for seed in range(20):
        parts = split(prepared, Data(), seed)
        assert [np.bincount(labels[parts[name]]).tolist() for name in ("test", "val")] == [[20, 20], [10, 10]]


def test_one_image_cannot_be_split() -> None:
    prepared = replace(prepared_of(np.arange(8) % 2), hashes=np.zeros(8, np.int64))
    with pytest.raises(InputError, match="8 examples left to cut a part from are copies of one image"):
        split(prepared, Data(), 0)


# ---- through the commands


def tracks(folder: Path) -> str:
    """A set of 40 tracks with 6 frames each in two classes, a manifest, no split; two copies, one of another class."""
    (folder / "frames").mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,label,patient_id"]
    for i in range(240):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"frames/{i}.png")
        lines.append(f"frames/{i}.png,{'ab'[i // 6 % 2]},P{i // 6}")
    shutil.copy(folder / "frames/0.png", folder / "frames/1.png")
    shutil.copy(folder / "frames/0.png", folder / "frames/6.png")
    (folder / "list.csv").write_text("\n".join(lines))
    return "data=manifest data.root=frames/.. data.manifest=list.csv data.size=8"


def test_a_column_known_by_its_name_is_kept_whole_and_told(workdir: Path, command: Callable[..., Done]) -> None:
    line = tracks(workdir)
    done = call(workdir, "prepare", f"{line} output=json")
    kept = "whole groups of patient_id (40 groups) are kept together in what is split here"
    assert f"mind: manifest: {kept}" in done.err
    assert "data.group=none lets them be divided" in done.err
    found = done.document
    assert found["group"] == {"column": "patient_id", "groups": 40, "named": False}
    assert found["groups"] == found["duplicates"] == []
    assert found["conflicting"] == [
        {"indices": [0, 1, 6], "classes": ["a", "a", "b"], "paths": [f"frames/{i}.png" for i in (0, 1, 6)]}
    ]
    card = Path(workdir, found["card"]).read_text()
    conflict = "1 image under more than one class, such as frames/0.png (a) and frames/1.png (a), frames/6.png (b)"
    assert all(said in done.err and said in card for said in (kept, conflict))
    assert "divides" not in done.err + card

    leaky = call(workdir, "prepare", f"{line} data.group=none output=json")
    (leak,) = leaky.document["groups"]
    told = f"this split divides {leak['groups']} of 40 groups of patient_id ({leak['examples']} of 240 examples)"
    assert told in leaky.err
    assert told in Path(workdir, leaky.document["card"]).read_text()
    assert leaky.document["group"] is None
    assert leaky.document["digest"] == found["digest"]
    assert told in command("prepare", f"{line} data.group=none").out

    runs = [
        command("train", f"{line} {TINY} {also} dir={name}") for also, name in (("", "a"), ("data.group=none", "b"))
    ]
    assert [run.code for run in runs] == [0, 0], runs
    asked = [json.loads((workdir / name / "run.json").read_text()) for name in "ab"]
    assert [run["dataset"]["group"] for run in asked] == ["patient_id", None]
    assert asked[0]["key"] != asked[1]["key"]


def test_sets_whose_names_differ_by_a_number_are_told_apart() -> None:
    said = ["v1: 2 images in two splits", "v2: 60 images in two splits", "v1: 3 images in two splits"]
    assert apart(said) == [said[0], said[1]]
