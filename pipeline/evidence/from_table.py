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
from pipeline.evidence.run import Run, level_key
from pipeline.evidence.verdict import verdict

FIRST_LOOK = 3  # of looks=each
MOST_LEVELS = 50  # of a column; more are a measurement: times, losses


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
            said.append(
                f"It would have stopped at {at} seeds."
                if at
                else f"It would not have stopped by {self.looks[-1].seeds} seeds."
            )
        return ["", *said] if said else []


def judge_table(
    path: Path,
    metric: str,
    *,
    factors: Sequence[str] | None = None,
    by: str | None = None,
    looks: Sequence[int] | Literal["each"] | None = None,
    mode: str = "max",
    smallest_effect: float = 0.01,
    n_test: int | None = None,
    overlap: float = 0.0,
    contrasts: Sequence[Contrast] = (),
) -> dict[str, TableVerdict]:
    """The verdict of the CSV file at `path`, by the value of the column `by`; without one, a single one under "".

    Its columns: `seed`, the metric, and factors, of which `factors` names some; else all others are. An empty metric,
    or nan, is a run without a result. A sequential design is judged as it would have been: what is settled at a look
    stays so, whatever later seeds say.
    Raises InputError where the file is no such table.
    """
    factors, parts = read_table(path, metric, by, factors)
    found = {}
    for value, runs in parts.items():
        seeds = sorted({run.seed for run in runs})
        each = list(range(min(FIRST_LOOK, len(seeds)), len(seeds) + 1))
        planned = looks
        if isinstance(planned, str):
            planned = each if len(seeds) > 1 else None  # of a part with one seed there is nothing to look at
        asked: Any = {
            "mode": mode,
            "smallest_effect": smallest_effect,
            "n_test": n_test,
            "overlap": overlap,
            "contrasts": contrasts,
            "looks": planned,
            "experiment": f"{path.stem}{f', {by}={value}' if by else ''}",
        }
        whole = verdict(runs, factors, metric, **asked)
        history: list[Look] = []
        for look in (planned or ()) if whole.rule.contrasts else ():
            if look > len(seeds) or (history and history[-1].open == 0):
                break
            until = set(seeds[:look])
            then = verdict([run for run in runs if run.seed in until], factors, metric, **asked)
            history.append(Look(look, then.rule.open, then.sentences))
        found[value] = TableVerdict(whole, history)
    return found


def read_table(
    path: Path, metric: str, by: str | None = None, named: Sequence[str] | None = None
) -> tuple[list[str], dict[str, list[Run]]]:
    """The factors of a CSV file, or those that are `named`, and its runs, by the value of the column `by`.

    Without such a column all runs are under "".
    """
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
    for key, column in (("seed", "seed"), ("metric", metric), ("by", by), *(("factors", one) for one in named or ())):
        if column is not None and column not in head:
            what = "it has no column seed" if key == "seed" else f"{key}={column}: it has no such column"
            raise InputError(f"table={path}: {what}.{nearest(column, head)} Columns: {', '.join(head)}.")
    if not rows:
        raise InputError(f"table={path}: has no rows.")
    place = {name: i for i, name in enumerate(head)}
    factors = [name for name in (head if named is None else named) if name not in ("seed", metric, by)]
    for line, row in rows:
        if len(row) != len(head):
            raise InputError(f"table={path}, line {line}: {len(row)} values for {len(head)} columns.")
    levels_of = {name: _levels([row[place[name]] for _, row in rows]) for name in factors}
    seeds = len({row[place["seed"]] for _, row in rows})
    for name, given in levels_of.items():
        n = len(set(map(level_key, given)))
        if n > MOST_LEVELS or (n == len(rows) > seeds > 1 and len(factors) > 1):
            each = "another value in each row" if n == len(rows) else f"{n} values"
            others = ",".join(one for one in factors if one != name)
            raise InputError(
                f"table={path}: {name} has {each}, which is more like a measurement than a factor (of at most "
                f"{MOST_LEVELS} levels). Say which columns are factors, as in factors=[{others}]."
            )
    parts: dict[str, list[Run]] = {}
    for at, (line, row) in enumerate(rows):
        seed = _typed(row[place["seed"]])
        if type(seed) is not int:
            raise InputError(f"table={path}, line {line}: seed={row[place['seed']]}: must be a whole number.")
        said = row[place[metric]].strip()
        value = _typed(said) if said else math.nan
        if isinstance(value, str | bool):
            raise InputError(f"table={path}, line {line}: {metric}={said}: must be a number.")
        levels = {name: levels_of[name][at] for name in factors}
        part = row[place[by]] if by is not None else ""
        parts.setdefault(part, []).append(Run(levels, seed, {metric: float(value)}))
    return factors, parts


def _typed(text: str) -> Any:
    """A cell as the level or number that is written there. Python alone would take 1_0 for 10."""
    text = text.strip()
    for kind in (int, float) if "_" not in text else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _levels(cells: Sequence[str]) -> list[Any]:
    """Those of a factor: numbers, unless what is written in two ways would be one, as the versions 1.1 and 1.10."""
    levels = [_typed(cell) for cell in cells]
    spelled = {(level_key(level), cell.strip()) for level, cell in zip(levels, cells, strict=True)}
    return levels if len(spelled) == len({key for key, _ in spelled}) else [cell.strip() for cell in cells]
