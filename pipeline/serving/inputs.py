"""Which files `images=` means: a file, a folder, a glob, a CSV manifest, or a list of these, in order."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.data import Data, image_folder
from pipeline.data.files import UnusableError
from pipeline.data.manifest import is_within, read_rows
from pipeline.data.raw import Refused, printable
from pipeline.data.texts import EMPTY, MOST_BYTES, lines
from pipeline.errors import InputError, nearest


@dataclass(frozen=True)
class Input:
    """A file that is to be looked at."""

    root: str  # nothing outside this folder is opened for it
    path: str  # below root
    label: str | None = None  # what a manifest calls it
    reason: str = ""  # why it is not opened at all
    named: str = ""  # as the user did, where that is not root and path
    text: str | None = None  # a line of the file, where lines are what is asked about

    @property
    def shown(self) -> str:
        """Its name as text."""
        return printable(self.named or os.path.normpath(os.path.join(self.root, self.path)))


def find_inputs(images: Any, columns: dict[str, str] | None, texts: bool = False) -> list[Input]:
    """Every file that `images` means, once each. `columns`: what a manifest calls path and label.

    With `texts` a manifest may have a column text in place of path: each row is one.

    Raises InputError where one of them means nothing.
    """
    given = images if isinstance(images, list) else [images]
    if images is None or not given:
        raise InputError("images=null: name files, a folder, a glob, or a manifest ending in .csv.")
    found: dict[tuple[str, str], Input] = {}
    real: dict[str, str] = {}  # of the few folders
    for one in given:
        for each in _of(str(one), columns, texts):
            root = real.get(each.root) or real.setdefault(each.root, os.path.realpath(each.root))
            found.setdefault((root, each.path), each)
    return list(found.values())


def lines_of(found: list[Input]) -> Iterator[Input]:
    """Each line of files of text as an input of its own, called FILE:LINE. Empty lines are left out."""
    for one in found:
        if one.reason or one.text is not None:  # a row of a table is one already
            yield one
            continue
        try:
            for number, text in lines(Path(one.root, one.path), Path(one.root)):
                named = f"{one.named or os.path.join(one.root, one.path)}:{number}"
                if not isinstance(text, Refused):
                    yield replace(one, named=named, text=text)
                elif text.reason != EMPTY:
                    yield replace(one, named=named, reason=text.reason)
        except UnusableError as error:
            yield replace(one, reason=str(error))


def _of(given: str, columns: dict[str, str] | None, texts: bool) -> Iterable[Input]:
    path = os.path.expanduser(given)
    if os.path.isdir(path):
        files = image_folder.find(Data(root=path))
        if not files:
            raise InputError(f"images={given}: there is no file in this folder.")
        return (Input(path, os.path.relpath(file, path)) for file in files)
    if path.lower().endswith(".csv") and os.path.isfile(path):
        return _manifest(Path(path), columns or {}, texts)
    if os.path.lexists(path):  # named by the user: it may be a link
        return [_file(path)]
    if glob.has_magic(path):
        return _glob(given, path)
    folder = os.path.dirname(path) or "."
    there = os.listdir(folder) if os.path.isdir(folder) else []
    raise InputError(f"images={given}: no such file or folder.{nearest(os.path.basename(path), there)}")


def _file(path: str) -> Input:
    folder, name = os.path.split(os.path.realpath(path))
    return Input(folder, name, named=path)


def _glob(given: str, path: str) -> Iterator[Input]:
    parts = Path(path).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = str(Path(*parts[:fixed]))
    matches = [match for match in sorted(glob.glob(path, recursive=True)) if not os.path.isdir(match)]
    if not matches:
        raise InputError(f"images={given}: no file is called so.")
    return (Input(root, os.path.relpath(match, root)) for match in matches)


def _manifest(csv_file: Path, columns: dict[str, str], texts: bool) -> list[Input]:
    """The rows of a CSV file; a label is not asked for. Paths begin in its folder."""
    found: dict[str, str | None] = {}

    def called(names: list[str]) -> list[str]:
        roles = ("text", "path", "label") if texts else ("path", "label")
        found.update({role: _column(csv_file, names, role, columns) for role in roles})
        if found["path"] is None and found.get("text") is None:
            said = f"lacks the column {roles[0]}; its first line is {','.join(names)}."
            raise InputError(f"images={csv_file}: {said} columns={{{roles[0]}: NAME}} names another.")
        return names

    rows = read_rows(csv_file, f"images={csv_file}", called)
    if not rows:
        raise InputError(f"images={csv_file}: names no image.")
    label = found["label"]
    if text := found.get("text"):
        return [_said(csv_file, i, row[text], row[label] if label else "") for i, row in enumerate(rows, start=2)]
    path = str(found["path"])
    return [_row(csv_file.parent, row[path], row[label] if label else "") for row in rows]


def _said(csv_file: Path, row: int, text: str, label: str) -> Input:
    long = len(text) > MOST_BYTES
    reason = f"more than {MOST_BYTES:,} characters in one text" if long else ""
    return Input(str(csv_file.parent), f"{csv_file.name}:{row}", label or None, reason, text=None if long else text)


def _column(csv_file: Path, header: list[str], role: str, columns: dict[str, str]) -> str | None:
    if named := columns.get(role):
        if named in header:
            return named
        if role != "label":
            raise InputError(f"columns.{role}={named}: {csv_file} has no such column.{nearest(named, header)}")
        return None
    alike = [name for name in header if name.lower() == role]
    return alike[0] if len(alike) == 1 else None


def _row(root: Path, path: str, label: str) -> Input:
    if is_within(root, path):
        return Input(str(root), os.path.normpath(path), label or None)
    reason = "leads out of the manifest's folder" if path else "no path"
    return Input(str(root), path.replace("\0", "\\0"), label or None, reason)
