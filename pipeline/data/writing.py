"""The files of a prepared form, written into a folder of their own; see prepared.py for what they are."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from pipeline import folders
from pipeline.data.config import Data
from pipeline.data.messy import spoil
from pipeline.data.pixels import Pixels, stream
from pipeline.data.prepared import FORMAT, per_class
from pipeline.data.progress import progress
from pipeline.data.raw import SPLITS, Photo, Raw, Refused, printable
from pipeline.data.resize import fit_box
from pipeline.data.soundness import seal
from pipeline.errors import InputError
from pipeline.folders import sha256


@dataclass(frozen=True)
class Images:
    """What was met while images.npy was written."""

    kept: np.ndarray  # int64: which of the raw examples are in it
    refused: list[dict[str, str]]  # path and reason of the others
    sizes: Counter[tuple[int, int]]  # height and width, as they were
    boxes: np.ndarray | None  # float32 [raw examples, 4] on the square


@dataclass(frozen=True)
class Examples:
    """What is known of each example that is kept, beside its image."""

    labels: np.ndarray
    classes: list[str]
    lost: list[dict[str, str]]  # path and reason of classes without an image
    own_split: np.ndarray | None
    arrays: dict[str, np.ndarray]  # by file
    texts: dict[str, Any]  # by file


def write_prepared(config: Data, files: list[Path], raw: Raw, folder: Path) -> None:
    """Write everything into `folder`, which is empty; the manifest last. InputError where no image can be used."""
    images = _write_images(config, raw, folder)
    hashes = hash_images(stream(folder / "images.npy"))
    examples = _examples_of(raw, images, hashes)
    if config.messy:
        _make_messy(config, examples.own_split, folder)
    for name, array in examples.arrays.items():
        with (folder / name).open("xb") as file:
            np.save(file, array, allow_pickle=False)
            _sync(file)
    for name, text in examples.texts.items():
        with (folder / name).open("x") as file:
            json.dump(text, file)
            _sync(file)
    manifest = _manifest_of(config, files, raw, images, examples, folder)
    with (folder / "manifest.json").open("x") as file:
        json.dump(manifest, file, indent=1)
        _sync(file)
    folders.sync(folder)


def _examples_of(raw: Raw, images: Images, hashes: np.ndarray) -> Examples:
    kept = images.kept
    own_split = None if raw.own_split is None else raw.own_split[kept]
    labels, classes, lost = _without_lost_classes(raw, raw.labels[kept])
    arrays = {"labels.npy": np.ascontiguousarray(labels, "<i8"), "hashes.npy": hashes}
    texts: dict[str, Any] = {}
    if own_split is not None:
        arrays["split.npy"] = np.ascontiguousarray(own_split, np.int8)
    if raw.columns:
        values, codes = zip(
            *(_coded([column[i] for i in kept.tolist()]) for column in raw.columns.values()), strict=True
        )
        arrays["groups.npy"] = np.stack(codes)
        texts["groups.json"] = dict(zip(raw.columns, values, strict=True))
    if images.boxes is not None:
        arrays["boxes.npy"] = np.ascontiguousarray(images.boxes[kept], "<f4")
    if raw.words is not None:
        texts["words.json"] = raw.words
    if raw.paths is not None:
        texts["paths.json"] = [printable(raw.paths[i]) for i in kept.tolist()]
    return Examples(labels, classes, lost, own_split, arrays, texts)


def _manifest_of(
    config: Data, files: list[Path], raw: Raw, images: Images, examples: Examples, folder: Path
) -> dict[str, Any]:
    shape = list(np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False).shape)
    labels, classes, own_split = examples.labels, examples.classes, examples.own_split
    digest, brightest = _read_back(shape, examples, folder)
    part_of = np.zeros(shape[0], np.int8) if own_split is None else own_split
    part_names = ("all",) if own_split is None else SPLITS
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": config.name,
        "source": config.source,
        "kind": config.kind.name,
        "resize": config.resize,
        "messy": config.messy,
        "messy_seed": config.messy_seed,
        "shape": shape,
        "classes": classes,
        "counts": {
            part: per_class(labels[part_of == code], classes)
            for code, part in enumerate(part_names)
            if (part_of == code).any()
        },
        "columns": list(raw.columns),
        "sizes": _sizes(images.sizes),
        "quarantined": [*raw.quarantined, *images.refused, *examples.lost],
        "brightest": brightest,
        "digest": digest,
        "raw": _provenance_of(config, files, raw),
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())
        },
    }
    return manifest | {"seal": seal(manifest)}


def _read_back(shape: list[int], examples: Examples, folder: Path) -> tuple[str, int]:
    """What tells contents apart, the same on every machine and wherever the raw files came from; the greatest value."""
    brightest = 0
    digest = hashlib.sha256(json.dumps([shape, examples.classes, examples.own_split is not None]).encode())
    for _, lot in stream(folder / "images.npy"):
        digest.update(lot.data)
        brightest = max(brightest, int(lot.max()))
    for name in ("labels.npy", "split.npy", "groups.npy", "boxes.npy"):
        if name in examples.arrays:
            digest.update(examples.arrays[name].data)
    for name in ("groups.json", "words.json"):
        if name in examples.texts:
            digest.update(json.dumps(examples.texts[name]).encode())
    return digest.hexdigest(), brightest


def _write_images(config: Data, raw: Raw, folder: Path) -> Images:
    n, done = len(raw.labels), 0
    kept = np.ones(n, bool)
    refused = []
    sizes: Counter[tuple[int, int]] = Counter()
    boxes = None if raw.boxes is None else np.full((n, 4), np.nan, np.float32)
    kind = config.kind
    with (
        Pixels(folder / "images.npy", kind.example_shape(config.size), raw.channels, kind.dtype) as pixels,
        progress(config.name, n) as show,
    ):
        for block in raw.blocks:
            if isinstance(block, Refused):
                kept[done] = False
                path = printable(raw.paths[done]) if raw.paths else f"example {done}"
                refused.append({"path": path, "reason": block.reason})
                count = 1
            else:
                if isinstance(block, Photo):
                    squares, height, width = block.image[None], block.height, block.width
                else:
                    squares, (height, width) = kind.fit(block, config), block.shape[1:3]
                pixels.write(squares)
                count = len(squares)
                sizes[height, width] += count
                if raw.boxes is not None and boxes is not None:
                    for i in range(done, done + count):
                        boxes[i] = fit_box(raw.boxes[i], height, width, config.size, config.resize)
            done += count
            show(done)
        pixels.close()
    assert done == n, f"{config.source} gave {done} images and {n} labels"
    if not kept.any():
        first = "; ".join(f"{one['path']}: {one['reason']}" for one in refused[:3])
        raise InputError(f"data.root={config.root}: not one of {n} {kind.noun}s can be used ({first}).")
    return Images(np.flatnonzero(kept), refused, sizes, boxes)


def _without_lost_classes(raw: Raw, labels: np.ndarray) -> tuple[np.ndarray, list[str], list[dict[str, str]]]:
    """Labels and classes without the classes that were refused to the last image, and these."""
    counts = np.bincount(labels, minlength=len(raw.classes))
    before = np.bincount(raw.labels, minlength=len(raw.classes))
    gone = (counts == 0) & (before > 0)
    lost = [
        {"path": name, "reason": "a class without one image that can be used"}
        for name, is_gone in zip(raw.classes, gone, strict=True)
        if is_gone
    ]
    number = np.cumsum(~gone) - 1
    return number[labels], [name for name, is_gone in zip(raw.classes, gone, strict=True) if not is_gone], lost


def hash_images(lots: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """uint64 [N]: equal where images are, to the last bit."""
    found = (hashlib.blake2b(image.data, digest_size=8).digest() for _, images in lots for image in images)
    return np.frombuffer(b"".join(found), "<u8")


def _make_messy(config: Data, own_split: np.ndarray | None, folder: Path) -> None:
    os.rename(folder / "images.npy", folder / "clean.npy")
    clean = np.load(folder / "clean.npy", mmap_mode="r", allow_pickle=False)
    parts = np.zeros(len(clean), np.int8) if own_split is None else own_split
    with (
        Pixels(folder / "images.npy", config.kind.example_shape(config.size), clean.shape[3]) as pixels,
        progress(f"{config.name}, messy", len(clean)) as show,
    ):
        for block in spoil(folder / "clean.npy", parts, config.messy, config.messy_seed):
            pixels.write(block)
            show(pixels.n)
        pixels.close()
    (folder / "clean.npy").unlink()


def _coded(values: list[str]) -> tuple[list[str], np.ndarray]:
    """The distinct values, and the place of each example's among them; -1 for an empty one."""
    distinct = sorted(set(values) - {""})
    number = {value: i for i, value in enumerate(distinct)} | {"": -1}
    return distinct, np.array([number[value] for value in values], "<i4")


def _sizes(sizes: Counter[tuple[int, int]]) -> dict[str, Any]:
    """What sizes the images had, [height, width]."""
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "distinct": len(sizes),
        "smallest": list(by_area[0]),
        "largest": list(by_area[-1]),
        "common": [[*size, count] for size, count in sizes.most_common(10)],
    }


def _provenance_of(config: Data, files: list[Path], raw: Raw) -> list[dict[str, Any]]:
    """Each file; or where each example is one, all of them in a line."""
    if raw.paths is None:
        return [_provenance(path) for path in files]
    regular = [path.stat() for path in files if os.path.isfile(path)]  # Path.is_file raises on odd names
    return [
        {
            "path": os.path.realpath(config.root or "."),
            "files": len(files),
            "bytes": sum(stat.st_size for stat in regular),
            "mtime_ns": max((stat.st_mtime_ns for stat in regular), default=0),
        }
    ]


def _provenance(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {
        "path": str(path.resolve()),
        "sha256": sha256(path),
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
    }


def _sync(file: BinaryIO | TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())
