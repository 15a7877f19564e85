"""The `data` section of the configuration."""

import re
from dataclasses import dataclass, fields
from typing import Any

from pipeline.data.formats import FORMATS
from pipeline.data.kinds import KINDS, Kind
from pipeline.data.raw import BOX
from pipeline.data.texts import TOKENS
from pipeline.errors import InputError, at_least, one_of, within
from pipeline.key import aside, newer

RESIZE = ("pad", "stretch", "crop")
SAMPLING = ("natural", "balanced")
HALVES = ("a", "b")
VAL_GROUPS = ("whole", "shared")
NO_GROUP = "none"  # as data.group: examples are split one by one, whatever the columns are called
# Of a manifest's columns; data.columns may say them by other names.
ROLES = ("path", "text", "label", "split", "group", *BOX)


@dataclass
class Data:
    """Which examples, at which size, split how, in which batches. Every bad field raises InputError.

    `root` is looked at by `prepare`, not here: a finished run's config must load where its files are gone.
    """

    source: str = "digits"  # what reads the raw files
    name: str = "digits"  # what the set is called: folders, class names, where it is published
    root: str | None = aside(None)  # folder of the raw files (npz: the file itself); null: raw/NAME, by data.name
    manifest: str | None = aside(None)  # the CSV file of data=manifest, below root or from here
    columns: Any = aside(None)  # of data=manifest, {path: NAME, label: NAME, ...}: what its file calls them
    size: int = 8  # side of an image or map, tokens of a text
    resize: str = "stretch"  # how an image that is no square becomes one
    val_fraction: float = 0.1  # for validation: of the training part where the set has a test split, else of the whole
    test_fraction: float = 0.2  # for testing, of the whole set; unused where it has a test split of its own
    limit_train: Any = None  # training examples, by number or as a fraction of them; classes keep their shares
    group: str | None = None  # the column that no split may divide; null: one known by its name; none: no column
    val_groups: str = newer("whole")  # shared: validation may have groups that are trained on, as where there are few
    class_half: str | None = None  # only this half of the classes, drawn by the split's seed; null: all of them
    split_seed: int | None = None  # draws the splits; null: the run's seed does
    folds: int | None = newer(None)  # into so many parts, of which run seed s tests on part s modulo folds; null: none
    sampling: str = newer("natural")  # of training examples; balanced: as many of each class
    tokens: str = newer("words")  # what a text is made of
    vocabulary: int = newer(10_000)  # of text: token numbers, of which 0 is none and 1 any token that is not known
    rate: int = newer(8000)  # of sound: samples a second, to which each recording is brought
    seconds: float = newer(1.0)  # of sound: how much of each is heard, its middle; what is shorter is padded by silence
    frames: int = newer(3)  # of a game: the newest pictures of its field that are seen at once
    episodes: int = newer(500)  # of a game: so many are in the set, some situations of each
    batch_size: int = 32  # examples a step, over all devices together
    num_workers: int = aside(0)  # processes that load batches beside the one that trains; 0: it loads its own
    messy: float = 0.0  # how much images are spoilt on purpose: moved, sized, cluttered, made noisy
    messy_seed: int = 0  # draws how each is spoilt
    max_pixels: int = aside(50_000_000)  # an image file with more pixels is put aside before it is decoded
    prepared_dir: str = aside("prepared")  # folder of the prepared sets

    @property
    def kind(self) -> Kind:
        """What the examples are."""
        return KINDS[FORMATS[self.source].kind]

    def __post_init__(self) -> None:
        one_of("data.source", self.source, FORMATS)
        # It becomes part of a folder's name.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", str(self.name)):
            raise InputError(f"data.name={self.name}: must be letters, digits, '_', '.' or '-'.")
        if self.root is not None and not str(self.root).strip():
            raise InputError(f"data.root={self.root}: must be a folder, or null for raw/{self.name}.")
        _whole("data.size", self.size, 1)
        if self.size % (multiple := FORMATS[self.source].multiple):
            raise InputError(f"data.size={self.size}: must be a multiple of {multiple} for data.source={self.source}.")
        one_of("data.resize", self.resize, RESIZE)
        one_of("data.sampling", self.sampling, SAMPLING)
        _fraction("data.val_fraction", self.val_fraction)
        _fraction("data.test_fraction", self.test_fraction)
        if self.val_fraction + self.test_fraction >= 1:
            raise InputError(
                f"data.val_fraction={self.val_fraction} and data.test_fraction={self.test_fraction}: "
                "must add up to less than 1, or nothing is left to train on."
            )
        _limit(self.limit_train)
        if FORMATS[self.source].listed and not str(self.manifest or "").strip():
            raise InputError(f"data.manifest={self.manifest}: must be the CSV file that lists the {self.kind.noun}s.")
        if not FORMATS[self.source].listed and self.manifest is not None:
            raise InputError(f"data.manifest={self.manifest}: {self._reads_none()}")
        if self.columns is not None:
            self._check_columns()
        if self.group not in (None, NO_GROUP) and not FORMATS[self.source].grouped:
            raise InputError(f"data.group={self.group}: data.source={self.source} knows no groups; leave it null.")
        one_of("data.val_groups", self.val_groups, VAL_GROUPS)
        if self.class_half is not None:
            one_of("data.class_half", self.class_half, HALVES)
        if self.split_seed is not None:
            _whole("data.split_seed", self.split_seed, 0)
        if self.folds is not None:
            self._check_folds()
        within("data.frames", self.frames, 1, 16)
        within("data.episodes", self.episodes, 3, 10_000)
        _whole("data.batch_size", self.batch_size, 1)
        _whole("data.num_workers", self.num_workers, 0)
        if isinstance(self.messy, bool) or not isinstance(self.messy, int | float) or not 0 <= self.messy <= 1:
            raise InputError(f"data.messy={self.messy}: must be a strength, from 0 (as it is) to 1.")
        _whole("data.messy_seed", self.messy_seed, 0)
        _whole("data.max_pixels", self.max_pixels, 1)
        one_of("data.tokens", self.tokens, TOKENS)
        _whole("data.vocabulary", self.vocabulary, 3)
        _whole("data.rate", self.rate, 1000)
        within("data.rate", self.rate, 1000, 192_000)
        self._check_seconds()
        self._check_kind()
        if not str(self.prepared_dir).strip():
            raise InputError(f"data.prepared_dir={self.prepared_dir}: must be a folder.")

    def _check_folds(self) -> None:
        assert self.folds is not None
        _whole("data.folds", self.folds, 2)
        if self.val_fraction + 1 / self.folds >= 1:
            raise InputError(
                f"data.folds={self.folds} and data.val_fraction={self.val_fraction}: leave nothing to train on."
            )

    def _check_seconds(self) -> None:
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int | float) or not 0 < self.seconds <= 60:
            raise InputError(f"data.seconds={self.seconds}: must be seconds, above 0 and up to 60.")
        samples = round(self.seconds * self.rate)
        if "seconds" in self.kind.own_keys and samples < self.size:
            raise InputError(
                f"data.seconds={self.seconds}: has {samples} samples at data.rate={self.rate}, too few for the "
                f"data.size={self.size} moments of a map."
            )

    def _check_kind(self) -> None:
        """Refuse what only examples of another kind have."""
        if self.kind.worded and self.size < 2:
            raise InputError(f"data.size={self.size}: is how many tokens of a text there are; at least 2.")
        for kind in KINDS.values():
            for one in fields(self) if kind is not self.kind else ():
                value = getattr(self, one.name)
                if one.name in kind.own_keys and one.name not in self.kind.own_keys and value != one.default:
                    raise InputError(
                        f"data.{one.name}={value}: is of {kind.noun}s, and data.source={self.source} gives "
                        f"{self.kind.noun}s."
                    )

    def _reads_none(self) -> str:
        fits = next((name for name, one in FORMATS.items() if one.listed and one.kind == self.kind.name), "manifest")
        return f"data.source={self.source} reads none; use data={fits}."

    def _check_columns(self) -> None:
        if not FORMATS[self.source].listed:
            raise InputError(f"data.columns={self.columns}: {self._reads_none()}")
        if not isinstance(self.columns, dict) or not self.columns:
            raise InputError(f"data.columns={self.columns}: must be names by what they stand for, {{path: NAME}}.")
        for role in self.columns:
            one_of("data.columns, a key", role, ROLES)
        self.columns = {role: str(name) for role, name in self.columns.items()}
        if len(set(self.columns.values())) < len(self.columns):
            raise InputError(f"data.columns={self.columns}: names one column twice.")


def _whole(field: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{field}={value}: must be a whole number, at least {low}.")
    at_least(field, value, low)


def _fraction(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise InputError(f"{field}={value}: must be a fraction, above 0 and below 1.")


def _limit(value: object) -> None:
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    fraction = isinstance(value, float) and 0 < value <= 1
    if not (value is None or count or fraction):
        raise InputError(
            f"data.limit_train={value}: must be a whole number of training examples, at least 1, "
            "a fraction above 0.0 and up to 1.0, or null for all."
        )
