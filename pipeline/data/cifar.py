"""CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html), in any of three forms; never pickled.

| in data.root                                  |                                                                 |
|-----------------------------------------------|-----------------------------------------------------------------|
| cifar-10-binary.tar.gz                        | as published, read as it is; downloaded where nothing is there  |
| data_batch_1.bin, ..., or train.bin           | the same unpacked, also in the folder that the archive makes    |
| train*.parquet, test*.parquet                 | Hugging Face's form: images in columns of encoded bytes         |

A binary record is one label byte (two in CIFAR-100: coarse, fine), then 3,072 bytes of red, green, blue planes.
"""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from pipeline.data.config import Data
from pipeline.data.fetch import Published, fetch
from pipeline.data.photos import photos_of
from pipeline.data.raw import TEST, TRAIN, Photo, Raw, Refused
from pipeline.data.roots import existing_root
from pipeline.errors import InputError, one_of

URL = "https://www.cs.toronto.edu/~kriz/"
PUBLISHED = {
    "cifar10": Published(
        URL, {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}
    ),
    "cifar100": Published(
        URL, {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}
    ),
}
TRAIN_FILES = {"cifar10": [f"data_batch_{i}.bin" for i in range(1, 6)], "cifar100": ["train.bin"]}
TEST_FILES = {"cifar10": ["test_batch.bin"], "cifar100": ["test.bin"]}
FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
_NAMES_100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CLASSES: dict[str, list[str]] = {
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    "cifar100": _NAMES_100.split(),
}
KNOWN = {name: (3, len(classes)) for name, classes in CLASSES.items()}

PIXELS = 3 * 32 * 32
BLOCK = 1024


def find(config: Data) -> list[Path]:
    """The files of the first form that is whole. InputError where none is, and none can be had."""
    one_of("data.name", config.name, CLASSES)
    root = existing_root(config) or Path("raw") / config.name
    (archive,) = PUBLISHED[config.name].sha256
    binaries = TRAIN_FILES[config.name] + TEST_FILES[config.name]
    for folder in (root, root / FOLDERS[config.name]):
        if all((folder / name).is_file() for name in binaries):
            return [folder / name for name in binaries]
    if (root / archive).is_file():
        return [root / archive]
    parquet = [sorted(root.rglob(f"{part}*.parquet")) for part in ("train", "test")]
    if all(parquet):
        return parquet[0] + parquet[1]
    fetch(PUBLISHED[config.name], [archive], root)
    return [root / archive]


def read(config: Data, files: list[Path]) -> Raw:
    """Train images, then test images. InputError names the file that is malformed."""
    if files[0].suffix == ".parquet":
        return _parquet(config, files)
    try:
        contents = _unpacked(config, files[0]) if files[0].suffix == ".gz" else [file.read_bytes() for file in files]
    except (OSError, tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise InputError(f"{files[0]}: cannot be read ({error}). Fetch it again.") from error
    header = 1 if config.name == "cifar10" else 2
    names = TRAIN_FILES[config.name] + TEST_FILES[config.name]
    records = []
    for name, content in zip(names, contents, strict=True):
        if not content or len(content) % (header + PIXELS):
            raise InputError(f"{files[0].parent}: {name} is cut short: it has {len(content)} bytes.")
        records.append(np.frombuffer(content, np.uint8).reshape(-1, header + PIXELS))
    labels = np.concatenate([each[:, header - 1] for each in records]).astype(np.int64)
    if labels.max() >= len(CLASSES[config.name]):
        raise InputError(f"{files[0]}: holds the label {labels.max()}, which {config.name} has not.")
    tests = len(TEST_FILES[config.name])
    return Raw(
        blocks=_blocks(records, header),
        channels=3,
        labels=labels,
        classes=CLASSES[config.name],
        own_split=_split(sum(map(len, records[:-tests])), sum(map(len, records[-tests:]))),
    )


def _split(train: int, test: int) -> np.ndarray:
    return np.repeat(np.array([TRAIN, TEST], np.int8), [train, test])


def _unpacked(config: Data, archive: Path) -> list[bytes]:
    with tarfile.open(archive) as members:
        names = [f"{FOLDERS[config.name]}/{n}" for n in TRAIN_FILES[config.name] + TEST_FILES[config.name]]
        found = {}
        for member in members:  # forwards: seeking back would unzip it anew
            if member.name in names and member.isreg() and member.size <= 200 << 20:
                file = members.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
        return [found[name] for name in names]


def _blocks(records: list[np.ndarray], header: int) -> Iterator[np.ndarray]:
    for each in records:
        for start in range(0, len(each), BLOCK):
            planes = each[start : start + BLOCK, header:].reshape(-1, 3, 32, 32)
            yield planes.transpose(0, 2, 3, 1)


def _parquet(config: Data, files: list[Path]) -> Raw:
    import pyarrow
    from pyarrow import parquet

    labels, counts = [], {TRAIN: 0, TEST: 0}
    for file in files:
        try:
            columns = parquet.read_schema(file).names
            image = next((name for name in ("img", "image") if name in columns), None)
            label = next((name for name in ("fine_label", "label") if name in columns), None)
            if image is None or label is None:
                raise InputError(f"{file}: lacks img or label; it has {', '.join(columns)}.")
            values = parquet.read_table(file, columns=[label])[label].to_numpy()
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{file}: cannot be read as parquet ({error}).") from error
        if not len(values) or values.min() < 0 or values.max() >= len(CLASSES[config.name]):
            raise InputError(f"{file}: its column {label} does not hold labels 0 to {len(CLASSES[config.name]) - 1}.")
        labels.append(values.astype(np.int64))
        counts[TRAIN if file.name.startswith("train") else TEST] += len(values)

    def encoded() -> Iterator[bytes]:
        for file in files:
            with parquet.ParquetFile(file) as opened:
                column = next(name for name in ("img", "image") if name in opened.schema_arrow.names)
                for batch in opened.iter_batches(BLOCK, columns=[column]):
                    for value in batch.column(0).to_pylist():
                        yield cast(bytes, (value["bytes"] if isinstance(value, dict) else value) or b"")

    def blocks() -> Iterator[np.ndarray | Photo | Refused]:
        for one in photos_of(encoded(), config.size, config.resize, config.max_pixels):
            if isinstance(one, Photo) and one.image.shape[2] == 1:
                one.image = np.repeat(one.image, 3, axis=2)
            yield one

    return Raw(
        blocks=blocks(),
        channels=3,
        labels=np.concatenate(labels),
        classes=CLASSES[config.name],
        own_split=_split(counts[TRAIN], counts[TEST]),
    )
