"""Photos or recordings listed in a CSV file: `data=manifest data.root=FOLDER data.manifest=manifest.csv`.

| column                      |                                                                                   |
|-----------------------------|-----------------------------------------------------------------------------------|
| path                        | below data.root; what leads out of it is never opened                             |
| label                       | the class                                                                         |
| split                       | if there: train, val, test, named as in raw.PART_NAMES                            |
| xmin, ymin, xmax, ymax      | if there: one box in pixels of the image as it is shown; empty where there is none |
| any other                   | what data.group may name: patient, track, author                                  |

data.manifest is a path below data.root, or one from the working directory. Fields are parted by ',', ';' or tabs,
whichever the first line has most of. data.columns={path: Filename, label: ClassId} says which columns of the file are
meant where they have other names (Path, Label and Split are known); `group` may be among them, and is kept whole by
every split made here.
"""

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline import terminal
from pipeline.data.config import Data
from pipeline.data.raw import BOX, Raw, looks_like_split, printable, split_by_names
from pipeline.data.roots import required_root
from pipeline.errors import InputError, nearest

MOST_FIELD = 2 << 20  # characters: more than a text may have, texts.MOST_BYTES, so that one too long is a row put aside


def find(config: Data) -> list[Path]:
    """The CSV file, then every file that it names within data.root, there or not."""
    root = required_root(config)
    csv_file = csv_file_of(config, root)
    return [csv_file, *(root / row["path"] for row in _rows(csv_file, config.columns) if is_within(root, row["path"]))]


def read(config: Data, files: list[Path]) -> Raw:
    """The files one by one. InputError names the line and column that cannot be."""
    root, csv_file = required_root(config), files[0]
    rows, quarantined = [], []
    seen: dict[str, dict[str, str]] = {}
    for line, row in enumerate(_rows(csv_file, config.columns), start=2):
        path = os.path.normpath(row["path"])
        reason = ""
        if not row["path"]:
            reason = "no path"
        elif not is_within(root, row["path"]):
            reason = "leads out of data.root"
        elif not row["label"]:
            reason = "no label"
        elif path in seen:
            differs = [f"another {name}" for name in ("label", "split") if row.get(name) != seen[path].get(name)]
            reason = f"named before, in row {seen[path]['row']}{', with ' * bool(differs)}{' and '.join(differs)}"
        if reason:
            quarantined.append({"path": printable(row["path"]), "reason": f"{reason} (row {line} of {csv_file.name})"})
            continue
        seen[path] = row | {"path": path, "row": str(line)}
        rows.append(seen[path])
    mind_split(csv_file, rows)
    classes = sorted({row["label"] for row in rows})
    if len(classes) < 2:
        raise InputError(f"{csv_file}: names {len(classes)} classes ({', '.join(classes)}); at least 2 are needed.")
    number = {name: i for i, name in enumerate(classes)}
    columns = [name for name in rows[0] if name not in ("path", "label", "split", "row", *BOX)]
    paths = [row["path"] for row in rows]
    assert config.kind.files is not None
    return Raw(
        blocks=config.kind.files(str(root), paths, config, None),
        channels=None,
        labels=np.array([number[row["label"]] for row in rows], np.int64),
        classes=classes,
        own_split=split_of(csv_file, rows),
        columns={name: [row[name] for row in rows] for name in columns},
        boxes=_boxes(csv_file, rows),
        paths=paths,
        quarantined=quarantined,
    )


def csv_file_of(config: Data, root: Path) -> Path:
    """The file that data.manifest names. InputError where there is none."""
    name = str(config.manifest)
    places = (root / name, Path(name).expanduser())
    for place in places:
        if os.path.isfile(place):
            return place
    there = [entry.name for entry in root.iterdir() if entry.suffix == ".csv"]
    raise InputError(f"data.manifest={name}: no such file in {root}, nor from here.{nearest(name, there)}")


def _rows(csv_file: Path, columns: dict[str, str] | None) -> list[dict[str, str]]:
    rows = read_rows(csv_file, str(csv_file), renamed(csv_file, columns, ("path", "label")))
    if not rows:
        raise InputError(f"{csv_file}: names no example.")
    return rows


def renamed(csv_file: Path, columns: dict[str, str] | None, needed: Sequence[str]) -> Callable[[list[str]], list[str]]:
    """What calls the columns of a first line as `columns` says; it raises InputError where one of `needed` lacks."""

    def called(names: list[str]) -> list[str]:
        header = _named(csv_file, names, columns or {}, needed)
        missing = [name for name in needed if name not in header]
        if missing or len(set(header)) < len(header):
            what = f"lacks the column {missing[0]}" if missing else "has two columns of one name"
            other = f" data.columns={{{missing[0]}: NAME}} names another." if missing and header else ""
            raise InputError(f"{csv_file}: {what}; its first line is {','.join(header)}.{other}")
        return header

    return called


def read_rows(csv_file: Path, shown: str, called: Callable[[list[str]], list[str]]) -> list[dict[str, str]]:
    """The rows of a CSV file, parted by `,`, `;` or tabs; `called` gives each column of the first line its name.

    Raises InputError, which begins with `shown`, where it cannot be read; and what `called` raises.
    """
    csv.field_size_limit(MOST_FIELD)  # of this process
    try:
        with csv_file.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, restval="", delimiter=max(",;\t", key=first.count))
            reader.fieldnames = called([name.strip() for name in reader.fieldnames or []])
            rows = []
            for row in reader:
                if None in row:
                    raise InputError(f"{shown}: line {reader.line_num} has more fields than the first line.")
                rows.append({name: value.strip() for name, value in row.items()})
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown}: is not CSV in UTF-8 ({error}).") from error
    except OSError as error:
        raise InputError(f"{shown}: cannot be read ({error.strerror}).") from error
    return rows


def _named(csv_file: Path, header: list[str], columns: dict[str, str], needed: Sequence[str]) -> list[str]:
    """The header with the columns that `columns` names called as it says; one that had such a name gets a `_`."""
    for role, name in columns.items():
        if name not in header:
            raise InputError(
                f"data.columns.{role}={name}: {csv_file} has no such column; its first line is {','.join(header)}."
                f"{nearest(name, header)}"
            )
    called = {name: role for role, name in columns.items()}
    for role in (*needed, "split"):  # Split is split, where there is no other
        alike = [name for name in header if name.lower() == role and name not in called]
        if role not in columns and role not in header and len(alike) == 1:
            called[alike[0]] = role
    return [called.get(name) or (f"{name}_" if name in columns else name) for name in header]


def is_within(root: Path, path: str) -> bool:
    """Whether a path stays below root as it is written; what links do is seen when it is opened."""
    base = os.path.abspath(root)
    return (
        bool(path) and "\0" not in path and os.path.abspath(os.path.join(base, path)).startswith(os.path.join(base, ""))
    )


def mind_split(csv_file: Path, rows: list[dict[str, str]]) -> None:
    """Say where another column has the look of the set's own split, which is not used then."""
    for name in rows[0] if "split" not in rows[0] else ():
        if name != "row" and looks_like_split(row[name] for row in rows):
            terminal.say(f"mind: {csv_file}: {name} looks like a split; data.columns={{split: {name}}} keeps it")


def split_of(csv_file: Path, rows: list[dict[str, str]]) -> np.ndarray | None:
    """The set's own split by its column; None where there is none."""
    if "split" not in rows[0]:
        return None
    return split_by_names((row["split"] for row in rows), lambda i: f"{csv_file}, row {rows[i]['row']}")


def _boxes(csv_file: Path, rows: list[dict[str, str]]) -> np.ndarray | None:
    """Where a number is no number, the user is told; where a box is empty or inside out, it counts as none."""
    if not all(name in rows[0] for name in BOX):
        return None
    boxes = np.full((len(rows), 4), np.nan, np.float32)
    for i, row in enumerate(rows):
        values = [row[name] for name in BOX]
        if any(values):
            try:
                boxes[i] = [float(value) for value in values]
            except ValueError:
                raise InputError(
                    f"{csv_file}, row {row['row']}: {','.join(BOX)}={','.join(values)}: must be four numbers, or empty."
                ) from None
    return boxes
