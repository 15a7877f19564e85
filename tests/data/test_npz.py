"""Arrays in one file."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data import Data, column_of, prepare, split
from pipeline.errors import InputError


def test_images_that_use_a_part_of_16_bits_are_told(workdir, command):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8)).astype(np.uint16)  # as arithmetic makes them of uint8
    np.savez("set.npz", x=images, y=np.arange(60) % 2)
    line = "data=npz data.root=set.npz data.size=8"
    assert "no pixel is brighter than 1 of 255" in " ".join(command("prepare", line).err.split())
    np.savez("whole.npz", x=images * 257, y=np.arange(60) % 2)
    assert "no pixel" not in command("prepare", line.replace("set", "whole")).err


def test_patients_are_known_in_any_shape_that_says_them(tmp_path: Path) -> None:
    patients = np.repeat(np.arange(20), 5)
    x, y = np.random.default_rng(0).integers(0, 256, (100, 4, 4), np.uint8), np.arange(100) % 2
    for arrays in (
        {"x": x, "y": y, "patient": patients[:, None]},
        {"x_train": x, "y_train": y, "patient_train": patients, "x_test": x[:10] + 1, "y_test": y[:10]},
    ):
        config = settings(saved(tmp_path, **arrays))
        prepared = prepare(config, 0)
        assert column_of(prepared, config) == "patient"
        parts = split(prepared, config, 0)
        own = [{patients[i] for i in parts[name] if i < 100} for name in ("train", "val")]
        assert own[0].isdisjoint(own[1])


def test_an_array_without_the_part_is_of_the_only_one(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (100, 4, 4), np.uint8), np.arange(100) % 2
    config = settings(saved(tmp_path, x_train=x, y_train=y, patient=np.repeat(np.arange(20), 5)))
    assert column_of(prepare(config, 0), config) == "patient"
    file = saved(tmp_path, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9], patient=np.arange(109))
    with pytest.raises(InputError, match="patient has to come in parts as x does: patient_train"):
        prepare(settings(file), 0)


def test_a_split_of_its_own_beside_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (100, 4, 4), np.uint8), np.arange(100) % 2
    parts = np.where(np.arange(100) % 5 == 4, "Test", "train").astype("<U10")
    prepared = prepare(settings(saved(tmp_path, x=x, y=y, split=parts)), 0)
    assert prepared.own_split is not None
    assert np.flatnonzero(prepared.own_split).tolist() == list(range(4, 100, 5))
    prepare(settings(saved(tmp_path, x=x, y=y, subset=parts)), 0)
    assert "subset looks like a split; called split it is kept" in " ".join(capsys.readouterr().err.split())
    parts[7] = "held out"
    with pytest.raises(InputError, match=r"split\[7\]: split=held out: must be one of train, val, test"):
        prepare(settings(saved(tmp_path, x=x, y=y, split=parts)), 0)


def test_patients_of_another_number_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path, x=IMAGES, y=LABELS, patient_id=np.arange(9))
    with pytest.raises(InputError, match=r"patient_id has the shape \(9,\); 10 images need \(10,\)"):
        prepare(settings(file), 0)


def settings(root: Path, **fields: object) -> Data:
    keys = {"name": "arrays", "size": 4, "prepared_dir": str(root.parent / "prepared"), **fields}
    return Data(source="npz", root=str(root), **keys)  # type: ignore[arg-type]


IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 4), np.uint8)
LABELS = np.arange(10) % 2


def saved(tmp_path: Path, compressed: bool = True, **arrays: object) -> Path:
    file = tmp_path / "arrays" / "set.npz"
    file.parent.mkdir(exist_ok=True)
    (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]
    return file


@pytest.mark.parametrize("compressed", [True, False])
def test_parts_labels_and_columns(tmp_path: Path, compressed: bool) -> None:
    file = saved(
        tmp_path,
        compressed,
        x_train=IMAGES[:6],
        y_train=LABELS[:6],
        patient_train=np.array(list("aabbcc")),
        x_valid=IMAGES[6:],
        y_valid=LABELS[6:].reshape(-1, 1),
        patient_valid=np.array(list("ccdd")),
        classes=np.array(["no", "yes", "unused"]),
        other=np.arange(3),
    )
    prepared = prepare(settings(file), seed=0)
    assert (prepared.images[..., 0] == IMAGES).all()
    assert prepared.labels.tolist() == LABELS.tolist()
    assert prepared.own_split is not None
    assert prepared.own_split.tolist() == [0] * 6 + [2] * 4  # its only held-out part is the test part
    assert list(prepared.columns) == ["patient"]
    assert prepared.columns["patient"].tolist() == [0, 0, 1, 1, 2, 2, 2, 2, 3, 3]
    assert prepare(settings(file.parent), seed=0).dir.name == prepared.dir.name


def test_other_kinds_of_pixels(tmp_path: Path) -> None:
    deep = np.array([0, 128, 129, 65535], np.uint16).reshape(1, 2, 2).repeat(10, 0)
    deep[1:] = np.random.default_rng(0).integers(0, 258, (9, 2, 2))  # copies cannot be split
    alpha = np.array([0, 0, 255, 51], np.uint8).reshape(1, 1, 1, 4).repeat(10, 0)
    alpha[1:] = np.arange(36).reshape(9, 1, 1, 4)
    cases = {
        "uint16": (deep, [[[0], [0]], [[1], [255]]]),
        "bool": (deep > 128, [[[0], [0]], [[255], [255]]]),
        "alpha": (alpha, [[[204, 204, 255]]]),
    }
    for name, (images, expected) in cases.items():
        file = saved(tmp_path, x=images, y=LABELS)
        prepared = prepare(settings(file, name=name, size=images.shape[1]), seed=0)
        assert prepared.images[0].tolist() == expected
        assert prepared.own_split is None


def test_names_for_labels(tmp_path: Path) -> None:
    file = saved(tmp_path, x=IMAGES, y=np.array(["dog", "cat"] * 5))
    prepared = prepare(settings(file), seed=0)
    assert prepared.classes == ["cat", "dog"]
    assert prepared.labels.tolist() == [1, 0] * 5


class Trap:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": IMAGES}, r"lacks y_train; it has x_train"),
        ({"a": IMAGES}, r"lacks x_train; it has a"),
        ({"x_test": IMAGES, "y_test": LABELS}, r"lacks x_train"),
        ({"x": IMAGES / 255, "y": LABELS}, r"x is float64; images must be uint8"),
        ({"x": np.asfortranarray(IMAGES), "y": LABELS}, r"x is uint8, column by column"),
        ({"x": np.zeros((10, 3, 8, 8), np.uint8), "y": LABELS}, r"x has the shape \(10, 3, 8, 8\); it must be"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, r"x is empty"),
        ({"x": IMAGES, "y": LABELS[:9]}, r"y has the shape \(9,\); 10 images need \(10,\)"),
        ({"x": IMAGES, "y": LABELS / 2}, r"labels of type float64"),
        ({"x": IMAGES, "y": LABELS, "classes": np.array(["a"])}, r"has the label 1, and `classes` names 0 to 0"),
        ({"x": IMAGES, "y": np.array([Trap()] * 10, object)}, r"Object arrays cannot be loaded"),
        ({"x": np.zeros((10, 300, 300), np.uint8), "y": LABELS}, r"x has images of 300x300, past data\.max_pixels"),
    ],
)
def test_arrays_that_cannot_be(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(settings(saved(tmp_path, **arrays), max_pixels=10_000), seed=0)
    assert not (tmp_path / "prepared").exists()


def test_a_damaged_file(tmp_path: Path) -> None:
    file = saved(tmp_path, x=IMAGES, y=LABELS)
    content = file.read_bytes()
    for k in range(0, len(content), 7):
        file.write_bytes(content[:k])
        with pytest.raises(InputError, match="is not a sound"):
            prepare(settings(file), seed=0)
    flipped = bytearray(content)
    flipped[200] ^= 0xFF
    file.write_bytes(flipped)
    with pytest.raises(InputError, match=r"is damaged|is cut short|is not a sound"):
        prepare(settings(file), seed=0)


def test_which_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"must hold one \.npz file; name the file itself \(there is none"):
        prepare(settings(tmp_path / "empty"), seed=0)
    with pytest.raises(InputError, match="no such file or folder"):
        prepare(settings(tmp_path / "nowhere"), seed=0)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_classes_do_not_name(tmp_path: Path, label: int) -> None:
    y = LABELS % 2
    y[0] = label
    np.savez(tmp_path / "set.npz", x=IMAGES, y=y, classes=["a", "b", "c"])
    with pytest.raises(InputError, match=f"has the label {label}, and `classes` names 0 to 2"):
        prepare(settings(tmp_path), seed=0)


def test_labels_that_are_no_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=IMAGES, y=np.where(LABELS == 0, np.nan, LABELS))
    with pytest.raises(InputError, match="labels of type float64; they must be whole numbers or names"):
        prepare(settings(tmp_path), seed=0)
