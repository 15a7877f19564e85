"""The verdict of a table of results from anywhere, and what it would have been at each look."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.config.experiment import Contrast
from pipeline.errors import InputError, nearest
from pipeline.evidence.document import Verdict
from pipeline.evidence.run import Run
from pipeline.evidence.verdict import verdict

FIRST_LOOK = 3  # of looks=each


@dataclass(frozen=True)
class Look:
    """A sequential design as it stood when there were so many seeds."""

    seeds: int
    open: int  # contrasts that were not settled
    sentences: list[str]


@dataclass(frozen=True)
class TableVerdict:
    """The verdict of a table, or of a part of it."""

    verdict: Verdict
    looks: list[Look] = field(default_factory=list)  # of a sequential design, until all was settled

    @property
    def stopped_at(self) -> int | None:
        """At how many seeds all was settled; None where it is not."""
        return next((look.seeds for look in self.looks if look.open == 0), None)

    def to_json(self) -> dict[str, Any]:
        """The verdict's document, and for a sequential design its looks."""
        document = self.verdict.to_json()
        if self.looks:
            looks = [{"seeds": one.seeds, "open": one.open, "sentences": one.sentences} for one in self.looks]
            document |= {"looks": looks, "stopped_at": self.stopped_at}
        return document

    def lines(self) -> list[str]:
        """What became of it at each look."""
        said = [f"at {one.seeds} seeds: {one.open} open. {' '.join(one.sentences)}" for one in self.looks]
        if self.looks:
            at = self.stopped_at
            said.append(f"It would have stopped at {at} seeds." if at else "It would not have stopped before the cap.")
        return ["", *said] if said else []


def judge_table(
    path: Path,
    metric: str,
    *,
    by: str | None = None,
    looks: Sequence[int] | Literal["each"] | None = None,
    mode: str = "max",
    smallest_effect: float = 0.01,
    n_test: int | None = None,
    overlap: float = 0.0,
    contrasts: Sequence[Contrast] = (),
) -> dict[str, TableVerdict]:
    """The verdict of the CSV file at `path`, by the value of the column `by`; without one, a single one under "".

    Its columns: `seed`, the metric, and factors. An empty metric, or nan, is a run without a result. A sequential
    design is judged as it would have been: what is settled at a look stays so, whatever later seeds say.
    Raises InputError where the file is no such table.
    """
    factors, parts = read_table(path, metric, by)
    found = {}
    for value, runs in parts.items():
        seeds = sorted({run.seed for run in runs})
        each = range(min(FIRST_LOOK, len(seeds)), len(seeds) + 1)
        planned = list(each) if isinstance(looks, str) else looks
        asked: Any = {
            "mode": mode,
            "smallest_effect": smallest_effect,
            "n_test": n_test,
            "overlap": overlap,
            "contrasts": contrasts,
            "looks": planned,
            "experiment": f"{path.stem}{f', {by}={value}' if by else ''}",
        }
        history: list[Look] = []
        for look in planned or ():
            if look > len(seeds) or (history and history[-1].open == 0):
                break
            until = set(seeds[:look])
            then = verdict([run for run in runs if run.seed in until], factors, metric, **asked)
            history.append(Look(look, then.rule.open, then.sentences))
        found[value] = TableVerdict(verdict(runs, factors, metric, **asked), history)
    return found


def read_table(path: Path, metric: str, by: str | None = None) -> tuple[list[str], dict[str, list[Run]]]:
    """The factors of a CSV file and its runs, by the value of the column `by`; all under "" without one."""
    if path.exists() and not path.is_file():
        raise InputError(f"table={path}: is no file.")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"table={path}: cannot be read as CSV ({error}).") from None
    if len(set(head)) < len(head):
        raise InputError(f"table={path}: two columns have one name: {', '.join(head)}.")
    for key, column in (("seed", "seed"), ("metric", metric), ("by", by)):
        if column is not None and column not in head:
            what = "it has no column seed" if key == "seed" else f"{key}={column}: it has no such column"
            raise InputError(f"table={path}: {what}.{nearest(column, head)} Columns: {', '.join(head)}.")
    if not rows:
        raise InputError(f"table={path}: has no rows.")
    place = {name: i for i, name in enumerate(head)}
    factors = [name for name in head if name not in ("seed", metric, by)]
    parts: dict[str, list[Run]] = {}
    for line, row in rows:
        if len(row) != len(head):
            raise InputError(f"table={path}, line {line}: {len(row)} values for {len(head)} columns.")
        seed = _typed(row[place["seed"]])
        if type(seed) is not int:
            raise InputError(f"table={path}, line {line}: seed={row[place['seed']]}: must be a whole number.")
        said = row[place[metric]].strip()
        value = _typed(said) if said else math.nan
        if isinstance(value, str | bool):
            raise InputError(f"table={path}, line {line}: {metric}={said}: must be a number.")
        levels = {name: _typed(row[place[name]]) for name in factors}
        part = row[place[by]] if by is not None else ""
        parts.setdefault(part, []).append(Run(levels, seed, {metric: float(value)}))
    return factors, parts


def _typed(text: str) -> Any:
    """A cell as the level or number that is written there."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.strip().lower(), text.strip())
