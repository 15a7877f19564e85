"""What the splits of a set share: groups that they divide, and copies of an image."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.data import grouping
from pipeline.data.config import NO_GROUP, Data
from pipeline.data.prepared import Prepared
from pipeline.data.splitting import split_anew


@dataclass(frozen=True)
class DividedColumn:
    """A column whose groups a split divides; counted are the groups that it divides and the examples in these."""

    column: str
    groups: int
    of_groups: int
    examples: int
    of_examples: int
    by: str  # set, seed: whose split it is
    mended: bool  # it is the set's own split, and is not used


@dataclass(frozen=True)
class KeptColumn:
    """The column whose groups are kept whole in what is cut here."""

    column: str
    groups: int
    named: bool  # by data.group; else it is known by its name


@dataclass(frozen=True)
class Copies:
    """One image, the same to the last bit, of several examples."""

    indices: list[int]
    classes: list[str]  # of each
    paths: list[str] | None  # of each, where examples are files
    splits: list[str] | None = None  # of each, where they lie in more than one

    @property
    def names(self) -> list[str]:
        """What to call the examples."""
        return self.paths or [str(i) for i in self.indices]

    def document(self) -> dict[str, list[Any]]:
        """As in the `prepare` document."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Leaks:
    """What the splits share, and what was done against it."""

    group: KeptColumn | None
    groups: list[DividedColumn]
    duplicates: list[Copies]  # in more than one split, which makes a test too easy
    conflicting: list[Copies]  # of more than one class: at most one label can be right

    def document(self) -> dict[str, Any]:
        """As in the `prepare` document."""
        return {
            "group": None if self.group is None else asdict(self.group),
            "groups": [asdict(one) for one in self.groups],
            "duplicates": [one.document() for one in self.duplicates],
            "conflicting": [one.document() for one in self.conflicting],
        }


def find_leaks(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> Leaks:
    """All that the splits share."""
    column = grouping.column_of(prepared, config)
    kept = None
    if column is not None:
        n = len(np.unique(grouping.codes(prepared, column)[prepared.labels >= 0]))
        kept = KeptColumn(column, n, named=config.group is not None)
    copies = _copies(prepared)
    return Leaks(
        group=kept,
        groups=_divided_columns(prepared, config, splits),
        duplicates=_across(prepared, copies, splits),
        conflicting=[one for one in copies if len(set(prepared.labels[one.indices].tolist())) > 1],
    )


def _divided_columns(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> list[DividedColumn]:
    """Those that the set's own split or the seed's divides, or that the former did and is mended."""
    parts = parts_of(prepared, splits)
    if config.val_groups == "shared":  # as was asked for: what counts is the test
        names = list(splits)
        parts = np.where(parts == names.index("val"), names.index("train"), parts)
    own, anew = prepared.own_split, split_anew(prepared, config)
    named = [] if config.group in (None, NO_GROUP) else [str(config.group)]
    found = []
    for column in dict.fromkeys([*named, *grouping.usual_columns(prepared)]):
        groups = grouping.codes(prepared, column)
        if anew and column == config.group and own is not None:
            found.append(divided_column(column, groups, np.where(prepared.labels < 0, -1, own), "set", mended=True))
        elif grouping.is_divided(groups, parts).any():
            by_set = own is not None and not anew and grouping.is_divided(groups, np.where(parts < 0, -1, own)).any()
            found.append(divided_column(column, groups, parts, "set" if by_set else "seed", mended=False))
    return found


def divided_column(
    column: str, groups: np.ndarray, parts: np.ndarray, by: str = "seed", mended: bool = False
) -> DividedColumn:
    """What the split of `parts` [N] does to the groups [N] of a column."""
    bad = grouping.is_divided(groups, parts)
    return DividedColumn(
        column=column,
        groups=len(np.unique(groups[bad])),
        of_groups=len(np.unique(groups[parts >= 0])),
        examples=int(bad.sum()),
        of_examples=int((parts >= 0).sum()),
        by=by,
        mended=mended,
    )


def parts_of(prepared: Prepared, splits: dict[str, np.ndarray]) -> np.ndarray:
    """int64 [N]: the position of each example's split, -1 where it lies in none."""
    parts = np.full(len(prepared.labels), -1, np.int64)
    for code, indices in enumerate(splits.values()):
        parts[indices] = code
    return parts


def _across(prepared: Prepared, copies: list[Copies], splits: dict[str, np.ndarray]) -> list[Copies]:
    """Those that lie in more than one split; of each only the examples that lie in one."""
    parts, names = parts_of(prepared, splits), list(splits)
    found = []
    for one in copies:
        used = [k for k, i in enumerate(one.indices) if parts[i] >= 0]
        lies_in = [names[parts[one.indices[k]]] for k in used]
        if len(set(lies_in)) > 1:
            paths = None if one.paths is None else [one.paths[k] for k in used]
            found.append(Copies([one.indices[k] for k in used], [one.classes[k] for k in used], paths, lies_in))
    return found


def _copies(prepared: Prepared) -> list[Copies]:
    """The examples of each image that more than one has, of the classes that are used."""
    if prepared.same is None:
        return []
    used = np.flatnonzero(prepared.labels >= 0)
    same = prepared.same[used]
    sets: dict[int, list[int]] = {}
    for i in used[np.bincount(same, minlength=len(prepared.same))[same] > 1].tolist():
        sets.setdefault(int(prepared.same[i]), []).append(i)
    paths = prepared.paths if sets else None
    return [
        Copies(indices, [prepared.classes[prepared.labels[i]] for i in indices], paths and [paths[i] for i in indices])
        for indices in sets.values()
    ]
