"""What there is to mind in a set: put aside, out of balance, shared by splits; as numbers, and in sentences."""

import os
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline import terminal
from pipeline.data.config import NO_GROUP, Data
from pipeline.data.files import UNKNOWN
from pipeline.data.leaks import DividedColumn, KeptColumn, Leaks, find_leaks
from pipeline.data.prepared import Prepared, per_class

IMBALANCE = 3.0  # from which ratio of the largest class to the smallest it is worth a word
DARK = 64  # of 255: a set with no brighter pixel has lost what tells its images apart, or will hardly be learnt


@dataclass(frozen=True)
class Imbalance:
    """The largest and the smallest class, and how many times the one is the other (None: it has none)."""

    largest: str
    smallest: str
    ratio: float | None


@dataclass(frozen=True)
class Findings:
    """What there is to mind in a set so split. All that is said of it, and wherever it is said, comes from here."""

    imbalance: Imbalance
    quarantined: list[dict[str, str]]  # path and reason
    leaks: Leaks
    brightest: int  # value of a pixel, 0 to 255
    noun: str  # what an example is

    def document(self) -> dict[str, Any]:
        """As in the `prepare` document."""
        return {
            "imbalance": asdict(self.imbalance),
            "quarantined": self.quarantined,
            "brightest": self.brightest,
            **self.leaks.document(),
        }


def examine(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> Findings:
    """All that there is to mind."""
    counts = per_class(prepared.labels[splits["train"]], prepared.classes)
    largest, smallest = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    ratio = round(counts[largest] / counts[smallest], 2) if counts[smallest] else None
    return Findings(
        imbalance=Imbalance(largest, smallest, ratio),
        quarantined=prepared.manifest.get("quarantined", []),
        leaks=find_leaks(prepared, config, splits),
        brightest=_brightest(prepared),
        noun=prepared.kind.noun,
    )


def _brightest(prepared: Prepared) -> int:
    return prepared.manifest["brightest"] if prepared.kind.pictured else 255


def _dark_sentences(value: int) -> list[str]:
    if value >= DARK:
        return []
    return [
        f"no pixel is brighter than {value} of 255: were these images of 16 bits that use a part of their range? The "
        "whole of it is brought to 0 to 255; stretch theirs, or give them with 8 bits"
    ]


def _aside_sentences(aside: list[dict[str, str]]) -> list[str]:
    if not aside:
        return []
    # A photo that is damaged before a text file that lies beside the photos.
    worst = next((one for one in aside if not one["reason"].startswith(UNKNOWN)), aside[0])
    return [
        f"{_plural(len(aside), 'file')} put aside and not in the set ({kinds_of_reasons(aside)}), "
        f"such as {worst['path']}: {worst['reason']}"
    ]


def _messy_sentences(prepared: Prepared) -> list[str]:
    if not prepared.manifest["messy"] or prepared.own_split is not None:
        return []
    return ["data.messy lays pieces of other images over each: in a set that the seed splits, also of those it tests"]


def sentences(found: Findings) -> list[str]:
    """What a user should know of a set before trusting a result."""
    said = _aside_sentences(found.quarantined)
    ratio = found.imbalance.ratio
    if ratio is None or ratio >= IMBALANCE:
        largest, smallest = found.imbalance.largest, found.imbalance.smallest
        said.append(f"{largest} has {ratio} times the examples of {smallest}: accuracy alone will flatter")
    return said + _dark_sentences(found.brightest) + leak_sentences(found.leaks, found.noun)


def leak_sentences(leaks: Leaks, noun: str) -> list[str]:
    """What the splits share."""
    said = []
    if leaks.duplicates:
        said.append(f"{_plural(len(leaks.duplicates), noun)} in more than one of the set's own splits: a leak")
    if leaks.conflicting:
        one = leaks.conflicting[0]
        which = [f"{name} ({kind})" for name, kind in zip(one.names, one.classes, strict=True)]
        also = ", " + ", ".join(which[2:5]) if which[2:] else ""
        said.append(
            f"{_plural(len(leaks.conflicting), noun)} under more than one class, such as "
            f"{which[0]} and {which[1]}{also}: at most one label can be right"
        )
    return said + [_group_sentence(one, leaks.group) for one in leaks.groups]


def kept_sentence(leaks: Leaks) -> str:
    """Which groups are kept whole, where nobody asked for it by name; else empty."""
    kept = leaks.group
    if kept is None or kept.named:
        return ""
    return (
        f"whole groups of {kept.column} ({kept.groups:,} groups) are kept together in what is split here, "
        f"as the column's name says; data.group={NO_GROUP} lets them be divided"
    )


def kinds_of_reasons(quarantined: list[dict[str, str]]) -> str:
    """How many files were put aside for which kind of reason: reasons that differ in a number only are one."""
    counts = Counter("".join(c for c in re.split("[(,]", one["reason"])[0] if not c.isdigit()) for one in quarantined)
    return ", ".join(f"{count:,} {kind.strip()}" for kind, count in counts.most_common(8))


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _group_sentence(leak: DividedColumn, kept: KeptColumn | None) -> str:
    """What it means that a split divides groups."""
    who = "the set's own split" if leak.by == "set" else "this split"
    divided = (
        f"{who} divides {leak.groups} of {leak.of_groups} groups of {leak.column} "
        f"({leak.examples} of {leak.of_examples} examples)"
    )
    if leak.mended:
        return f"{divided}; it is not used: data.group={leak.column} splits the set anew, whole groups at a time"
    helps = "what is learnt of a group helps on its test examples"
    if leak.by == "seed" and kept:
        return f"{divided}, since it keeps those of {kept.column}: {helps}; data.group={leak.column} keeps these"
    if leak.by == "seed":
        return f"{divided}, as data.group={NO_GROUP} has it: {helps}"
    return f"{divided}: {helps}; data.group={leak.column} mends it"


def doubts(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> list[str]:
    """What makes results on a set so split doubtful, a line each, with the set's name."""
    said = [
        *_aside_sentences(prepared.manifest["quarantined"]),
        *_messy_sentences(prepared),
        *_dark_sentences(_brightest(prepared)),
        *leak_sentences(find_leaks(prepared, config, splits), prepared.kind.noun),
    ]
    return [f"{prepared.manifest['name']}: {sentence}" for sentence in said]


def warn(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> None:
    """Say once in a process, on standard error, what makes results doubtful, and which groups are kept whole."""
    if int(os.environ.get("RANK", 0)) != 0:
        return
    kept = kept_sentence(find_leaks(prepared, config, splits))
    said = [f"{prepared.manifest['name']}: {kept}"] if kept else []
    for sentence in apart(said + doubts(prepared, config, splits)):
        if (kind := _kind(sentence)) not in _said:
            _said.add(kind)
            terminal.say(f"mind: {sentence}")


_said: set[str] = set()


def apart(said: list[str]) -> list[str]:
    """Each sentence once, also where it differs from another by numbers only: those of another seed."""
    first: dict[str, str] = {}
    for sentence in said:
        first.setdefault(_kind(sentence), sentence)
    return list(first.values())


def _kind(sentence: str) -> str:
    """Without its numbers, but for those of the set's name."""
    name, colon, rest = sentence.partition(": ")
    return f"{name}{colon}{re.sub(r'[0-9]+', '#', rest)}"
