"""Two finished runs side by side: on which test examples their answers differ, and how surely."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import config, rundir
from pipeline import key as keys
from pipeline.diagnosis import calibration, ranking
from pipeline.diagnosis.estimate import Estimate, Floats, Ints
from pipeline.diagnosis.paired import Paired, paired
from pipeline.diagnosis.predicted import Predictions, merge
from pipeline.errors import InputError
from pipeline.records import RunRecord

SHOWN = 12  # examples of each kind, those on which both are surest
CUT = ("size", "resize", "messy", "messy_seed")  # of data: what may differ where the examples are the same


@dataclass(frozen=True)
class Example:
    """A test example that the two call differently."""

    index: int  # in the prepared set
    label: str
    called: tuple[str, str]
    sure: tuple[float, float]  # the probability of what each calls it


@dataclass(frozen=True)
class Beside:
    """All of it: of the run that is looked at, and of the other one."""

    groups: str | None  # the column whose groups no split divides: then examples are not independent
    all: Paired
    classes: dict[str, Paired]
    same: int  # examples that both call the same
    asked: list[tuple[str, Any, Any]]  # options that decide a run's numbers and differ
    first: list[Example]  # the first alone is right
    second: list[Example]
    neither: list[Example]  # both are wrong, and differ

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "examples": self.all.total,
            "accuracy": [list(one) for one in self.all.accuracies],
            "difference": list(self.all.difference),
            "p": self.all.p,
            **_counts(self.all),
            "same_answer": self.same,
            "classes": {name: _counts(one) for name, one in self.classes.items()},
            "differ": {
                name: [
                    {"index": one.index, "label": one.label, "called": list(one.called), "sure": list(one.sure)}
                    for one in getattr(self, name)
                ]
                for name in ("first", "second", "neither")
            },
        }


def _counts(one: Paired) -> dict[str, int]:
    return {"both_right": one.both, "first_alone": one.first, "second_alone": one.second, "neither": one.neither}


def compare(run: Path, other: Path) -> Beside:
    """Two runs that finished, by their predictions. Classes are merged as the first run's experiment has it.

    Raises InputError where they were not tested on the same examples, or their predictions are not whole.
    """
    records = _record(run, "run"), _record(other, "against")
    saved = [rundir.read_predictions(one) for one in (run, other)]
    orders = [np.argsort(one["index"], kind="stable") for one in saved]
    index, theirs = (one["index"][order] for one, order in zip(saved, orders, strict=True))
    labels, other_labels = (one["label"][order] for one, order in zip(saved, orders, strict=True))
    if not _same_set(*records) or not np.array_equal(index, theirs) or not np.array_equal(labels, other_labels):
        raise InputError(
            f"against={other}: was not tested on the examples that {run} was tested on. Both want the same data, and "
            "the same seed or data.split_seed, by which it is split."
        )
    settings, classes = config.of_run(run).experiment, records[0].dataset.classes
    names, merged = settings.judged(classes), settings.asked(classes).merged
    made = [
        merge(Predictions(labels, one["logits"][order].astype(np.float64)), merged)
        for one, order in zip(saved, orders, strict=True)
    ]
    labels = made[0].labels
    called_2N = np.stack([one.logits.argmax(axis=1) for one in made])
    right_2N = called_2N == labels
    differ_N = called_2N[0] != called_2N[1]
    probabilities = [calibration.probabilities(one.logits) for one in made]
    # By margins, since many probabilities are 1 where a network is sure of itself; the less sure one counts.
    margins = [ranking.margins(one.logits) for one in made]
    rows = np.arange(len(labels))
    sure_N: Floats = np.minimum(*(one[rows, called] for one, called in zip(margins, called_2N, strict=True)))

    def surest(these_N: Ints) -> list[Example]:
        where = np.flatnonzero(these_N)
        first = where[np.argsort(-sure_N[where], kind="stable")][:SHOWN]
        return [
            Example(
                int(index[i]),
                names[labels[i]],
                (names[called_2N[0, i]], names[called_2N[1, i]]),
                (float(probabilities[0][i, called_2N[0, i]]), float(probabilities[1][i, called_2N[1, i]])),
            )
            for i in first
        ]

    return Beside(
        groups=records[0].dataset.group,
        all=paired(*right_2N),
        classes={name: paired(*right_2N[:, labels == k]) for k, name in enumerate(names) if (labels == k).any()},
        same=int((~differ_N).sum()),
        asked=_asked(run, other),
        first=surest(differ_N & right_2N[0]),
        second=surest(differ_N & right_2N[1]),
        neither=surest(differ_N & ~right_2N.any(axis=0)),
    )


def _record(run: Path, key: str) -> RunRecord:
    """Of a run that finished."""
    record = rundir.read_run(run)
    if (status := rundir.get_status(run).status) != "finished":
        raise InputError(f"{key}={run}: is {status}; runs are set side by side when they have finished.")
    rundir.check_sealed(run, "predictions.npz")
    return record


def _same_set(mine: RunRecord, theirs: RunRecord) -> bool:
    """Whether both are of one set: the same images, or cut or spoilt otherwise out of a set of that name."""
    one, other = mine.dataset, theirs.dataset
    if one.name != other.name or one.classes != other.classes:
        return False
    cuts = [[record.config["data"].get(name) for name in CUT] for record in (mine, theirs)]
    return one.digest == other.digest or cuts[0] != cuts[1]


def _asked(run: Path, other: Path) -> list[tuple[str, Any, Any]]:
    """What was asked of the one and not of the other, of what decides their numbers."""
    mine, theirs = (config.flat(keys.deciding(config.of_run(one))) for one in (run, other))
    names = dict.fromkeys([*mine, *theirs])
    return [(name, mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)]


def said(one: Estimate) -> str:
    """A number and its interval."""
    ends = f" ({one.low:.3f} to {one.high:.3f})" if math.isfinite(one.low) else ""
    return f"{one.value:.3f}{ends}"
