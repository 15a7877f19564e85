"""Groups: examples that belong together (a patient, a track, an author), which no split may divide.

A network that has seen a patient's other cells knows more than it will about a new patient. Whoever published
a set may have split it without a thought of that, so it is looked for without being asked in columns of the
names below; any column can be named by data.group.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import InputError, nearest

if TYPE_CHECKING:
    from pipeline.data.prepared import Prepared

USUAL = (
    "group", "patient", "subject", "person", "participant", "case", "lesion", "family", "author", "writer",
    "speaker", "user", "track", "video", "scene", "site",
)  # fmt: skip


ROUNDS = 20


def is_usual(column: str) -> bool:
    """Whether a column's name says that it groups: patient, patient_id, PatientID."""
    return column.lower().removesuffix("id").removesuffix("_") in USUAL


def codes(prepared: "Prepared", column: str) -> np.ndarray:
    """int64 [N]: each example's group; an example without a value is a group of its own. InputError if unknown."""
    if column not in prepared.columns:
        has = ", ".join(prepared.columns) or "none"
        raise InputError(
            f"data.group={column}: {prepared.manifest.get('name')} has no such column; "
            f"it has {has}.{nearest(column, prepared.columns)}"
        )
    found = prepared.columns[column].astype(np.int64)
    alone = np.flatnonzero(found < 0)
    found[alone] = found.max(initial=-1) + 1 + np.arange(len(alone))
    return found


def divided(groups: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """bool [N]: whether an example's group lies in more than one part. parts: [N] of small whole numbers."""
    pairs = np.unique(np.stack([groups, parts.astype(np.int64)]), axis=1)
    values, lies_in = np.unique(pairs[0], return_counts=True)
    return np.isin(groups, values[lies_in > 1])


def leaks(prepared: "Prepared", group: str | None = None) -> list[dict[str, Any]]:
    """Where the set's own split divides groups: of the column that was named, else of all with a usual name.

    [{"column", "groups", "of_groups", "examples", "of_examples"}, ...]; empty where nothing leaks.
    """
    if prepared.own_split is None:
        return []
    found = []
    for column in [group] if group else [name for name in prepared.columns if is_usual(name)]:
        groups = codes(prepared, column)
        bad = divided(groups, prepared.own_split)
        if bad.any():
            found.append(
                {
                    "column": column,
                    "groups": len(np.unique(groups[bad])),
                    "of_groups": len(np.unique(groups)),
                    "examples": int(bad.sum()),
                    "of_examples": len(groups),
                }
            )
    return found


def cut(labels: np.ndarray, groups: np.ndarray, share: np.ndarray, seed: int, stream: int) -> np.ndarray:
    """bool [n]: whole groups that together have about `share` [classes] examples of each class.

    Groups come in a random order, and one is taken, or given back, where that brings the part nearer to its
    share: in squared distance over the classes, each by its share, so that rare classes count. Round after round,
    until none is. At least one is taken, and one left. InputError where there are fewer than two.
    """
    values, group = np.unique(groups, return_inverse=True)
    if len(values) < 2:
        raise InputError(f"{len(values)} group is left to cut a part from, and no split may divide it")
    order = np.argsort(np.random.PCG64([seed, stream]).random_raw(len(values)))
    by_group = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    weight = 1 / np.maximum(share, 1e-9)
    have = np.zeros(len(share))
    taken = np.zeros(len(values), bool)
    n_taken = 0
    members = [by_group[end - size : end] for end, size in zip(ends, np.bincount(group), strict=True)]
    counted = [np.unique(labels[mine], return_counts=True) for mine in members]
    for _ in range(ROUNDS):
        best, best_change, moved = -1, np.inf, False
        for one in order.tolist():
            which, count = counted[one]
            count = -count if taken[one] else count
            change = float((weight[which] * count * (2 * (have[which] - share[which]) + count)).sum())
            last = n_taken == (1 if taken[one] else len(values) - 1)
            if change < -1e-9 and not last:
                taken[one] = not taken[one]
                n_taken += 1 if taken[one] else -1
                have[which] += count
                moved = True
            elif change < best_change:
                best, best_change = one, change
        if not moved:
            break
    if n_taken == 0:  # every group is more than the part should have: the one that overshoots least
        taken[best] = True
    return taken[group]
