"""One sweep of the index: what its verdict says of its claims, and what it took to know."""

import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.records import VERSION

# The classes of the report's verdicts, by how a claim or a factor ended. What they do not know is grey.
KINDS = {
    "supported": "better",
    "refuted": "against",
    "open": "few",
    "different": "none",
    "equivalent": "none",
    "not worse": "none",
    "better": "better",
    "better than some": "some",
    "no difference shown": "none",
    "too few seeds": "few",
}


@dataclass(frozen=True)
class Claim:
    """What of a contrast of verdict.json is shown here."""

    claim: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    margin: float
    state: str
    outcome: str
    sentence: str
    values: list[float]
    metric: str | None = None  # null: the verdict's

    @property
    def word(self) -> str:
        """What became of the claim; of a difference that nothing was expected of, what it is."""
        return self.outcome or self.state

    @property
    def name(self) -> str:
        """The claim; where it has none, the sentence of its difference."""
        return self.claim.strip() or self.sentence


@dataclass(frozen=True)
class Factor:
    """What of a factor of verdict.json is shown here."""

    conclusion: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class Judged:
    """How all of a verdict was judged at once."""

    sequential: bool
    looks: list[int]
    contrasts: int
    open: int


@dataclass(frozen=True)
class Counted:
    """The runs that a verdict is of."""

    total: int


@dataclass(frozen=True)
class Reading:
    """What of verdict.json is read here: a verdict of another version that has this is good enough."""

    experiment: str
    question: str
    metric: str
    smallest_effect: float
    seeds: list[int]
    runs: Counted
    factors: dict[str, Factor]
    rule: Judged
    about: str = ""
    contrasts: list[Claim] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    known: int = 0


@dataclass(frozen=True)
class Cost:
    """What runs took. A run that never ended has no seconds."""

    runs: int = 0
    seconds: float = 0.0
    untimed: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.runs + other.runs, self.seconds + other.seconds, self.untimed + other.untimed)


@dataclass(frozen=True)
class Entry:
    """A sweep: the newest of its experiment on its data that has a verdict."""

    sweep: Path
    verdict: Reading
    data: tuple[str, ...]  # names of its data sets
    cost: Cost
    tuning: Cost | None  # of the sweep that its learning rates were tuned in; None where there was none
    when: str  # it was begun, in UTC
    git_sha: str | None
    machines: tuple[str, ...]
    found: dict[str, list[str]]  # what the ANALYSES say, by name
    note: str = ""

    @property
    def on(self) -> str:
        """Its data sets in a word."""
        return " + ".join(self.data) or "unknown data"

    @property
    def title(self) -> str:
        """The experiment and its data."""
        return f"{self.verdict.experiment} on {self.on}"

    @property
    def total(self) -> Cost:
        """Of the sweep and of its tuning."""
        return self.cost + (self.tuning or Cost())

    def report(self, base: Path) -> str | None:
        """The link to its report.html from a page in `base`; None where the sweep's own folder has none."""
        path = self.sweep / "report.html"
        if path.is_symlink() or not path.is_file():
            return None
        return quote("./" + Path(os.path.relpath(path.absolute(), base.absolute())).as_posix())

    def words(self) -> dict[str, int]:
        """How often each word was the end: of the claims; of the factors where nothing was claimed."""
        claims = [one.word for one in self.verdict.contrasts]
        return _ordered(claims or [one.conclusion for one in self.verdict.factors.values() if one.conclusion])


@dataclass(frozen=True)
class Index:
    """All that was found below a folder, by experiment and data."""

    root: Path
    entries: list[Entry]
    left_out: list[str]  # a line for each sweep that cannot be read, or has no verdict

    @property
    def data(self) -> list[str]:
        """The data of the sweeps, each once."""
        return sorted({entry.on for entry in self.entries})

    @property
    def experiments(self) -> list[str]:
        """The experiments, each once."""
        return sorted({entry.verdict.experiment for entry in self.entries})

    @property
    def total(self) -> Cost:
        """Of all sweeps."""
        return sum((entry.total for entry in self.entries), Cost())

    def outcomes(self) -> dict[str, int]:
        """How many claims ended in which word."""
        return _ordered([one.outcome for entry in self.entries for one in entry.verdict.contrasts if one.outcome])

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "version": VERSION,
            "outcomes": self.outcomes(),
            "cost": asdict(self.total),
            "experiments": [_document(entry) for entry in self.entries],
            "left_out": self.left_out,
        }


def _ordered(words: list[str]) -> dict[str, int]:
    """How often each word is there, in the order of KINDS."""
    found = Counter(words)
    return {word: found[word] for word in (*KINDS, *sorted(found)) if word in found}


def _document(entry: Entry) -> dict[str, Any]:
    said = entry.verdict
    return {
        "experiment": said.experiment,
        "data": list(entry.data),
        "question": said.question,
        "about": said.about,
        "metric": said.metric,
        "smallest_effect": said.smallest_effect,
        "claims": [asdict(one) for one in said.contrasts],
        "factors": {name: asdict(one) for name, one in said.factors.items()},
        "sentences": said.sentences,
        "analyses": entry.found,
        "seeds": len(said.seeds),
        "sequential": said.rule.sequential,
        "looks": said.rule.looks,
        "settled": said.rule.open == 0,
        "open": said.rule.open,
        "contrasts": said.rule.contrasts,
        "cost": asdict(entry.cost),
        "tuning": entry.tuning and asdict(entry.tuning),
        "when": entry.when,
        "git_sha": entry.git_sha,
        "machines": list(entry.machines),
        "note": entry.note,
        "sweep": str(entry.sweep),
    }
