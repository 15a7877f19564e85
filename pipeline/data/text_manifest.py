"""Texts in a CSV file: `data=text_manifest data.root=FOLDER data.manifest=texts.csv`.

| column    |                                                              |
|-----------|--------------------------------------------------------------|
| text      | the text                                                     |
| label     | the class                                                    |
| split     | if there: train, val, test, named as in raw.PART_NAMES       |
| any other | what data.group may name: author, user                       |

data.columns={text: Review, label: Stars} says which columns are meant where they have other names.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data.config import Data
from pipeline.data.manifest import csv_file_of, mind_split, read_rows, renamed, split_of
from pipeline.data.raw import Photo, Raw, Refused, printable
from pipeline.data.roots import required_root
from pipeline.data.texts import MOST_BYTES, Numbers, example
from pipeline.errors import InputError


def find(config: Data) -> list[Path]:
    """The CSV file."""
    return [csv_file_of(config, required_root(config))]


def read(config: Data, files: list[Path]) -> Raw:
    """The texts, row by row. InputError names the line and column that cannot be."""
    [csv_file] = files
    rows, quarantined = [], []
    called = renamed(csv_file, config.columns, ("text", "label"))
    for line, row in enumerate(read_rows(csv_file, str(csv_file), called), start=2):
        reason = "no label" if not row["label"] else "no text" if not row["text"] else ""
        if len(row["text"]) > MOST_BYTES:
            reason = f"more than {MOST_BYTES:,} characters in one text"
        if reason:
            quarantined.append({"path": f"{csv_file.name}:{line}", "reason": reason})
        else:
            rows.append(row | {"row": str(line)})
    mind_split(csv_file, rows)
    classes = sorted({row["label"] for row in rows})
    if len(classes) < 2:
        raise InputError(f"{csv_file}: names {len(classes)} classes ({', '.join(classes)}); at least 2 are needed.")
    columns = [name for name in rows[0] if name not in ("text", "label", "split", "row")]
    numbers = Numbers()
    return Raw(
        blocks=_blocks(config, rows, numbers),
        channels=1,
        labels=np.array([classes.index(row["label"]) for row in rows], np.int64),
        classes=classes,
        own_split=split_of(csv_file, rows),
        columns={name: [row[name] for row in rows] for name in columns},
        paths=[printable(f"{csv_file.name}:{row['row']}") for row in rows],
        quarantined=quarantined,
        words=numbers.words,
    )


def _blocks(config: Data, rows: list[dict[str, str]], numbers: Numbers) -> Iterator[Photo | Refused]:
    for row in rows:
        yield example(row["text"], config, numbers)
