"""From a folder of sweeps to the index of their claims."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import records, rundir
from pipeline.directories import find_directories
from pipeline.errors import InputError
from pipeline.evidence.analyses import ANALYSES
from pipeline.evidence.claims.entry import Cost, Entry, Index, Reading
from pipeline.records import RunRecord, SweepRecord

TUNING = "-tuning"  # the end of the name of a sweep that learning rates were tuned in: it claims nothing


@dataclass(frozen=True)
class _Said:
    """What of an analysis is shown here: its sentences, where it has any."""

    sentences: list[str] = field(default_factory=list)


def collect(root: Path) -> Index:
    """The sweeps at and below `root` that have a verdict, the newest of each experiment on the same data."""
    found: dict[Path, SweepRecord] = {}
    left_out = []
    for sweep in _sweeps(root):
        try:
            found[sweep] = rundir.read_sweep(sweep)
        except InputError as error:
            left_out.append(_line(error))
    newest: dict[tuple[Any, ...], tuple[float, Entry]] = {}
    for sweep, record in found.items():
        if _name(record).endswith(TUNING):
            continue
        try:
            entry = _entry(sweep, record, found)
        except (InputError, ValueError, OverflowError, OSError) as error:
            said = str(error) if isinstance(error, InputError) else f"{sweep}: is damaged: {error}."
            left_out.append(_line(said))
            continue
        key = entry.verdict.experiment, entry.data
        if key not in newest or newest[key][0] <= record.started:
            newest[key] = record.started, entry
    return Index(root, [newest[key][1] for key in sorted(newest)], left_out)


def _sweeps(root: Path) -> list[Path]:
    """Where sweeps lie, also those whose sweep.json is gone: there are runs, and their verdict."""
    found = []
    for path in find_directories(root):
        is_run = os.path.lexists(path / "run.json")
        if not is_run or (path != root and (path.parent / "verdict.json").is_file()):
            found.append(path.parent if is_run else path)
    return list(dict.fromkeys(found))


def _line(said: object) -> str:
    return " ".join(str(said).split())


def _name(record: SweepRecord) -> str:
    return str(record.experiment["name"])


def _entry(sweep: Path, record: SweepRecord, sweeps: dict[Path, SweepRecord]) -> Entry:
    """What is shown of a sweep. Raises InputError where it has no whole verdict."""
    if not os.path.lexists(sweep / "verdict.json"):
        raise InputError(f"{sweep}: has no verdict yet. The command that began it goes on; then it is judged.")
    again = f"To have it written again: python -m pipeline.compare sweep={sweep}"
    document = rundir.read_json(sweep / "verdict.json")
    try:
        verdict = records.parse(Reading, document)
        said = {name: records.parse(_Said, document[name]) for name in ANALYSES if document.get(name)}
        _check_numbers(verdict)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{sweep / 'verdict.json'}: is damaged, or of another version: {error}. {again}") from None
    if verdict.experiment != _name(record):
        raise InputError(f"{sweep / 'verdict.json'}: is of another sweep than sweep.json. {again}")
    judged = [job for job in record.jobs if not record.judged or job.seed in record.judged]
    if len(judged) != verdict.runs.total:
        raise InputError(
            f"{sweep / 'verdict.json'}: is of {verdict.runs.total} runs, and the sweep has {len(judged)}. {again}"
        )
    runs = _runs(sweep, record)
    tuned_in = _tuned_in(sweep, record.tuned_in, sweeps) if record.tuned_in else None
    return Entry(
        sweep=sweep,
        verdict=verdict,
        data=_each(run.dataset.name for run in runs),
        cost=_cost(sweep, record),
        tuning=_cost(tuned_in, sweeps[tuned_in]) if tuned_in else None,
        when=datetime.fromtimestamp(record.started, UTC).strftime("%Y-%m-%d %H:%M UTC") if record.started else "",
        git_sha=record.git_sha,
        machines=_each(_machine(run) for run in runs),
        found={name: one.sentences for name, one in said.items() if one.sentences},
        note="What its tuning cost is not known here." if record.tuned_in and not tuned_in else "",
    )


def _check_numbers(verdict: Reading) -> None:
    """Raise ValueError for numbers that no metric has and nobody could read."""
    sizes = [verdict.smallest_effect]
    for one in verdict.contrasts:
        sizes += [x for x in (one.margin, one.difference, one.low, one.high, *one.values) if x is not None]
        if (one.low is None) != (one.high is None) or (one.difference is None and one.low is not None):
            raise ValueError("an interval has one end")
    margins = [verdict.smallest_effect, *(one.margin for one in verdict.contrasts)]
    if any(abs(float(x)) > 1e9 for x in sizes) or any(x < 0 or 0 < x < 1e-9 for x in margins):
        raise ValueError("its numbers are those of no metric")


def _runs(sweep: Path, record: SweepRecord) -> list[RunRecord]:
    """run.json of each run that is whole; what became of the others, the verdict tells."""
    found = []
    for job in record.jobs:
        try:
            found.append(rundir.read_run(sweep / job.dir))
        except InputError:
            continue
    return found


def _cost(sweep: Path, record: SweepRecord) -> Cost:
    """The seconds of training of all runs of a sweep, as each one's status.json has them."""
    known = [rundir.get_status(sweep / job.dir).seconds for job in record.jobs]
    timed = [float(one) for one in known if one is not None and one >= 0]
    return Cost(len(known), math.fsum(timed), len(known) - len(timed))


def _tuned_in(sweep: Path, said: str, sweeps: dict[Path, SweepRecord]) -> Path | None:
    """The sweep among those found that tuned the learning rates of another, which may have been moved with it.

    By the end of its path, as it was then: the experiment's folder and its own. Of several the nearest counts.
    """
    end = Path(said).parts[-2:]
    fitting = [one for one in sweeps if one.absolute().parts[-2:] == end and _name(sweeps[one]).endswith(TUNING)]
    here = str(sweep.absolute())
    return max(fitting, key=lambda one: len(os.path.commonpath([here, one.absolute()])), default=None)


def _machine(run: RunRecord) -> str:
    """The processor that a run was trained on and what decides its numbers, in words."""
    known = [
        ("", run.environment.get("processor")),
        ("cores: ", run.environment.get("cores")),
        ("accelerator: ", _inside(run.config.get("trainer"), "accelerator")),
        ("Python ", run.environment.get("python")),
        ("torch ", _inside(run.environment.get("packages"), "torch")),
    ]
    return _line(", ".join(f"{name}{value}" for name, value in known if value))


def _inside(some: Any, name: str) -> Any:
    return some.get(name) if isinstance(some, dict) else None


def _each(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({word for word in words if word}))
