import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import Data, prepare, split
from pipeline.errors import InputError


def config(folder: Path, **fields: object) -> Data:
    keys = {"size": 8, "resize": "pad", "prepared_dir": str(folder.parent / "prepared"), **fields}
    return Data(source="idx", name=str(keys.pop("name", "idx")), root=str(folder), **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("zipped", [True, False])
def test_pixels_labels_and_own_split_arrive(idx_folder: Callable[..., Path], zipped: bool) -> None:
    folder = idx_folder(zipped=zipped)
    prepared = prepare(config(folder), seed=0)
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 256, (60, 6, 5)), rng.integers(0, 256, (20, 6, 5))
    assert prepared.images.shape == (80, 8, 8, 1)
    assert (prepared.images[:60, 1:7, 1:6, 0] == train).all()
    assert (prepared.images[60:, 1:7, 1:6, 0] == test).all()
    assert prepared.images.sum() == train.sum() + test.sum()
    assert prepared.labels.tolist() == [*range(10)] * 8
    assert prepared.classes == [str(k) for k in range(10)]
    assert prepared.input_shape == (1, 8, 8)
    assert prepared.manifest["counts"] == {
        "train": {str(k): 6 for k in range(10)},
        "test": {str(k): 2 for k in range(10)},
    }
    assert split(prepared, config(folder), 0)["test"].tolist() == [*range(60, 80)]


def test_labels_need_not_start_at_zero(idx_folder: Callable[..., Path]) -> None:
    prepared = prepare(config(idx_folder(first_label=3)), seed=0)
    assert prepared.classes == [str(k) for k in range(3, 13)]
    assert prepared.labels.tolist() == [*range(10)] * 8


def test_fashion_mnist_calls_its_classes_by_name(idx_folder: Callable[..., Path]) -> None:
    assert prepare(config(idx_folder(), name="fashion_mnist"), seed=0).classes[9] == "Ankle boot"


def test_a_label_beyond_the_known_classes(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder(first_label=1)
    with pytest.raises(InputError) as error:
        prepare(config(folder, name="fashion_mnist"), seed=0)
    assert str(error.value) == f"{folder}: holds label 10, data.name=fashion_mnist has 0 to 9."


def damage_header(content: bytes, position: int, value: bytes) -> bytes:
    content = gzip.decompress(content)
    return gzip.compress(content[:position] + value + content[position + len(value) :])


HUGE = struct.pack(">I", 2**32 - 1)
DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "empty": ("train-images-idx3-ubyte.gz", lambda c: b"", "is cut short. Fetch it again."),
    "no gzip": ("train-images-idx3-ubyte.gz", lambda c: b"<html>404</html>", "is not a sound gzip file"),
    "gzip cut": ("train-images-idx3-ubyte.gz", lambda c: c[: len(c) // 2], "is cut short. Fetch it again."),
    "gzip flipped": (
        "train-images-idx3-ubyte.gz",
        lambda c: c[:-8] + bytes([c[-8] ^ 1]) + c[-7:],
        "is not a sound gzip file (CRC check failed",
    ),
    "header cut": (
        "t10k-images-idx3-ubyte.gz",
        lambda c: gzip.compress(gzip.decompress(c)[:9]),
        "is cut short.",
    ),
    "magic": (
        "t10k-labels-idx1-ubyte.gz",
        lambda c: damage_header(c, 0, b"\x01"),
        "is not an IDX file of bytes in 1 dimensions: it starts with 01000801, not 00000801.",
    ),
    "floats": (
        "train-images-idx3-ubyte.gz",
        lambda c: damage_header(c, 2, b"\x0d"),
        "it starts with 00000d03, not",
    ),
    "labels as images": (
        "train-images-idx3-ubyte.gz",
        lambda c: damage_header(c, 3, b"\x01"),
        "00000801, not 00000803",
    ),
    "values cut": (
        "train-images-idx3-ubyte.gz",
        lambda c: gzip.compress(gzip.decompress(c)[:-1]),
        "is cut short: 1799 of the 1800 values of shape [60, 6, 5].",
    ),
    "values left": (
        "train-images-idx3-ubyte.gz",
        lambda c: gzip.compress(gzip.decompress(c) + b"\x00"),
        "goes on after the 1800 values of its shape [60, 6, 5].",
    ),
    "count": (
        "train-labels-idx1-ubyte.gz",
        lambda c: gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 59) + bytes(59)),
        "holds 59 labels, train-images-idx3-ubyte.gz has 60 images.",
    ),
    "no images": (
        "train-images-idx3-ubyte.gz",
        lambda c: damage_header(c, 4, bytes(4)),
        "is empty, its shape is [0, 6,",
    ),
    "more than memory": (
        "train-images-idx3-ubyte.gz",
        lambda c: damage_header(c, 4, HUGE * 3),
        "is cut short: it is too small for its shape [4294967295, 4294967295, 4294967295].",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_malformed_file_is_named_and_leaves_nothing(idx_folder: Callable[..., Path], damage: str) -> None:
    folder = idx_folder()
    name, change, message = DAMAGE[damage]
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(InputError) as error:
        prepare(config(folder), seed=0)
    assert str(error.value).startswith(f"{folder / name}: ")
    assert message in str(error.value)
    assert not (folder.parent / "prepared").exists()


def test_a_class_only_in_the_test_part(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    labels = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 60) + bytes([*range(9), 0] * 6))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(InputError, match="leave no training example of 1 of 10 classes: 9"):
        prepare(config(folder), seed=0)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data\.root=/nowhere: no such folder\.$"):
        prepare(config(Path("/nowhere"), prepared_dir=str(tmp_path / "prepared")), seed=0)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"data\.root=.*file: is a file, not a folder\.$"):
        prepare(config(tmp_path / "file", prepared_dir=str(tmp_path / "prepared")), seed=0)
    assert not (tmp_path / "prepared").exists()


def test_missing_files_of_a_set_without_a_publisher(idx_folder: Callable[..., Path]) -> None:
    folder = idx_folder()
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError) as error:
        prepare(config(folder), seed=0)
    assert str(error.value).startswith(f"data.root={folder}: lacks t10k-labels-idx1-ubyte.gz (with or without .gz).")
