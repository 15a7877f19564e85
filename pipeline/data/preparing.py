"""Bring a set into its prepared form where it is not there yet, safely, whoever else does the same meanwhile."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import folders, terminal
from pipeline.data.config import Data
from pipeline.data.findings import warn
from pipeline.data.opening import open_prepared, read_prepared
from pipeline.data.prepared import FORMAT, Prepared
from pipeline.data.raw import Raw
from pipeline.data.reading import reader_of
from pipeline.data.soundness import is_sound, is_whole
from pipeline.data.splitting import split
from pipeline.data.writing import write_prepared
from pipeline.errors import InputError


def prepare(config: Data, seed: int) -> Prepared:
    """Open the prepared form of `config`, made first unless it is there and whole.

    Safe to call from several processes at once, and after one was killed at any moment. `seed` is only
    checked: a set that it cannot split as configured is refused here, before anything is trained.
    InputError for a bad root, missing or malformed raw files, a split that is not possible, a full disk.
    """
    files = reader_of(config).find(config)
    directory = Path(config.prepared_dir) / _folder_name(config, files)
    if not (is_whole(directory) and is_sound(directory, say=True)):
        _make(config, files, directory, seed)
    prepared = open_prepared(directory, config, seed)
    warn(prepared, config, split(prepared, config, seed))
    return prepared


def _folder_name(config: Data, files: list[Path]) -> str:
    more: list[Any] = [config.messy, config.messy_seed] if config.messy else []
    more += [config.columns] if config.columns else []
    more += [getattr(config, name) for name in config.kind.prepared_by]
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
            times = [stat.st_mtime_ns, stat.st_ctime_ns]  # the second one nobody sets back
            key.update(json.dumps([folder, path.name, stat.st_size, *times]).encode())
    policy = config.resize if config.kind.pictured else config.kind.name
    policy = f"{policy}-messy{config.messy:g}" if config.messy else policy
    return f"{config.name}-{config.size}-{policy}-{key.hexdigest()[:8]}"


def _make(config: Data, files: list[Path], directory: Path, seed: int) -> None:
    """Write the prepared form into a folder beside `directory`, then give it its name.

    Whatever goes wrong, nothing of it stays behind; also where it cannot be split as configured.
    """
    raw = reader_of(config).read(config, files)
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
            if is_whole(directory) and is_sound(directory):  # made while we waited
                return
            temporary.mkdir(parents=True)
            write_prepared(config, files, raw, temporary)
            split(read_prepared(temporary, config, seed), config, seed)
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
    height, width = config.kind.example_shape(config.size)
    bytes_ = height * width * (raw.channels or 3) * np.dtype(config.kind.dtype).itemsize
    needed = len(raw.labels) * (bytes_ * copies + 64)
    place = next(path for path in (parent.absolute(), *parent.absolute().parents) if os.path.exists(path))
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"data.size={config.size}: {len(raw.labels)} such {config.kind.noun}s take {needed / 1e9:.1f} GB, and "
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


def _publish(temporary: Path, directory: Path) -> None:
    """Give the finished folder its name. Where another process was first with a whole one, leave that."""
    for _ in range(5):  # tries: without locks, someone else may be replacing it as well
        try:
            os.rename(temporary, directory)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if is_whole(directory) and is_sound(directory):
            return
        # A damaged one is in the way. Readers that have it open keep what they have.
        aside = _temporary(directory)
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, aside)
            shutil.rmtree(aside, ignore_errors=True)
    else:
        raise FileExistsError(errno.EEXIST, "in use by other processes", str(directory))
    folders.sync(directory.parent)
