"""The one prepared form: written once, atomically, and memory-mapped from then on.

    <prepared_dir>/<name>-<size>-<resize>-<key>/
        images.npy     uint8 [N, size, size, C]
        labels.npy     int64 [N]
        same.npy       int64 [N]: the first example whose image is the same to the last bit, before it was made messy
        split.npy      int8 [N], only where the set has a split of its own: 0 train, 1 val, 2 test
        groups.npy     int32 [columns, N], only where more is known of an example: positions in groups.json, -1: none
        groups.json    {column: [value, ...]}
        boxes.npy      float32 [N, 4], only where there are boxes: xmin, ymin, xmax, ymax on the square, NaN: none
        paths.json     [N], only where each example is a file
        manifest.json  classes, counts, digest, the raw files, what was put aside, size and hash of each file above, and
                       a hash of all this
        card-*.html    all of it for people, for each way to split it that was looked at
        checked.json   the files' times when their content was last compared with the manifest

The key tells raw files, size and policy apart; the digest tells contents apart, wherever they came from.

Content is compared with the manifest once in a command: hashing takes about a second per GB. The processes that
a command starts (a launcher's, those of a distributed run) take files for what the command found them to be, as long
as size, inode and the times of the last change are those in checked.json; a file's ctime cannot be set back.
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
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from pipeline import folders, terminal
from pipeline.data.config import Data
from pipeline.data.messy import messy
from pipeline.data.pixels import Pixels, stream
from pipeline.data.progress import progress
from pipeline.data.resize import fit, fit_box
from pipeline.data.sources import SPLITS, Photo, Raw, Refused, shown, source_of
from pipeline.errors import InputError

FORMAT = 3  # raise it when what is written, or how it is resized, changes


@dataclass(frozen=True)
class Prepared:
    """A prepared set, open for reading."""

    dir: Path
    images: np.ndarray  # uint8 [N, H, W, C], memory-mapped
    labels: np.ndarray  # int64 [N], positions in `classes`; -1: of no class that is used, see halves.py
    classes: list[str]
    digest: str  # of images, labels, classes and own split; the same on every machine
    own_split: np.ndarray | None  # int8 [N], see sources.SPLITS
    manifest: dict[str, Any]
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # name: int32 [N], positions in its values
    boxes: np.ndarray | None = None  # float32 [N, 4] on the square, NaN where an example has none
    same: np.ndarray | None = None  # int64 [N]: the first example with the same image

    @property
    def paths(self) -> list[str] | None:
        """The file of each example below data.root; None where examples are not files."""
        written = "paths.json" in self.manifest.get("files", ())
        return json.loads((self.dir / "paths.json").read_text()) if written else None

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
    from pipeline.data.report import warn  # which reads what is prepared here
    from pipeline.data.splitting import split

    source = source_of(config)
    files = source.find(config)
    directory = Path(config.prepared_dir) / _folder_name(config, files)
    if not (is_whole(directory) and _is_sound(directory, say=True)):
        _make(config, files, directory, seed)
    prepared = open_prepared(directory, config, seed)
    warn(prepared, config, split(prepared, config, seed))
    return prepared


def open_prepared(directory: Path | str, config: Data, seed: int) -> Prepared:
    """Open a prepared form by its folder, as a run sees it. InputError where it is not there whole, as it was made."""
    directory = Path(directory)
    if not (is_whole(directory) and _is_sound(directory)):
        raise InputError(f"{directory}: is not a whole prepared set; `python -m pipeline.prepare` makes it.")
    return _open(directory, config, seed)


def _open(directory: Path, config: Data, seed: int) -> Prepared:
    from pipeline.data.halves import of_half  # which reads what is prepared here

    manifest = json.loads((directory / "manifest.json").read_text())

    def array(name: str) -> np.ndarray | None:
        return np.load(directory / name, allow_pickle=False) if name in manifest["files"] else None

    labels, same, groups = array("labels.npy"), array("same.npy"), array("groups.npy")
    assert labels is not None
    whole = Prepared(
        dir=directory,
        images=np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False),
        labels=labels,
        classes=manifest["classes"],
        digest=manifest["digest"],
        own_split=array("split.npy"),
        manifest=manifest,
        columns={} if groups is None else dict(zip(manifest["columns"], groups, strict=True)),
        boxes=array("boxes.npy"),
        same=same,
    )
    return of_half(whole, config, seed)


def _folder_name(config: Data, files: list[Path]) -> str:
    more: list[Any] = [config.messy, config.messy_seed] if config.messy else []
    more += [config.columns] if config.columns else []
    identity = [FORMAT, config.source, config.name, config.size, config.resize, config.max_pixels, *more]
    key = hashlib.sha256(json.dumps(identity).encode())
    real: dict[Path, str] = {}  # a set may have a million files, and few folders
    for path in files:
        folder = real.get(path.parent) or real.setdefault(path.parent, os.path.realpath(path.parent))
        try:
            stat = path.stat()
        except OSError:  # a link to nothing is told apart as well; that it cannot be used is found when it is read
            key.update(json.dumps([folder, path.name]).encode())
        else:
            key.update(json.dumps([folder, path.name, stat.st_size, stat.st_mtime_ns]).encode())
    policy = f"{config.resize}-messy{config.messy:g}" if config.messy else config.resize
    return f"{config.name}-{config.size}-{policy}-{key.hexdigest()[:8]}"


def is_whole(directory: Path) -> bool:
    """Whether every file is there with the size that the manifest, written last, gives it."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        sizes = [((directory / f).stat().st_size, written["bytes"]) for f, written in manifest["files"].items()]
        return manifest["format"] == FORMAT and all(is_ == was for is_, was in sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


_checked: dict[str, dict[str, list[int]]] = {}  # folder: its files' states when this process found them sound
_trusts_command = False


def trust_command() -> None:
    """This process works for a command, which has compared the content of prepared sets just now."""
    global _trusts_command
    _trusts_command = True


def _is_sound(directory: Path, say: bool = False) -> bool:
    """Whether a form that is whole holds what its manifest says, bit by bit. Looked at once in a command.

    `say` tells, on standard error, what does not.
    """
    key = os.path.realpath(directory)
    stamp = directory / "checked.json"
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        states = {name: _state(directory / name) for name in ("manifest.json", *manifest["files"])}
        if _checked.get(key) == states:
            return True
        known = _read(stamp)
        if not (_trusts_command and known == states):
            if damaged := _damaged(directory, manifest):
                if say:
                    terminal.say(f"{directory / damaged}: is not what was written there; the set is made anew")
                return False
            if known != states:
                # Where it cannot be written, the next process looks for itself.
                with contextlib.suppress(OSError), folders.replacing(stamp) as file:
                    file.write(json.dumps(states).encode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # replaced by another process meanwhile
        return False
    _checked[key] = states
    return True


def _state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _damaged(directory: Path, manifest: dict[str, Any]) -> str | None:
    """The first file whose content is not what the manifest says; the manifest, where it is not as it was written."""
    if manifest.pop("seal") != _seal(manifest):
        return "manifest.json"
    return next((f for f, written in manifest["files"].items() if _sha256(directory / f) != written["sha256"]), None)


def _seal(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(config: Data, files: list[Path], directory: Path, seed: int) -> None:
    """Write the prepared form into a folder beside `directory`, then give it its name.

    Whatever goes wrong, nothing of it stays behind; also where it cannot be split as configured.
    """
    from pipeline.data.splitting import split  # which reads what is prepared here

    raw = source_of(config).read(config, files)
    parent = directory.parent
    _check_space(config, raw, parent)
    missing = folders.missing(parent)
    temporary = _temporary(directory)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent) as locked:
            if locked:  # then whoever left these is dead
                for leftover in parent.glob(f".*.{platform.node()}-*.tmp"):
                    shutil.rmtree(leftover, ignore_errors=True)
            if is_whole(directory) and _is_sound(directory):  # made while we waited
                return
            temporary.mkdir(parents=True)
            _write(config, files, raw, temporary)
            split(_open(temporary, config, seed), config, seed)
            _publish(temporary, directory)
    except OSError as error:
        raise InputError(f"data.prepared_dir={config.prepared_dir}: cannot be written ({error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        folders.remove_empty(missing)


def _temporary(directory: Path) -> Path:
    # With the machine's name: a lock says nothing about work in progress on another one.
    return directory.with_name(f".{directory.name}.{platform.node()}-{secrets.token_hex(4)}.tmp")


def _check_space(config: Data, raw: Raw, parent: Path) -> None:
    copies = 2 if config.messy or raw.channels is None else 1  # the clean ones, or the grey ones, beside them
    needed = len(raw.labels) * (config.size**2 * (raw.channels or 3) * copies + 64)
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
            terminal.say(f"{folder}: waiting for another process that prepares data")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _write(config: Data, files: list[Path], raw: Raw, folder: Path) -> None:
    kept, quarantined, sizes, boxes = _write_images(config, raw, folder)
    own_split = None if raw.own_split is None else raw.own_split[kept]
    labels, classes, without = _used(raw, raw.labels[kept])
    same = first_same(stream(folder / "images.npy"))
    if config.messy:
        _make_messy(config, own_split, folder)

    arrays = {"labels.npy": np.ascontiguousarray(labels, "<i8"), "same.npy": same}
    texts: dict[str, Any] = {}
    if own_split is not None:
        arrays["split.npy"] = np.ascontiguousarray(own_split, np.int8)
    if raw.columns:
        values, codes = zip(
            *(_coded([column[i] for i in kept.tolist()]) for column in raw.columns.values()), strict=True
        )
        arrays["groups.npy"] = np.stack(codes)
        texts["groups.json"] = dict(zip(raw.columns, values, strict=True))
    if boxes is not None:
        arrays["boxes.npy"] = np.ascontiguousarray(boxes[kept], "<f4")
    if raw.paths is not None:
        texts["paths.json"] = [shown(raw.paths[i]) for i in kept.tolist()]
    for name, array in arrays.items():
        with (folder / name).open("xb") as file:
            np.save(file, array, allow_pickle=False)
            _sync(file)
    for name, text in texts.items():
        with (folder / name).open("x") as file:
            json.dump(text, file)
            _sync(file)

    shape = list(np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False).shape)
    digest = hashlib.sha256(json.dumps([shape, classes, own_split is not None]).encode())
    for _, lot in stream(folder / "images.npy"):
        digest.update(lot.data)
    for name in ("labels.npy", "split.npy", "groups.npy", "boxes.npy"):
        if name in arrays:
            digest.update(arrays[name].data)
    if "groups.json" in texts:
        digest.update(json.dumps(texts["groups.json"]).encode())

    own = np.zeros(shape[0], np.int8) if own_split is None else own_split
    part_names = ("all",) if own_split is None else SPLITS
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": config.name,
        "source": config.source,
        "resize": config.resize,
        "messy": config.messy,
        "messy_seed": config.messy_seed,
        "shape": shape,
        "classes": classes,
        "counts": {
            part: per_class(labels[own == code], classes) for code, part in enumerate(part_names) if (own == code).any()
        },
        "columns": list(raw.columns),
        "sizes": _sizes(sizes),
        "quarantined": [*raw.quarantined, *quarantined, *without],
        "digest": digest.hexdigest(),
        "raw": _provenance_of(config, files, raw),
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(folder.iterdir())
        },
    }
    manifest["seal"] = _seal(manifest)
    with (folder / "manifest.json").open("x") as file:
        json.dump(manifest, file, indent=1)
        _sync(file)
    folders.sync(folder)


def _write_images(
    config: Data, raw: Raw, folder: Path
) -> tuple[np.ndarray, list[dict[str, str]], Counter[tuple[int, int]], np.ndarray | None]:
    """images.npy; then which examples are in it, what was refused, the sizes met, and the boxes on the square."""
    n, done = len(raw.labels), 0
    kept = np.ones(n, bool)
    quarantined = []
    sizes: Counter[tuple[int, int]] = Counter()
    boxes = None if raw.boxes is None else np.full((n, 4), np.nan, np.float32)
    with Pixels(folder / "images.npy", config.size, raw.channels) as pixels, progress(config.name, n) as show:
        for block in raw.blocks:
            if isinstance(block, Refused):
                kept[done] = False
                path = shown(raw.paths[done]) if raw.paths else f"example {done}"
                quarantined.append({"path": path, "reason": block.reason})
                count = 1
            elif isinstance(block, Photo):
                pixels.write(block.image[None])
                sizes[block.height, block.width] += 1
                count = 1
                if raw.boxes is not None and boxes is not None:
                    boxes[done] = fit_box(raw.boxes[done], block.height, block.width, config.size, config.resize)
            else:
                pixels.write(fit(block, config.size, config.resize))
                count = len(block)
                sizes[block.shape[1], block.shape[2]] += count
            done += count
            show(done)
        pixels.close()
    assert done == n, f"{config.source} gave {done} images and {n} labels"
    if not kept.any():
        first = "; ".join(f"{one['path']}: {one['reason']}" for one in quarantined[:3])
        raise InputError(f"data.root={config.root}: not one of {n} images can be used ({first}).")
    return np.flatnonzero(kept), quarantined, sizes, boxes


def _used(raw: Raw, labels: np.ndarray) -> tuple[np.ndarray, list[str], list[dict[str, str]]]:
    """Labels and classes without the classes that were refused to the last image, and these."""
    counts = np.bincount(labels, minlength=len(raw.classes))
    before = np.bincount(raw.labels, minlength=len(raw.classes))
    gone = (counts == 0) & (before > 0)
    without = [
        {"path": name, "reason": "a class without one image that can be used"}
        for name, lost in zip(raw.classes, gone, strict=True)
        if lost
    ]
    number = np.cumsum(~gone) - 1
    return number[labels], [name for name, lost in zip(raw.classes, gone, strict=True) if not lost], without


def first_same(lots: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """int64 [N]: for each image the first one with the same bytes, by a digest of 16 bytes."""
    first: dict[bytes, int] = {}
    found = [
        first.setdefault(hashlib.blake2b(image.data, digest_size=16).digest(), start + i)
        for start, images in lots
        for i, image in enumerate(images)
    ]
    return np.array(found, "<i8")


def _make_messy(config: Data, own_split: np.ndarray | None, folder: Path) -> None:
    os.rename(folder / "images.npy", folder / "clean.npy")
    clean = np.load(folder / "clean.npy", mmap_mode="r", allow_pickle=False)
    parts = np.zeros(len(clean), np.int8) if own_split is None else own_split
    with (
        Pixels(folder / "images.npy", config.size, clean.shape[3]) as pixels,
        progress(f"{config.name}, messy", len(clean)) as show,
    ):
        for block in messy(folder / "clean.npy", parts, config.messy, config.messy_seed):
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


def per_class(labels: np.ndarray, classes: list[str]) -> dict[str, int]:
    """{class: number of labels}."""
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


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
        "sha256": _sha256(path),
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
        if is_whole(directory) and _is_sound(directory):
            return
        # A damaged one is in the way. Readers that have it open keep what they have.
        aside = _temporary(directory)
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, aside)
            shutil.rmtree(aside, ignore_errors=True)
    else:
        raise FileExistsError(errno.EEXIST, "in use by other processes", str(directory))
    folders.sync(directory.parent)


def _sync(file: BinaryIO | TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())
