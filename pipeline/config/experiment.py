"""The `experiment` section: the question that a sweep answers, and what of it is judged."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.metrics import METRICS
from pipeline.diagnosis.predicted import FLOOR, Asked
from pipeline.errors import InputError, nearest, one_of, within
from pipeline.key import aside, newer

# What arms can differ in besides their factors, see sweep/fairness.py.
QUANTITIES = ("params", "macs", "layers", "field", "map", "steps")
EXPECTATIONS = ("better", "worse", "equal", "not_worse")


@dataclass
class Contrast:
    """A difference that a claim is about: one level of a factor less another, over all else or at named levels.

    With `against`, the difference `at` some levels less the same difference `against` others: whether the one depends
    on the other.
    """

    compare: dict[str, Any] = field(default_factory=dict)  # {factor: [one level, another]}, of one factor or of several
    at: dict[str, Any] = field(default_factory=dict)  # {other factor: level}; over the levels of what is not named
    against: dict[str, Any] = field(default_factory=dict)  # the same factors as `at`, at other levels
    claim: str = ""  # in words
    expects: str | None = None  # what the claim says of the first; null: nothing
    margin: float | None = None  # the smallest effect of interest; null: the experiment's
    metric: str | None = None  # what is compared; null: the experiment's

    def __post_init__(self) -> None:
        name = f"experiment.contrasts ({self.claim or self.compare})"
        if self.expects is not None:
            one_of("experiment.contrasts.expects", self.expects, EXPECTATIONS)
        if self.metric is not None:
            one_of("experiment.contrasts.metric", self.metric, METRICS)
        if self.margin is not None and not self.margin > 0:
            raise InputError(f"experiment.contrasts.margin={self.margin}: must be greater than 0.")
        if not self.compare or not all(map(_is_pair, self.compare.values())):
            raise InputError(
                f"{name}: compare={self.compare} must name two levels of a factor, as in {{architecture: [mlp, cnn]}}."
            )
        if twice := sorted(set(self.compare) & {*self.at, *self.against}):
            raise InputError(f"{name}: {twice[0]} is compared, so at cannot fix it.")
        if self.against and set(self.against) != set(self.at):
            raise InputError(f"{name}: against={self.against} must name the factors of at={self.at}.")

    @property
    def sides(self) -> list[dict[str, Any]]:
        """The levels of what is added, of what is taken off it, and with `against` of what both are taken off."""
        first, second = ({factor: pair[i] for factor, pair in self.compare.items()} for i in (0, 1))
        near = [first | self.at, second | self.at]
        return [*near, second | self.against, first | self.against] if self.against else near


def _is_pair(levels: Any) -> bool:
    return isinstance(levels, list | tuple) and len(levels) == 2 and levels[0] != levels[1]


@dataclass
class Experiment:
    """The question that a sweep answers."""

    name: str = aside("train")  # of the question, in a word
    question: str = aside("")  # in words, for the report
    metric: str = aside("test/acc")  # what levels are compared by
    mode: str | None = aside(None)  # which end of the metric is better; null: as the metric has it
    smallest_effect: float = aside(0.01)  # differences below it do not matter to the asker, in the metric
    max_seeds: int = aside(30)  # of seeds=auto: the most; what is open then stays so
    class_map: Any = aside(None)  # {class: [classes that are trained, ...]}: what is judged instead; null: each itself
    positive: str | None = aside(None)  # the class that test/auroc and so on are about; null: their mean over classes
    specificity: float = aside(FLOOR)  # at least that is kept, on validation, where test/sensitivity is reported
    sensitivity: float = aside(FLOOR)  # the same for test/specificity
    invariance: bool = False  # every run ends with its accuracy against rotation, scale and shift
    localization: bool = newer(False)  # every run ends with how well its class maps find the boxes of its test images
    meant_to_differ: list[str] = aside([])  # what else differs between arms and is part of the question
    contrasts: list[Contrast] = aside([])  # what the question asks beyond which level of a factor is best
    quadrants: list[str] = aside([])  # two factors: how much data (small first), how near the source (similar first)

    def __post_init__(self) -> None:
        self.contrasts = [one if isinstance(one, Contrast) else Contrast(**one) for one in self.contrasts]
        one_of("experiment.metric", self.metric, METRICS)
        if self.mode is not None:
            one_of("experiment.mode", self.mode, ("max", "min"))
        for quantity in self.meant_to_differ:
            one_of("experiment.meant_to_differ", quantity, QUANTITIES)
        if not isinstance(self.max_seeds, int) or not 2 <= self.max_seeds <= 1000:
            raise InputError(f"experiment.max_seeds={self.max_seeds}: must be a whole number from 2 to 1000.")
        if not self.smallest_effect > 0:
            raise InputError(f"experiment.smallest_effect={self.smallest_effect}: must be greater than 0.")
        self._check_map()
        within("experiment.specificity", self.specificity, 0, 1)
        within("experiment.sensitivity", self.sensitivity, 0, 1)
        if not self.name or not all(c.isalnum() or c in "-_." for c in self.name) or self.name.startswith("."):
            raise InputError(f"experiment.name={self.name}: must name a folder: letters, digits, '-', '_' and '.'.")

    def _check_map(self) -> None:
        if self.class_map is None:
            return
        names = self.class_map if isinstance(self.class_map, dict) else {}
        if len(names) < 2 or not all(isinstance(fine, list) and fine for fine in names.values()):
            raise InputError(
                f"experiment.class_map={self.class_map}: must name the classes of two and more, as in "
                "{malignant: [mel, bcc], benign: [nv]}."
            )
        for metric in (self.metric, *(one.metric for one in self.contrasts if one.metric)):
            if not METRICS[metric].mapped:
                allowed = ", ".join(name for name, one in METRICS.items() if one.mapped)
                raise InputError(
                    f"experiment.metric={metric}: is of the classes that are trained, and experiment.class_map judges "
                    f"others. Allowed: {allowed}."
                )

    def judged(self, classes: Sequence[Any]) -> list[str]:
        """The names of the classes that are judged, of a set of these classes. InputError where they do not fit."""
        trained = [str(name) for name in classes]
        if self.class_map is None:
            return trained
        mapped = [str(name) for fine in self.class_map.values() for name in fine]
        for name in mapped:
            if name not in trained:
                raise InputError(f"experiment.class_map: {name} is no class of the set.{nearest(name, trained)}")
            if mapped.count(name) > 1:
                raise InputError(f"experiment.class_map: {name} is named twice.")
        if lacking := [name for name in trained if name not in mapped]:
            raise InputError(f"experiment.class_map: must name each class of the set, and lacks {lacking[0]}.")
        return [str(name) for name in self.class_map]

    def asked(self, classes: Sequence[Any]) -> Asked:
        """What figures of predictions are about, for a set of these classes. InputError where they do not fit."""
        names, trained = self.judged(classes), [str(name) for name in classes]
        parts = [] if self.class_map is None else self.class_map.values()
        merged = tuple(tuple(trained.index(str(name)) for name in fine) for fine in parts)
        if self.positive is not None and self.positive not in names:
            raise InputError(
                f"experiment.positive={self.positive}: no such class.{nearest(self.positive, names)} "
                f"The set has {', '.join(names[:20])}{' and more' if len(names) > 20 else ''}."
            )
        positive = None if self.positive is None else names.index(self.positive)
        return Asked(positive, self.specificity, self.sensitivity, merged)
