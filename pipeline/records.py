"""The documents of a run and a sweep, typed. They are checked where they are read, so that nobody else has to ask.

A field with a default need not be there, and is not written where it has that value. What is there besides is left
alone: another version may have more to say.
"""

import dataclasses
import functools
import types
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

VERSION = 1  # of the documents; one that says none is of the first. A higher one is refused


@dataclass(frozen=True)
class Parameters:
    """How many numbers a network has."""

    total: int
    trainable: int


Word = Literal["running", "finished", "failed", "interrupted", "missing", "damaged"]  # the last two on no disk


@dataclass(frozen=True)
class Status:
    """status.json: what became of a run or a sweep, as far as it has come."""

    status: Word
    pid: int | None = None
    host: str | None = None
    started: float | None = None  # seconds since 1970, as `ended`
    ended: float | None = None
    error: str | None = None
    together: int = 1  # how many runs share this attempt: each has spent its part of it
    resumed: int = 0  # how often it was taken up
    trains: float | None = None  # since when this attempt does: what was imported before is no time of the run's
    spent: float = 0.0  # seconds of training before it was taken up the last time
    metrics: dict[str, float] = field(default_factory=dict)  # of a run that finished, as all that follows
    parameters: Parameters | None = None
    seconds: float | None = None  # of training, over all attempts
    key: str | None = None  # that of run.json
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256 of the sealed ones


@dataclass(frozen=True)
class Counts:
    """Examples of each split."""

    train: int
    val: int
    test: int

    @property
    def total(self) -> int:
        """Of all three."""
        return self.train + self.val + self.test


@dataclass(frozen=True)
class DatasetRecord:
    """The data of a run."""

    name: str
    dir: str
    digest: str
    input_shape: tuple[int, ...]  # (C, H, W)
    classes: list[Any]
    counts: Counts
    group: str | None = None  # the column whose groups no split divides
    overlap: dict[str, float] = field(default_factory=dict)  # split -> see data.redrawn; what is 0 is left out


@dataclass(frozen=True)
class _Experiment:
    name: str


@dataclass(frozen=True)
class _Tracking:
    uri: str | None


@dataclass(frozen=True)
class _Config:
    """What of a run's configuration is read where the whole is not made a Config."""

    seed: int
    runs_dir: str
    architecture: dict[str, Any]
    tracking: _Tracking
    experiment: _Experiment


@dataclass(frozen=True)
class RunRecord:
    """run.json: what was asked, and all that decides a run's numbers. Written once."""

    config: dict[str, Any]  # as `config.to_dict` gives it
    key: str
    arm: str  # its levels in a sweep, in words
    dataset: DatasetRecord
    parameters: int
    macs: int  # of one input
    uid: str = ""  # by which MLflow's run is found again
    key_parts: dict[str, str] = field(default_factory=dict)
    transfer: dict[str, Any] = field(default_factory=dict)  # as transfer/record.py gives it
    code_digest: str = ""
    code: dict[str, str] = field(default_factory=dict)  # module -> digest
    git_sha: str | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    taken_from: str | None = None  # the directory of the run that this one is a copy of

    def __post_init__(self) -> None:
        _parsed(_Config, self.config, "config")


@dataclass(frozen=True)
class _Question:
    name: str
    question: str
    metric: str
    mode: str
    smallest_effect: float


@dataclass(frozen=True)
class JobRecord:
    """A run of a sweep, and where it lies."""

    levels: dict[str, Any]
    seed: int
    dir: str  # in the sweep's
    key: str
    overrides: list[str] = field(default_factory=list)
    work: str = ""  # its key without the code
    stack: str = ""  # the directory of the first of those that train at once with it


@dataclass(frozen=True)
class Tuned:
    """An arm's own learning rate, and what each rate of the grid came to on validation data, by its name."""

    levels: dict[str, Any]
    lr: float
    scores: dict[str, float]


@dataclass(frozen=True)
class SweepRecord:
    """sweep.json: the question and the runs."""

    experiment: dict[str, Any]  # that section of the configuration
    factors: list[str]
    jobs: list[JobRecord]
    warnings: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)  # what the verdict says of runs that other code trained
    doubts: list[str] = field(default_factory=list)  # what it says of the data
    started: float = 0.0
    command: list[str] = field(default_factory=list)
    git_sha: str | None = None
    uid: str = ""
    tracking: dict[str, Any] = field(default_factory=dict)  # anybody's: `tracking_of` checks it
    judged: list[int] = field(default_factory=list)  # the seeds of the verdict that was read before others were added
    tuned: list[Tuned] = field(default_factory=list)  # of optimizer.lr=tuned
    tuned_in: str = ""  # the sweep that did that
    design: str = ""  # digest of what was to be judged, and how, before the first run: see evidence.design_of
    looks: list[int] = field(default_factory=list)  # of a sequential design: how many seeds there are at each

    def __post_init__(self) -> None:
        _parsed(_Question, self.experiment, "experiment")


@dataclass(frozen=True)
class Row:
    """A line of metrics.jsonl."""

    step: int
    time_ms: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Invariance:
    """What invariance.json says: by perturbation, [amount, share] over its grid."""

    accuracy: dict[str, list[tuple[float, float]]]
    agreement: dict[str, list[tuple[float, float]]]
    key: str | None = None


def to_json(record: Any) -> dict[str, Any]:
    """A record as its document, with the version of its format."""
    plain = dataclasses.asdict(record)
    defaults = {f.name: _default(f) for f in dataclasses.fields(record)}
    return {"version": VERSION} | {name: value for name, value in plain.items() if value != defaults[name]}


def _default(one: dataclasses.Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default


def parse(kind: type[T], document: Any) -> T:
    """The record of `kind` that a document is. Raises ValueError that says where it is none, in a few words."""
    version = document.get("version", 1) if isinstance(document, dict) else 1
    if type(version) is not int or version > VERSION:
        raise ValueError(f"its format is {version}, and this version of convtrial knows those up to {VERSION}")
    return _parsed(kind, document, "")


def _parsed(kind: Any, value: Any, name: str) -> Any:
    """`value` as JSON gives it, as the type `kind`; `name` is where it stands."""
    origin, inner = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, name)
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{name} is none of {', '.join(sorted(inner))}")
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _parsed(next(one for one in inner if one is not type(None)), value, name)
    if hasattr(kind, "_fields"):  # a NamedTuple
        return kind(*_each(tuple(get_type_hints(kind).values()), value, name))
    if origin is tuple and Ellipsis not in inner:
        return _each(inner, value, name)
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return origin(_parsed(inner[0], one, f"an item of {name}") for one in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{name or 'it'} is no object")
        return {key: _parsed(inner[1], one, f"{name}.{key}") for key, one in value.items()}
    fits = kind is Any or isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind in (int, float)):
        raise ValueError(f"{name} is of the wrong kind")
    return value


def _each(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != len(kinds):
        raise ValueError(f"{name} is of the wrong kind")
    return tuple(_parsed(kind, one, name) for kind, one in zip(kinds, value, strict=True))


def _record(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{name or 'it'} is no object")
    found = {}
    for one, of_type in _fields(kind):
        inside = f"{name}.{one.name}".strip(".")
        if one.name in value:
            found[one.name] = _parsed(of_type, value[one.name], inside)
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise ValueError(f"it lacks {inside}")
    return kind(**found)


@functools.cache
def _fields(kind: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(one, hints[one.name]) for one in dataclasses.fields(kind)]
