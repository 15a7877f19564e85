"""Groups: examples that belong together (a patient, a track, an author), which no split may divide.

A network that has seen a patient's other cells knows more than it will about a new patient. Columns of the names
below are therefore kept whole without being asked wherever the split is cut here; data.group names any other column,
or none. A split of the set's own is not cut here: where it divides groups, that is told, and data.group mends it.

Exact copies of an image belong together as well, whatever their labels say.
"""

import numpy as np

from pipeline.data.config import NO_GROUP, Data
from pipeline.data.prepared import Prepared
from pipeline.data.raw import TEST, TRAIN, VAL
from pipeline.errors import InputError, nearest

USUAL = (
    "group", "patient", "pid", "subject", "person", "participant", "volunteer", "individual", "identity", "donor",
    "animal", "mouse", "specimen", "case", "lesion", "slide", "study", "series", "session", "family", "household",
    "author", "writer", "speaker", "user", "owner", "track", "video", "clip", "sequence", "episode", "scene", "site",
    "location", "camera",
)  # fmt: skip
# What such a word stands beside: Patient ID, subject_no, StudyInstanceUID, id_track.
BESIDE = (
    "id", "ids", "uid", "uuid", "guid", "no", "nr", "num", "number", "name", "code", "key", "index", "instance", "hash",
)  # fmt: skip

ROUNDS = 20
ENOUGH = 10  # groups, and ENOUGH_EACH of every class: fewer can hardly be shared out three ways
ENOUGH_EACH = 3


def is_usual(column: str) -> bool:
    """Whether a column's name says that it groups: patient, Patient ID, patients, subject_no."""
    return _is_group("".join(c for c in column.lower() if c.isalnum()))


def _is_group(word: str) -> bool:
    if word in USUAL or word.removesuffix("s") in USUAL:
        return True
    shorter = {word.removesuffix(one) for one in BESIDE} | {word.removeprefix(one) for one in BESIDE}
    return any(_is_group(one) for one in shorter - {word} if one)


def usual_columns(prepared: Prepared) -> list[str]:
    """The columns whose name says that they group, and whose values do: neither all the same nor all different."""
    used = prepared.labels >= 0
    return [
        column
        for column in prepared.columns
        if is_usual(column) and 1 < len(np.unique(codes(prepared, column)[used])) < used.sum()
    ]


def column_of(prepared: Prepared, config: Data) -> str | None:
    """The column that no part cut here may divide: the one named by data.group, else one known by its name.

    Of several it is the coarsest that has groups enough to be shared out, else the finest. It follows from what is in
    the set, and neither from the seed nor from what is cut off. None: there is none, or data.group=none, or the
    set's own split leaves nothing to cut.
    """
    if config.group is not None:
        return None if config.group == NO_GROUP else config.group
    own = prepared.own_split if config.folds is None else None
    if own is not None and (own == VAL).any() and (own == TEST).any():
        return None
    pool = prepared.labels >= 0
    if own is not None:
        pool &= own == TRAIN
    counts, enough = {}, []
    for column in usual_columns(prepared):
        groups = codes(prepared, column)[pool]
        counts[column] = len(np.unique(groups))
        pairs = np.unique(groups * len(prepared.classes) + prepared.labels[pool])
        of_class = np.bincount(pairs % len(prepared.classes), minlength=len(prepared.classes))
        if counts[column] >= ENOUGH and of_class.min() >= ENOUGH_EACH:
            enough.append(column)
    return min(enough, key=counts.__getitem__) if enough else max(counts, key=counts.__getitem__, default=None)


def codes(prepared: Prepared, column: str) -> np.ndarray:
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


def copies(prepared: Prepared) -> np.ndarray | None:
    """int64 [N]: the first example with the same image; None where no two have the same."""
    same = prepared.same
    return None if same is None or (same == np.arange(len(same))).all() else same


def join(groups: np.ndarray, same: np.ndarray | None) -> np.ndarray:
    """int64 [N]: groups that share an image are one group. `same` is what `copies` gives."""
    if same is None:
        return groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group, image = (np.unique(of, return_inverse=True)[1] for of in (groups, same))
    n = int(group.max()) + 1
    links = coo_array((np.ones(len(group), np.int8), (group, n + image)), shape=(n + int(image.max()) + 1,) * 2)
    _, component = connected_components(links, directed=False)
    return np.asarray(component, np.int64)[group]


def is_divided(groups: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """bool [N]: whether an example's group lies in more than one part. parts: [N], negative: in none."""
    group = np.unique(groups, return_inverse=True)[1]
    lies_in = np.zeros(len(groups), np.int64)
    for part in np.unique(parts[parts >= 0]):
        lies_in += np.bincount(group[parts == part], minlength=len(groups)) > 0
    return (parts >= 0) & (lies_in[group] > 1)


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
