"""What run.json says of a transfer, typed: the network that was made, the fate of its layers, its source. No torch.

The keys of the documents are those that were written from the start: old runs are sources of new ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.transfer.strategies import Part, Tuning


@dataclass(frozen=True)
class Probe:
    """How well classes are told apart by one stage's features."""

    accuracy: float  # of the examples left out
    explained: float  # share of the variance of the classes: 1 is perfect, 0 no better than guessing their shares


@dataclass(frozen=True)
class Size:
    """How much there is to train on, against what it takes."""

    examples: int
    classes: int
    per_class: float  # examples of the middle one
    rarest_class: int
    parameters: int
    needed: int
    ratio: float

    @property
    def word(self) -> str:
        """large | small."""
        return "large" if self.ratio >= 1 else "small"


@dataclass(frozen=True)
class Similarity:
    """What probes and batch norms say of a sample of the training split; see advise.py."""

    sample: int
    accuracy: float
    accuracy_at_random: float
    avoided: float
    doubt: float
    distance: float | None
    by_depth: tuple[Probe, ...]


@dataclass(frozen=True)
class Advice:
    """What transfer=auto chose, and why."""

    size: Size
    similarity: Similarity
    limit: float  # the share of errors that must be avoided by a similar source
    domain: str  # similar | dissimilar
    strategy: str
    depth: int | None
    reasons: tuple[str, ...]
    near: tuple[str, ...]  # to which thresholds it was

    @property
    def quadrant(self) -> str:
        """As `small, similar`."""
        return f"{self.size.word}, {self.domain}"

    def to_json(self) -> dict[str, Any]:
        """As run.json and the plan hold it."""
        return {
            "quadrant": self.quadrant,
            "strategy": self.strategy,
            "depth": self.depth,
            "reasons": list(self.reasons),
            "near": list(self.near),
            "size": {**asdict(self.size), "word": self.size.word},
            "similarity": {
                **asdict(self.similarity),
                "by_depth": [asdict(one) for one in self.similarity.by_depth],
                "limit": self.limit,
                "word": self.domain,
            },
        }


def sentences(advice: Mapping[str, Any]) -> list[str]:
    """The advice of a run.json or a plan for people, a line each."""
    depth = f" transfer.depth={advice['depth']}" if advice["depth"] else ""
    near = [f"near the threshold of {one}" for one in advice["near"]]
    return [f"transfer=auto: {advice['quadrant']}: transfer={advice['strategy']}{depth}", *advice["reasons"], *near]


def numbers(advice: Mapping[str, Any]) -> dict[str, float]:
    """The advice of a run.json as metrics for the dashboard."""
    size, found = advice["size"], advice["similarity"]
    shown = {
        "advice/size_ratio": size["ratio"],
        "advice/probe_acc": found["accuracy"],
        "advice/probe_acc_random": found["accuracy_at_random"],
        "advice/errors_avoided": found["avoided"],
        **{f"advice/probe_acc_depth_{i}": one["accuracy"] for i, one in enumerate(found["by_depth"], start=1)},
    }
    return shown if found["distance"] is None else shown | {"advice/distance": found["distance"]}


@dataclass(frozen=True)
class SourceRecord:
    """Where the weights came from. Without `digest`, none were taken."""

    named: str
    is_run: bool
    file: str | None = None
    digest: str | None = None
    key: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    tensors_loaded: int = 0
    tensors_left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As run.json holds it."""
        document: dict[str, Any] = {"named": self.named, "run": self.is_run, "file": None, "digest": None}
        if self.key:
            document["key"] = self.key
        if not self.digest:
            return document
        return document | {
            "file": self.file,
            "digest": self.digest,
            "mean": list(self.mean),
            "std": list(self.std),
            "tensors_loaded": self.tensors_loaded,
            "tensors_left_out": list(self.tensors_left_out),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "SourceRecord":
        """The inverse; what is written beside it there (the source's own metrics) is left out."""
        return cls(
            named=document["named"],
            is_run=document["run"],
            file=document["file"],
            digest=document["digest"],
            key=document.get("key"),
            mean=tuple(document.get("mean", ())),
            std=tuple(document.get("std", ())),
            tensors_loaded=document.get("tensors_loaded", 0),
            tensors_left_out=tuple(document.get("tensors_left_out", ())),
        )


@dataclass(frozen=True)
class TransferRecord:
    """All that building and training a transferred network takes besides the configuration."""

    strategy: str
    channels: int  # of the network's images, which need not be the data's
    depth: int | None  # how many stages of the architecture are kept; None: all
    behind: str  # what early_layers has put behind them: a key of strategies.HEADS
    head: tuple[str, ...]  # what is new at the end, in the order in which it runs
    tuning: Tuning
    source: SourceRecord


def seen_sentences(seen: Sequence[int], untold: Sequence[str]) -> list[str]:
    """What it means that runs are tested on images that their source was trained on: of how many each is.

    `untold`: why that cannot be told of a run; empty where it can.
    """
    said, unknown = [], [why for why in untold if why]
    if any(seen):
        said.append(
            f"{sum(map(bool, seen))} of {len(seen)} runs are tested on images that their source was trained on (up to "
            f"{max(seen):,} images): what it remembers of them counts for it. With data.split_seed as the source's, or "
            "its seed, none is, where it is the same set"
        )
    if unknown:
        said.append(
            f"whether {len(unknown)} of {len(untold)} runs are tested on what their source was trained on cannot "
            f"be told: {unknown[0]}"
        )
    return said


def tuning_to_json(tuning: Tuning) -> dict[str, Any]:
    """As run.json holds it."""
    return asdict(tuning)


def record_from_json(document: Mapping[str, Any]) -> TransferRecord | None:
    """What a run began with, as its run.json has it; None where that is fresh weights."""
    if not document:
        return None
    tuning = document["tuning"]
    return TransferRecord(
        strategy=document["strategy"],
        channels=document["network"]["channels"],
        depth=document["network"]["depth"],
        behind=document["network"].get("head", "gap"),
        head=tuple(document["head"]),
        tuning=Tuning(**{**tuning, "parts": tuple(Part(**one) for one in tuning["parts"])}),
        source=SourceRecord.from_json(document["source"]),
    )
