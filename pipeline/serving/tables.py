"""What was predicted, in a file: CSV, JSON or parquet, written lot by lot, whole or not at all.

CSV and parquet have a row for each file, in order, with the columns

    path         the file
    label        what the manifest calls it; where there is a manifest with labels
    class        the most probable class
    probability  its probability
    p_<class>    that of each class
    skipped      why there is no answer; empty where there is one

JSON is the document of output=json.
"""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from pipeline import folders
from pipeline.errors import InputError
from pipeline.serving.answers import Answers

ENDINGS = (".csv", ".json", ".parquet")


class Table(Protocol):
    """What lots are written to."""

    def write(self, answers: Answers) -> None:
        """Add a lot."""

    def close(self, summary: dict[str, Any]) -> None:
        """End it; `summary` is what is known of all lots."""


def check_place(out: str) -> Path:
    """The path of a file to write to. InputError where that cannot be."""
    path = Path(out).expanduser()
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"out={out}: must end in one of {', '.join(ENDINGS)}.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"out={out}: its folder does not exist.")
    if path.is_dir():
        raise InputError(f"out={out}: is a folder.")
    return path


@contextlib.contextmanager
def table(path: Path, classes: list[str], labelled: bool) -> Iterator[Table]:
    """What becomes the file at `path` where the body ends well; nothing of it is left where it does not."""
    kinds: dict[str, Callable[[IO[bytes], list[str], bool], Table]] = {
        ".csv": CsvTable,
        ".json": JsonTable,
        ".parquet": ParquetTable,
    }
    with folders.replacing(path) as file:
        yield kinds[path.suffix.lower()](file, classes, labelled)


def rows(answers: Answers, classes: list[str]) -> Iterator[dict[str, Any]]:
    """An entry for each input: path, label, class, probability, probabilities, skipped."""
    best = answers.probabilities.argmax(1).tolist()
    each = iter(zip(best, answers.probabilities.tolist(), strict=True))
    for one, reason in zip(answers.inputs, answers.reasons, strict=True):
        row: dict[str, Any] = {"path": one.shown, "label": one.label}
        if reason:
            yield row | {"class": None, "probability": None, "probabilities": None, "skipped": reason}
        else:
            k, shares = next(each)
            yield row | {"class": classes[k], "probability": shares[k], "probabilities": shares, "skipped": None}


def _columns(classes: list[str], labelled: bool) -> list[str]:
    return ["path", *(["label"] if labelled else []), "class", "probability", *(f"p_{c}" for c in classes), "skipped"]


class CsvTable:
    """Rows as text, numbers with the nine digits that tell float32 apart."""

    def __init__(self, file: IO[bytes], classes: list[str], labelled: bool) -> None:
        self.classes, self.labelled = classes, labelled
        self.text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self.writer = csv.writer(self.text)
        self.writer.writerow(_columns(classes, labelled))

    def write(self, answers: Answers) -> None:
        for row in rows(answers, self.classes):
            shares = row["probabilities"] or [None] * len(self.classes)
            numbers = ["" if n is None else f"{n:.9g}" for n in (row["probability"], *shares)]
            label = [row["label"]] if self.labelled else []
            self.writer.writerow([row["path"], *label, row["class"], *numbers, row["skipped"]])

    def close(self, summary: dict[str, Any]) -> None:
        self.text.detach()  # the file is closed by whoever opened it


class JsonTable:
    """The document of output=json: its predictions as they come, the rest at the end."""

    def __init__(self, file: IO[bytes], classes: list[str], labelled: bool) -> None:
        self.file, self.classes = file, classes
        self.skipped: list[dict[str, str]] = []
        self.between = b"\n"
        file.write(b'{"predictions": [')

    def write(self, answers: Answers) -> None:
        for row in rows(answers, self.classes):
            if row["skipped"]:
                self.skipped.append(skipped(row))
            else:
                self.file.write(self.between + json.dumps(prediction(row), allow_nan=False).encode())
                self.between = b",\n"

    def close(self, summary: dict[str, Any]) -> None:
        rest = json.dumps(summary | {"skipped": self.skipped}, indent=1, allow_nan=False)
        self.file.write(b"\n],\n" + rest.removeprefix("{\n").encode() + b"\n")


def prediction(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `rows` as JSON documents have it; of one that was predicted."""
    return {k: v for k, v in row.items() if k != "skipped" and v is not None}


def skipped(row: dict[str, Any]) -> dict[str, str]:
    """A row of `rows` as JSON documents have it; of one that was skipped."""
    return {"path": row["path"], "reason": row["skipped"]}


class ParquetTable:
    """A row group for each lot; probabilities as float32."""

    def __init__(self, file: IO[bytes], classes: list[str], labelled: bool) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self.classes, self.names = classes, _columns(classes, labelled)
        kinds = {name: pa.string() for name in ("path", "label", "class", "skipped")}
        self.schema = pa.schema([(name, kinds.get(name, pa.float32())) for name in self.names])
        self.writer = parquet.ParquetWriter(file, self.schema)

    def write(self, answers: Answers) -> None:
        import pyarrow as pa

        found = []
        for row in rows(answers, self.classes):
            shares = row["probabilities"] or [None] * len(self.classes)
            found.append(row | {f"p_{c}": n for c, n in zip(self.classes, shares, strict=True)})
        columns = {name: [row[name] for row in found] for name in self.names}
        self.writer.write_table(pa.table(columns, schema=self.schema))

    def close(self, summary: dict[str, Any]) -> None:
        self.writer.close()
