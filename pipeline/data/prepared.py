"""The one prepared form: written once, atomically, and memory-mapped from then on.

    <prepared_dir>/<name>-<size>-<resize>-<key>/
        images.npy     uint8 [N, size, size, C]
        labels.npy     int64 [N]
        split.npy      int8 [N], only where the set has a split of its own: 0 train, 1 val, 2 test
        manifest.json  classes, counts, digest, the raw files, and the size of each file above

The key tells raw files, size and policy apart; the digest tells contents apart, wherever they came from.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from pipeline.data.config import Data
from pipeline.data.fetch import missing_folders, remove_empty
from pipeline.data.resize import fit
from pipeline.data.sources import SPLITS, Raw, existing_root, source_of
from pipeline.errors import InputError

FORMAT = 1  # raise it when what is written, or how it is resized, changes


@dataclass(frozen=True)
class Prepared:
    """A prepared set, open for reading."""

    dir: Path
    images: np.ndarray  # uint8 [N, H, W, C], memory-mapped
    labels: np.ndarray  # int64 [N], positions in `classes`
    classes: list[str]
    digest: str  # of images, labels, classes and own split; the same on every machine
    own_split: np.ndarray | None  # int8 [N], see sources.SPLITS
    manifest: dict[str, Any]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, height, width, channels = self.images.shape
        return channels, height, width


def prepare(config: Data, seed: int) -> Prepared:
    """Open the prepared form of `config`, made first unless it is there and whole.

    Safe to call from several processes at once, and after one was killed at any moment. `seed` is only
    checked: a set that it cannot split as configured is refused here, before anything is trained.
    InputError for a bad root, missing or malformed raw files, a split that is not possible, a full disk.
    """
    from pipeline.data.splitting import split  # which reads what is prepared here

    existing_root(config)
    source = source_of(config)
    files = source.find(config)
    directory = Path(config.prepared_dir) / _folder_name(config, files)
    if not _is_whole(directory):
        _make(config, files, directory)
    prepared = open_prepared(directory)
    split(prepared, config, seed)
    return prepared


def open_prepared(directory: Path | str) -> Prepared:
    """Open a prepared form by its folder. InputError where it is not there or not whole."""
    directory = Path(directory)
    if not _is_whole(directory):
        raise InputError(f"{directory}: is not a whole prepared set; `python -m pipeline.prepare` makes it.")
    manifest = json.loads((directory / "manifest.json").read_text())
    own_split = directory / "split.npy"
    return Prepared(
        dir=directory,
        images=np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False),
        labels=np.load(directory / "labels.npy", allow_pickle=False),
        classes=manifest["classes"],
        digest=manifest["digest"],
        own_split=np.load(own_split, allow_pickle=False) if "split.npy" in manifest["files"] else None,
        manifest=manifest,
    )


def _folder_name(config: Data, files: list[Path]) -> str:
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    identity = [FORMAT, config.source, config.name, config.size, config.resize, stats]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
    return f"{config.name}-{config.size}-{config.resize}-{key}"


def _is_whole(directory: Path) -> bool:
    """Whether every file is there with the size that the manifest, written last, gives it."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        sizes = manifest["files"].items()
        return manifest["format"] == FORMAT and all((directory / f).stat().st_size == size for f, size in sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _make(config: Data, files: list[Path], directory: Path) -> None:
    """Write the prepared form into a folder beside `directory`, then give it its name.

    Whatever goes wrong, nothing of it stays behind.
    """
    raw = source_of(config).read(config, files)
    parent = directory.parent
    _check_space(config, raw, parent)
    missing = missing_folders(parent)
    temporary = _temporary(directory)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent) as locked:
            if locked:  # then whoever left these is dead
                for leftover in parent.glob(f".*.{platform.node()}-*.tmp"):
                    shutil.rmtree(leftover, ignore_errors=True)
            if _is_whole(directory):  # made while we waited
                return
            temporary.mkdir(parents=True)
            _write(config, files, raw, temporary)
            _publish(temporary, directory)
    except OSError as error:
        raise InputError(f"data.prepared_dir={config.prepared_dir}: cannot be written ({error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        remove_empty(missing)


def _temporary(directory: Path) -> Path:
    # With the machine's name: a lock says nothing about work in progress on another one.
    return directory.with_name(f".{directory.name}.{platform.node()}-{secrets.token_hex(4)}.tmp")


def _check_space(config: Data, raw: Raw, parent: Path) -> None:
    needed = len(raw.labels) * (config.size**2 * raw.channels + 8)
    place = next(path for path in (parent.absolute(), *parent.absolute().parents) if os.path.exists(path))
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"data.size={config.size}: {len(raw.labels)} such images take {needed / 1e9:.1f} GB, and "
            f"data.prepared_dir={config.prepared_dir} has {free / 1e9:.1f} GB left."
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which the kernel frees with its holder; yield False where there are no locks.

    The lock spares a second process the work, and tells leftovers from work in progress. It is not what keeps
    the result sound: that is the rename, also on a network file system without locks.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: waiting for another process that prepares data", file=sys.stderr)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _write(config: Data, files: list[Path], raw: Raw, folder: Path) -> None:
    n = len(raw.labels)
    shape = [n, config.size, config.size, raw.channels]
    labels = np.ascontiguousarray(raw.labels, "<i8")
    digest = hashlib.sha256(json.dumps([shape, raw.classes, raw.own_split is not None]).encode())

    with (folder / "images.npy").open("xb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for block in raw.blocks:
            block = np.ascontiguousarray(fit(block, config.size, config.resize))
            file.write(block.data)
            digest.update(block.data)
            written += len(block)
        assert written == n, f"{config.source} gave {written} images and {n} labels"
        _sync(file)
    arrays = {"labels.npy": labels}
    if raw.own_split is not None:
        arrays["split.npy"] = np.ascontiguousarray(raw.own_split, np.int8)
    for name, array in arrays.items():
        digest.update(array.data)
        with (folder / name).open("xb") as file:
            np.save(file, array, allow_pickle=False)
            _sync(file)

    own = np.zeros(n, np.int8) if raw.own_split is None else raw.own_split
    part_names = ("all",) if raw.own_split is None else SPLITS
    manifest = {
        "format": FORMAT,
        "name": config.name,
        "source": config.source,
        "resize": config.resize,
        "shape": shape,
        "classes": raw.classes,
        "counts": {
            part: per_class(labels[own == code], raw.classes)
            for code, part in enumerate(part_names)
            if (own == code).any()
        },
        "digest": digest.hexdigest(),
        "raw": [_provenance(path) for path in files],
        "files": {name: (folder / name).stat().st_size for name in ("images.npy", *arrays)},
    }
    with (folder / "manifest.json").open("x") as file:
        json.dump(manifest, file, indent=1)
        _sync(file)
    _sync_folder(folder)


def per_class(labels: np.ndarray, classes: list[str]) -> dict[str, int]:
    """{class: number of labels}."""
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def _provenance(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    stat = path.stat()
    return {
        "path": str(path.resolve()),
        "sha256": sha256,
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
    }


def _publish(temporary: Path, directory: Path) -> None:
    """Give the finished folder its name. Where another process was first with a whole one, leave that."""
    for _ in range(5):  # tries: without locks, someone else may be replacing it as well
        try:
            os.rename(temporary, directory)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if _is_whole(directory):
            return
        # A damaged one is in the way. Readers that have it open keep what they have.
        aside = _temporary(directory)
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, aside)
            shutil.rmtree(aside, ignore_errors=True)
    else:
        raise FileExistsError(errno.EEXIST, "in use by other processes", str(directory))
    _sync_folder(directory.parent)


def _sync(file: BinaryIO | TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
