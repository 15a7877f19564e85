"""Class folders, with and without splits above them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import TINY

from pipeline.data import Data, declared, describe, prepare, split
from pipeline.errors import InputError


def make(root: Path, *paths: str, colour: tuple[int, int, int] | int = 0) -> Path:
    """A small image of its own for each path; the same content for the same number in the name."""
    for i, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        mode = "L" if isinstance(colour, int) else "RGB"
        image = Image.new(mode, (6, 4), colour)
        image.putpixel((i % 6, i // 6 % 4), 200 + i // 24 if isinstance(colour, int) else (200, i, 3))
        image.save(root / path, "PNG")
    return root


def settings(root: Path, **fields: object) -> Data:
    keys = {"name": "folder", "size": 8, "prepared_dir": str(root.parent / "prepared"), **fields}
    return Data(source="image_folder", root=str(root), **keys)  # type: ignore[arg-type]


def parts(*names: str, each: int = 4) -> list[str]:
    return [f"{name}/{label}/{i}.png" for name in names for label in ("ants", "bees") for i in range(each)]


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (("train", "val", "test"), {"train": 8, "val": 8, "test": 8}),
        (("train", "val"), {"train": 8, "test": 8}),
        (("Training", "validation"), {"train": 8, "test": 8}),
        (("train", "test"), {"train": 8, "test": 8}),
        (("train",), {"all": 8}),
    ],
)
def test_folders_above_the_classes_are_splits(tmp_path: Path, names: tuple[str, ...], counts: dict[str, int]) -> None:
    prepared = prepare(settings(make(tmp_path / "photos", *parts(*names))), seed=0)
    assert prepared.classes == ["ants", "bees"]
    assert {name: sum(part.values()) for name, part in prepared.manifest["counts"].items()} == counts


@pytest.mark.parametrize("link", ["test", "train/wasps", "wasps"])
def test_a_split_or_a_class_that_is_a_link_is_not_left_out_without_a_word(tmp_path: Path, link: str) -> None:
    root = make(tmp_path / "photos", *parts("train") if "/" in link or link == "test" else ["ants/1.png", "bees/2.png"])
    make(tmp_path / "elsewhere", "ants/1.png", "bees/2.png")
    (root / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{link} is a link to a folder"):
        prepare(settings(root), seed=0)


def test_a_split_of_another_name_beside_train_is_no_class(tmp_path: Path) -> None:
    root = make(tmp_path / "photos", *parts("train"), "holdout/ants/1.png")
    with pytest.raises(InputError, match="beside it holdout/, which no split is called"):
        prepare(settings(root), seed=0)
    (tmp_path / "photos/train/.DS_Store").write_bytes(b"Bud1")  # left by macOS in any folder that it showed
    with pytest.raises(InputError, match="beside it holdout/, which no split is called"):
        prepare(settings(root), seed=0)
    root = make(tmp_path / "vehicles", *[f"{name}/{i}.png" for name in ("train", "bus") for i in range(4)])
    assert prepare(settings(root), seed=0).classes == ["bus", "train"]


@pytest.mark.parametrize("names", [("training_set", "test_set"), ("train_images", "test"), ("Test-2", "b")])
def test_folders_of_the_same_classes_that_are_called_like_splits_are_no_classes(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    with pytest.raises(InputError, match="which no split is called"):
        prepare(settings(make(tmp_path / "photos", *parts(*names))), seed=0)


def test_patients_below_classes_are_no_classes(tmp_path: Path) -> None:
    patients = [f"{label}/{who}/{i}.png" for label in ("benign", "malign") for who in ("p1", "p2") for i in range(4)]
    assert prepare(settings(make(tmp_path / "photos", *patients)), seed=0).classes == ["benign", "malign"]


def test_training_says_what_was_put_aside(tmp_path: Path, command) -> None:  # type: ignore[no-untyped-def]
    root = make(tmp_path / "photos", *parts("train", "test"))
    (root / "test/bees/0.png").write_bytes(b"junk")
    line = f"{TINY.replace('data.limit_train=64', '')} data=image_folder data.root={root} data.size=8"
    said = "1 file put aside and not in the set (1 not an image of a known format), such as test/bees/0.png"
    assert said in " ".join(command("train", f"{line} dir=run").err.split())
    done = command("train", f"-m {line} seed=0,1 dir=sweep output=json")
    assert any(said in warning for warning in done.document["verdict"]["warnings"])
    assert said in " ".join((tmp_path / "work/sweep/report.html").read_text().split())


def test_a_damaged_photo_is_named_before_a_note_beside_it(tmp_path: Path, command) -> None:  # type: ignore[no-untyped-def]
    root = make(tmp_path / "photos", *parts("train", "test"))
    (root / "test/ants/a.txt").write_bytes(b"a note")
    whole = (root / "test/bees/0.png").read_bytes()
    (root / "test/bees/0.png").write_bytes(whole[: len(whole) // 2])
    said = " ".join(command("prepare", f"data=image_folder data.root={root} data.size=8").err.split())
    assert "2 files put aside and not in the set" in said
    assert "such as test/bees/0.png" in said


def test_without_them_the_seed_splits(tmp_path: Path) -> None:
    paths = [f"{label}/{i}.png" for label in ("ants", "test") for i in range(5)]
    config = settings(make(tmp_path / "photos", *paths))
    prepared = prepare(config, seed=0)
    assert prepared.classes == ["ants", "test"]  # a class may be called so
    assert prepared.own_split is None
    assert [len(part) for part in split(prepared, config, 0).values()] == [7, 1, 2]
    assert declared(config) is None
    assert prepared.input_shape == (1, 8, 8)


def test_what_lies_elsewhere_is_put_aside(tmp_path: Path) -> None:
    root = make(tmp_path / "photos", *parts("train", "val"), "readme.png", "test/1.png", "extra/ants/1.png")
    found = {one["path"]: one["reason"] for one in prepare(settings(root), seed=0).manifest["quarantined"]}
    assert found == {
        "extra/ants/1.png": "lies in no split's folder, but beside them",
        "readme.png": "lies in no class's folder",
        "test/1.png": "lies in no class's folder",
    }


def test_one_colour_photo_makes_a_grey_set_three_channels(tmp_path: Path) -> None:
    root = make(tmp_path / "photos", *[f"{label}/{i}.png" for label in ("a", "b") for i in range(6)])
    grey = prepare(settings(root, resize="pad"), seed=0)
    make(root, "b/9.png", colour=(10, 20, 30))
    mixed = prepare(settings(root, resize="pad"), seed=0)
    assert (grey.input_shape, mixed.input_shape) == ((1, 8, 8), (3, 8, 8))
    assert len(mixed.images) == 13
    assert (mixed.images[:12] == grey.images).all()
    assert mixed.images[12, 3, 3].tolist() == [10, 20, 30]
    made_colour_first = make(tmp_path / "other", "a/0.png", colour=(10, 20, 30))
    make(made_colour_first, "b/0.png", "b/1.png", "b/2.png", "a/1.png", "a/2.png", "a/3.png")
    assert prepare(settings(made_colour_first), seed=0).input_shape == (3, 8, 8)


def test_folders_within_a_class_can_be_groups(tmp_path: Path) -> None:
    paths = [f"{label}/person{p}/{i}.png" for label in ("a", "b") for p in range(6) for i in range(3)]
    config = settings(make(tmp_path / "photos", *paths), group="folder")
    prepared = prepare(config, seed=0)
    lies_in = {}
    names = prepared.paths
    assert names is not None
    for name, indices in split(prepared, config, 0).items():
        for i in indices:
            assert lies_in.setdefault(str(Path(names[i]).parent), name) == name


def test_copies_across_splits_are_told_by_their_paths(tmp_path: Path) -> None:
    root = make(tmp_path / "photos", *parts("train", "val"))
    (root / "val/bees/0.png").write_bytes((root / "train/ants/2.png").read_bytes())
    config = settings(root)
    prepared = prepare(config, seed=0)
    found = describe(prepared, config, 0).document()["duplicates"]
    assert {"train/ants/2.png", "val/bees/0.png"} in [set(one["paths"]) for one in found]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], r"has no class folders, but 0 files\. Files belong in a folder for each class"),
        (["1.png", "2.png"], "has no class folders, but 2 files"),
        (["ants/1.png"], "has only one class, ants"),
        (["train/1.png"], "has no class folders, but 1 files"),
    ],
)
def test_a_folder_that_shows_no_classes(tmp_path: Path, paths: list[str], message: str) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=message):
        prepare(settings(make(tmp_path / "photos", *paths)), seed=0)


def test_it_needs_a_folder() -> None:
    with pytest.raises(InputError, match=r"data\.root=null: data\.source=image_folder needs the folder"):
        prepare(Data(source="image_folder"), seed=0)


def test_the_order_on_disk_changes_nothing(tmp_path: Path) -> None:
    paths = parts("train", "val")
    one = prepare(settings(make(tmp_path / "one", *paths)), seed=0)
    for path in reversed(paths):
        (tmp_path / "two" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "two" / path).write_bytes((tmp_path / "one" / path).read_bytes())
    assert prepare(settings(tmp_path / "two"), seed=0).digest == one.digest
    assert np.array_equal(one.labels, np.sort(one.labels[:8]).tolist() + np.sort(one.labels[8:]).tolist())
