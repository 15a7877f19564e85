"""The verdict, which `verdict.json` and `compare output=json` hold under these names and in this order."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.evidence.paired import interval
from pipeline.records import VERSION, Tuned


@dataclass(frozen=True)
class Point:
    """A mean over seeds with its plain 95 % t interval; None for what cannot be told."""

    n: int
    mean: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float], overlap: float = 0.0) -> "Point":
        """The point of one value by seed. `overlap` as in `rule.decide`."""
        return cls(len(values), *interval(values, overlap))


@dataclass
class LevelVerdict:
    """One level of a factor. What cannot be told (an interval of one seed) is None."""

    level: Any  # as in the configuration
    n: int  # seeds that its mean is over
    mean: float | None = None
    sd: float | None = None
    difference: float | None = None  # level - the one that leads
    low: float | None = None  # of the difference's interval; those of all differences of the verdict hold at once
    high: float | None = None
    verdict: str = ""
    p: float | None = None
    p_adjusted: float | None = None
    seeds_needed: int | None = None
    parameters: float | None = None  # the costs are means over the same runs as the metric
    macs: float | None = None
    seconds: float | None = None
    values: list[float | None] = field(default_factory=list)  # by seed, the mean over the cells; null: it has none
    pairs: int | None = None  # seeds that it was compared at with the one that leads
    hopeless: bool = False  # what is open no number of seeds settles: each splits the same examples anew

    @property
    def compared(self) -> int:
        """Seeds that its difference is over."""
        return self.n if self.pairs is None else self.pairs

    @property
    def distance(self) -> float:
        """The size of the difference, of a level that was compared."""
        assert self.difference is not None
        return abs(self.difference)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the difference, of a level that was compared at two seeds or more."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high


@dataclass
class FactorVerdict:
    """What a sweep says about one factor."""

    best: Any  # the level that leads: that no other is ahead of where the two were compared; None without results
    levels: list[LevelVerdict]
    seeds: list[int]  # at which some level has a value; none where all levels of a fixed list meet at no seed
    cells: int  # combinations of the other factors' levels
    missing: list[dict[str, Any]]  # {"seed", "cell", "levels"} of what lacks a partner
    notes: list[str]
    conclusion: str = ""
    sentence: str = ""
    averaged: list[int] = field(default_factory=list)  # over how many of these seeds are means, each number once


@dataclass
class ContrastVerdict:
    """A difference that a claim is about: see `config.Contrast`, whose fields are the first seven."""

    claim: str
    compare: dict[str, list[Any]]
    at: dict[str, Any]
    against: dict[str, Any]
    expects: str | None
    margin: float
    metric: str | None  # null: the verdict's
    n: int  # seeds
    difference: float | None  # the first level less the second; with `against`, at less against
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    state: str  # different, equivalent, open, or what `expects` ends by
    outcome: str  # of the claim: supported, refuted, open; empty where there is none
    seeds_needed: int | None
    values: list[float]  # by seed
    sentence: str = ""
    hopeless: bool = False  # as of a level


@dataclass(frozen=True)
class Rule:
    """How all of a verdict was judged at once, see rule.py."""

    sequential: bool  # whether seeds were added until all was settled, by looks that were planned
    looks: list[int]  # seeds at each
    levels: list[float]  # of the plain interval at each look that decides
    one_look: float | None  # that if there were but one look; see rule.py for where it is shown
    contrasts: int  # in the family
    overlap: float  # test examples per other one, where seeds split the same examples anew
    open: int  # how many contrasts are not settled
    open_arms: list[dict[str, Any]]  # the arms that these are about
    ended: bool  # all are, or no look is to come, or none can settle more
    futile: bool = False  # no number of seeds settles what is open: each splits the same examples anew


@dataclass
class Arm:
    """One combination of levels, described and not judged."""

    levels: dict[str, Any]
    n: int
    mean: float | None
    sd: float | None
    parameters: float | None
    macs: float | None
    seconds: float | None


@dataclass
class Exclusion:
    """A run that is not compared."""

    levels: dict[str, Any]
    seed: int
    dir: str
    status: str
    reason: str


@dataclass
class RunCounts:
    """How many runs there are, and which of them are not compared."""

    total: int
    finished: int
    failed: int
    compared: int
    excluded: list[Exclusion]


@dataclass(frozen=True)
class Gate:
    """Something that must hold before a verdict means what it says, and what was found of it."""

    name: str
    holds: bool | None  # None: it is described, or cannot be told
    value: float | None  # the number that `result` puts in words
    result: str
    means: str


@dataclass(frozen=True)
class Guardrail:
    """What the level that leads costs beside another one of its factor."""

    factor: str
    best: Any
    level: Any
    gap: Point  # of gap/acc, the best's less the other's: above zero, the best overfits more
    not_worse: bool | None  # whether the interval of `gap` ends below the smallest effect of interest
    parameters: float | None  # the best's are so many times the other's, as all that follow
    macs: float | None
    seconds: float | None


@dataclass(frozen=True)
class Origin:
    """Where the numbers come from: what a reader needs to make them again, and what that took."""

    command: str  # as it is typed
    git_sha: list[str]  # of the code that trained; several where runs are of several times
    began: str  # the first run, in UTC
    machine: list[str]  # processor and cores
    versions: list[str]
    runs: int
    seconds: float  # of all runs together


@dataclass
class Verdict:
    """What a sweep says about its question. `analyses` are what ANALYSES found, by name."""

    experiment: str
    question: str
    metric: str
    mode: str
    smallest_effect: float
    confidence: float
    n_test: int | None
    seeds: list[int]
    runs: RunCounts
    factors: dict[str, FactorVerdict]
    arms: list[Arm]
    warnings: list[str]
    rule: Rule
    known: int = 0  # runs that had finished before this was asked of them
    about: str = ""  # the data, how long and at which rates it was trained: what the verdict is about
    design: str = ""  # digest of what was to be judged, written down before the first run
    tuned: list[Tuned] = field(default_factory=list)  # the learning rates of arms that were tuned
    contrasts: list[ContrastVerdict] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    guardrails: list[Guardrail] = field(default_factory=list)
    origin: Origin | None = None  # of a sweep
    analyses: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data; each analysis stands beside the rest under its own name."""
        plain = asdict(self)
        analyses = plain.pop("analyses")
        return {"version": VERSION} | plain | analyses
