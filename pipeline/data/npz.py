"""Arrays in one .npz file: `data=npz data.root=FILE.npz`, or the folder that holds it and no other.

| array                       |                                                                                   |
|-----------------------------|-----------------------------------------------------------------------------------|
| x_train                     | uint8 [N, H, W] or [N, H, W, 1, 3 or 4]; also bool, and uint16, which is scaled   |
| y_train                     | [N] or [N, 1]: whole numbers or names                                             |
| x_test, y_test and so on    | if there: test, val, named as in raw.PART_NAMES                               |
| x, y                        | instead of all these: a set without a split of its own,                           |
| split                       | but for this one, if there: train, val or test for each                           |
| classes                     | if there: the names of the whole numbers, in order                                |
| NAME, or NAME_train and so  | any other, [N] or [N, 1]: what data.group may name; unknown where a part lacks it |
| on, one for each part       |                                                                                   |

Pixels are read in pieces and never held as a whole. Nothing is unpickled.
"""

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline import terminal
from pipeline.data.config import Data
from pipeline.data.grouping import is_usual
from pipeline.data.raw import PART_NAMES, TRAIN, Raw, looks_like_split, own_parts, split_by_names
from pipeline.errors import InputError

BLOCK_BYTES = 8 << 20
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, OSError, NotImplementedError)


def find(config: Data) -> list[Path]:
    """The one file. InputError where there is none, or more than one."""
    if config.root is None:
        raise InputError("data.root=null: data.source=npz needs the file: data.root=FILE.npz.")
    root = Path(config.root).expanduser()
    if os.path.isfile(root):
        return [root]
    if not os.path.isdir(root):
        raise InputError(f"data.root={config.root}: no such file or folder.")
    files = sorted(path for path in root.iterdir() if path.suffix == ".npz")
    if len(files) != 1:
        which = f"one of {', '.join(path.name for path in files)}" if files else "there is none"
        raise InputError(f"data.root={config.root}: must hold one .npz file; name the file itself ({which}).")
    return files


def read(config: Data, files: list[Path]) -> Raw:
    """The parts one after the other. InputError names the array that cannot be."""
    file = files[0]
    try:
        with zipfile.ZipFile(file) as archive:
            headers = {
                name.removesuffix(".npy"): _header(archive, name)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
        parts = _parts(file, headers)
        shapes = [_image_shape(file, f"x{suffix}", headers, config.max_pixels) for suffix, _ in parts]
        if len(set(shapes)) > 1:
            raise InputError(f"{file}: the images of its parts differ in shape: {', '.join(map(str, shapes))}.")
        counts = [headers[f"x{suffix}"][0][0] for suffix, _ in parts]
        for (suffix, _), count in zip(parts, counts, strict=True):
            shape = headers[f"y{suffix}"][0]
            if shape not in ((count,), (count, 1)):
                raise InputError(f"{file}: y{suffix} has the shape {shape}; {count} images need ({count},).")
        with np.load(file, allow_pickle=False) as arrays:
            labels, classes = _labels(file, np.concatenate([arrays[f"y{s}"].reshape(-1) for s, _ in parts]), arrays)
            columns = _columns(file, arrays, headers, [s for s, _ in parts], counts)
            codes = np.repeat([code for _, code in parts], counts)
            own_split = own_parts(codes, str(file)) if len(parts) > 1 else _own_split(file, columns)
    except BROKEN as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: is not a sound .npz file ({error}).") from error
    return Raw(
        blocks=_blocks(file, [f"x{suffix}" for suffix, _ in parts]),
        channels=3 if shapes[0][2] >= 3 else 1,
        labels=labels,
        classes=classes,
        own_split=own_split,
        columns=columns,
    )


Header = tuple[tuple[int, ...], np.dtype[Any], bool]  # shape, type, column by column


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    with archive.open(name) as member:
        return _read_header(member)


def _read_header(member: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(member)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(member)
    return shape, dtype, fortran


def _parts(file: Path, headers: dict[str, Header]) -> list[tuple[str, int]]:
    """[("_train", TRAIN), ...] of the parts that are there, train first."""
    if "x" in headers and "y" in headers:
        return [("", TRAIN)]
    parts = [(f"_{name}", code) for name, code in PART_NAMES.items() if f"x_{name}" in headers]
    lacks = next((f"y{suffix}" for suffix, _ in parts if f"y{suffix}" not in headers), None)
    if lacks or TRAIN not in [code for _, code in parts]:
        raise InputError(f"{file}: lacks {lacks or 'x_train'}; it has {', '.join(headers) or 'no arrays'}.")
    return parts


def _image_shape(file: Path, key: str, headers: dict[str, Header], max_pixels: int) -> tuple[int, int, int]:
    shape, dtype, fortran = headers[key]
    if dtype not in (np.uint8, np.uint16, np.bool_) or fortran:
        order = ", column by column" if fortran else ""
        raise InputError(f"{file}: {key} is {dtype}{order}; images must be uint8, 0 to 255, row by row.")
    if len(shape) == 3:
        shape = (*shape, 1)
    if len(shape) != 4 or shape[3] not in (1, 3, 4):
        raise InputError(f"{file}: {key} has the shape {shape}; it must be [N, H, W] or [N, H, W, 1, 3 or 4].")
    if 0 in shape:
        raise InputError(f"{file}: {key} is empty, its shape is {shape}.")
    if shape[1] * shape[2] > max_pixels:
        raise InputError(f"{file}: {key} has images of {shape[1]}x{shape[2]}, past data.max_pixels={max_pixels}.")
    return shape[1], shape[2], shape[3]


def _labels(file: Path, values: np.ndarray, arrays: Any) -> tuple[np.ndarray, list[str]]:
    if values.dtype.kind not in "iubUS":
        raise InputError(f"{file}: labels of type {values.dtype}; they must be whole numbers or names.")
    names, labels = np.unique(values, return_inverse=True)
    if values.dtype.kind in "US" or "classes" not in arrays.files:
        return labels.astype(np.int64), [_text(name) for name in names]
    classes = [_text(name) for name in arrays["classes"].reshape(-1)]
    if names[0] < 0 or names[-1] >= len(classes):
        wrong = names[0] if names[0] < 0 else names[-1]
        raise InputError(f"{file}: has the label {wrong}, and `classes` names 0 to {len(classes) - 1}.")
    return labels.astype(np.int64), [classes[value] for value in names]  # a subset need not have them all


def _columns(
    file: Path, arrays: Any, headers: dict[str, Header], suffixes: list[str], counts: list[int]
) -> dict[str, list[str]]:
    """What else is known of every example."""
    names = {re.sub(f"{re.escape(suffix)}$", "", key) for suffix in suffixes for key in headers if key.endswith(suffix)}
    whole = {key for key in headers if not key.endswith(tuple(suffixes))}
    columns = {}
    for name in sorted((names | whole) - {"x", "y", "", "classes"}):
        keys = {f"{name}{suffix}": n for suffix, n in zip(suffixes, counts, strict=True)}
        if name in whole - names:  # of all parts in one, whose order only one part leaves no doubt of
            keys = {name: sum(counts)}
            if len(suffixes) > 1:
                if is_usual(name):
                    raise InputError(f"{file}: {name} has to come in parts as x does: {name}{suffixes[0]} and so on.")
                continue
        wrong = [key for key, n in keys.items() if key in headers and headers[key][0] not in ((n,), (n, 1))]
        if wrong and is_usual(name):
            key = wrong[0]
            raise InputError(f"{file}: {key} has the shape {headers[key][0]}; {keys[key]} images need ({keys[key]},).")
        if not wrong:  # of a part that lacks it nothing is known
            columns[name] = [
                text
                for key, n in keys.items()
                for text in (map(_text, arrays[key].reshape(-1).tolist()) if key in headers else [""] * n)
            ]
    return columns


def _own_split(file: Path, columns: dict[str, list[str]]) -> np.ndarray | None:
    """Of a set that does not come in parts; one of its columns may say it."""
    if name := next((name for name in columns if name.lower() == "split"), None):
        return split_by_names(columns.pop(name), lambda i: f"{file}, {name}[{i}]")
    for name, values in columns.items():
        if looks_like_split(values):
            terminal.say(f"mind: {file}: {name} looks like a split; called split it is kept")
    return None


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _blocks(file: Path, keys: list[str]) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        for key in keys:
            with archive.open(f"{key}.npy") as member:
                (n, *shape), dtype, _ = _read_header(member)
                each = int(np.prod(shape)) * dtype.itemsize
                block = max(1, BLOCK_BYTES // each)
                for start in range(0, n, block):
                    count = min(block, n - start)
                    try:
                        content = member.read(count * each)
                    except BROKEN as error:
                        raise InputError(f"{file}: {key} is damaged ({error}).") from error
                    if len(content) < count * each:
                        raise InputError(f"{file}: {key} is cut short.")
                    yield _bytes(np.frombuffer(content, dtype).reshape(count, *shape))


def _bytes(images: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, 1 or 3]."""
    if images.dtype == np.bool_:
        images = images * np.uint8(255)
    elif images.dtype == np.uint16:
        images = ((images.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if images.ndim == 3:
        return images[..., None]
    if images.shape[3] == 4:  # laid on white, as in photos.py
        alpha = images[..., 3:].astype(np.uint32)
        images = ((images[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return images
