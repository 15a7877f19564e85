"""CIFAR in its three forms: the same pixels from each."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from pipeline.data import Data, declared, prepare
from pipeline.errors import InputError

RNG = np.random.default_rng(0)
# 8 images in each of 5 train files and 1 test file, [H, W, C], every class in turn
IMAGES = RNG.integers(0, 256, (48, 32, 32, 3), np.uint8)
LABELS = np.arange(48) % 10


def settings(root: Path, name: str = "cifar10", **fields: object) -> Data:
    return Data(
        source="cifar", name=name, root=str(root), size=32, prepared_dir=str(root.parent / "prepared"), **fields
    )  # type: ignore[arg-type]


def binaries(name: str) -> dict[str, bytes]:
    planes = IMAGES.transpose(0, 3, 1, 2).reshape(48, -1)
    coarse = [np.full((48, 1), 19, np.uint8)] if name == "cifar100" else []
    records = np.hstack([*coarse, LABELS[:, None].astype(np.uint8), planes])
    if name == "cifar100":
        return {"train.bin": records[:40].tobytes(), "test.bin": records[40:].tobytes()}
    files = {f"data_batch_{i + 1}.bin": records[8 * i : 8 * i + 8].tobytes() for i in range(5)}
    return files | {"test_batch.bin": records[40:].tobytes()}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("form", ["files", "folder", "archive", "parquet"])
def test_every_form_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    inner = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}[name]
    if form == "parquet":
        label = {"cifar10": "label", "cifar100": "fine_label"}[name]
        for part, mine in (("train", slice(0, 40)), ("test", slice(40, 48))):
            rows = []
            for image in IMAGES[mine]:
                file = io.BytesIO()
                Image.fromarray(image).save(file, "PNG")
                rows.append({"bytes": file.getvalue(), "path": None})
            (root / "plain_text").mkdir(exist_ok=True)
            table = pyarrow.table({"img": rows, label: LABELS[mine]})
            parquet.write_table(table, root / "plain_text" / f"{part}-00000-of-00001.parquet")
    elif form == "archive":
        with tarfile.open(
            root / f"{'cifar-10' if name == 'cifar10' else 'cifar-100'}-binary.tar.gz", "w:gz"
        ) as archive:
            for file_name, content in reversed(binaries(name).items()):
                member = tarfile.TarInfo(f"{inner}/{file_name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        folder = root / inner if form == "folder" else root
        folder.mkdir(exist_ok=True)
        for file_name, content in binaries(name).items():
            (folder / file_name).write_bytes(content)
    config = settings(root, name)
    known = declared(config)
    if name == "cifar100":  # 90 of its classes have no example here
        with pytest.raises(InputError, match="leave no training example of 90 of 100 classes: "):
            prepare(config, seed=0)
        assert not (tmp_path / "prepared").exists()
        monkeypatch.setattr("pipeline.data.splitting._check_classes", lambda *args: None)
    prepared = prepare(config, seed=0)
    assert known == (prepared.input_shape, len(prepared.classes))
    assert (prepared.images == IMAGES).all()
    assert prepared.labels.tolist() == LABELS.tolist()
    assert prepared.own_split is not None
    assert prepared.own_split.tolist() == [0] * 40 + [2] * 8
    assert prepared.classes[0] == {"cifar10": "airplane", "cifar100": "apple"}[name]
    assert len(set(prepared.classes)) == len(prepared.classes)


def test_files_that_are_cut_or_not_what_they_say(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    for name, content in binaries("cifar10").items():
        (root / name).write_bytes(content)
    (root / "data_batch_3.bin").write_bytes(binaries("cifar10")["data_batch_3.bin"][:-1])
    with pytest.raises(InputError, match=r"data_batch_3\.bin is cut short"):
        prepare(settings(root), seed=0)
    (root / "data_batch_3.bin").write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(InputError, match="holds the label 10"):
        prepare(settings(root), seed=0)
    (root / "data_batch_3.bin").unlink()
    (root / "cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b\x08\x00 no archive")
    with pytest.raises(InputError, match="cannot be read"):
        prepare(settings(root), seed=0)
    with pytest.raises(InputError, match=r"data\.name=cifar11: must be one of cifar10, cifar100"):
        prepare(settings(root, "cifar11"), seed=0)


def test_pickled_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    for i in range(1, 6):
        (root / f"data_batch_{i}").write_bytes(b"cos\nabort\n(tR.")
    monkeypatch.setattr(
        "pipeline.data.cifar.fetch",
        lambda published, names, folder: (_ for _ in ()).throw(InputError(f"lacks {names}")),
    )
    with pytest.raises(InputError, match="lacks"):
        prepare(settings(root), seed=0)
