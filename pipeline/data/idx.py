"""The IDX family: MNIST, Fashion-MNIST and whatever comes as the same four files, gzipped or plain.

The format is at the end of http://yann.lecun.com/exdb/mnist: two zero bytes, a type code, the number of
dimensions, each dimension as a big-endian int32, then the values. Train and test are the set's own split.
"""

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from pipeline.data.config import Data
from pipeline.data.fetch import Published, fetch
from pipeline.data.raw import TEST, TRAIN, Raw
from pipeline.data.roots import existing_root
from pipeline.errors import InputError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

PUBLISHED = {
    "mnist": Published(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    # Its publisher serves no https; the checksum stands in for it.
    "fashion_mnist": Published(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}

# Sets not named here call their classes by their label's number.
CLASSES = {
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ),
}  # fmt: skip

KNOWN = {name: (1, 10) for name in PUBLISHED}  # channels, classes

BLOCK = 4096  # images resized at a time: 4 MB of 32x32


def find(config: Data) -> list[Path]:
    """The four files, in the order of FILES, downloaded where they are missing and a publisher is known.

    InputError where the folder does not exist, or where files are missing and cannot be had.
    """
    root = existing_root(config) or Path("raw") / config.name
    missing = [name for name in FILES if _file(root, name) is None]
    if missing:
        wanted = [f"{name}.gz" for name in missing]
        if config.name not in PUBLISHED:
            raise InputError(
                f"data.root={root}: lacks {', '.join(wanted)} (with or without .gz). "
                f"Put them there, or name the folder that has them: data.root=FOLDER."
            )
        fetch(PUBLISHED[config.name], wanted, root)
    files = [_file(root, name) for name in FILES]
    assert all(files), files
    return cast(list[Path], files)


def _file(root: Path, name: str) -> Path | None:
    # The gzipped one first: its checksum is verified as it is read.
    return next((path for path in (root / f"{name}.gz", root / name) if os.path.isfile(path)), None)


def read(config: Data, files: list[Path]) -> Raw:
    """Train images, then test images, [H, W, 1]. InputError names the file that is malformed."""
    parts = []
    for images_file, labels_file in (files[:2], files[2:]):
        images = read_idx(images_file, dimensions=3)
        labels = read_idx(labels_file, dimensions=1)
        if len(images) != len(labels):
            raise InputError(f"{labels_file}: holds {len(labels)} labels, {images_file.name} has {len(images)} images.")
        parts.append((images, labels))
    (train_images, train_labels), (test_images, test_labels) = parts

    # Labels need not start at 0 nor be without gaps: EMNIST's letters are 1..26.
    values, labels = np.unique(np.concatenate([train_labels, test_labels]), return_inverse=True)
    names = CLASSES.get(config.name, tuple(str(value) for value in range(256)))
    if values[-1] >= len(names):
        raise InputError(
            f"{files[1].parent}: holds label {values[-1]}, data.name={config.name} has 0 to {len(names) - 1}."
        )
    return Raw(
        blocks=_blocks(train_images, test_images),
        channels=1,
        labels=labels.astype(np.int64),
        classes=[names[value] for value in values],
        own_split=np.repeat(np.array([TRAIN, TEST], np.int8), [len(train_labels), len(test_labels)]),
    )


def _blocks(*arrays: np.ndarray) -> Iterator[np.ndarray]:
    for array in arrays:
        for start in range(0, len(array), BLOCK):
            yield array[start : start + BLOCK, :, :, None]


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of one IDX file, with so many dimensions. InputError where the file says otherwise."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return _parse(path, cast(BinaryIO, file), dimensions)
        with path.open("rb") as file:
            return _parse(path, file, dimensions)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: is not a sound gzip file ({error}). Fetch it again.") from error
    except EOFError as error:
        raise InputError(f"{path}: is cut short. Fetch it again.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _parse(path: Path, file: BinaryIO, dimensions: int) -> np.ndarray:
    header_bytes = 4 + 4 * dimensions
    header = file.read(header_bytes)
    expected = bytes([0, 0, 0x08, dimensions])
    if header[:4] != expected[: len(header)]:
        raise InputError(
            f"{path}: is not an IDX file of bytes in {dimensions} dimensions: "
            f"it starts with {header[:4].hex()}, not {expected.hex()}."
        )
    if len(header) < header_bytes:
        raise InputError(f"{path}: is cut short. Fetch it again.")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        raise InputError(f"{path}: is empty, its shape is {list(shape)}.")

    # No header makes us ask for more memory than the file could fill: deflate packs at most 1032 to 1.
    count = math.prod(shape)
    if count > 1032 * path.stat().st_size:
        raise InputError(f"{path}: is cut short: it is too small for its shape {list(shape)}. Fetch it again.")
    values = np.empty(count, np.uint8)
    view, got = values.data, 0
    while got < count and (more := cast(int, file.readinto(view[got:]))):  # type: ignore[attr-defined]
        got += more
    if got < count:
        raise InputError(f"{path}: is cut short: {got} of the {count} values of shape {list(shape)}. Fetch it again.")
    if file.read(1):
        raise InputError(f"{path}: goes on after the {count} values of its shape {list(shape)}.")
    return values.reshape(shape)
