"""Half of a set's classes, drawn by seed: two tasks of one kind out of one set (Yosinski et al. 2014, section 3)."""

from dataclasses import replace

import numpy as np

from pipeline.data.config import HALVES, Data
from pipeline.data.prepared import Prepared
from pipeline.errors import InputError

STREAM = 4  # of random numbers, beside those that splitting draws from


def draw_halves(classes: int, seed: int) -> dict[str, np.ndarray]:
    """{"a", "b"}: which classes are in each half, ascending int64.

    Disjoint and of equal size; of an odd number, the last one drawn is in neither.
    """
    order = np.argsort(np.random.PCG64([seed, STREAM]).random_raw(classes))
    n = classes // 2
    return {half: np.sort(order[i * n : (i + 1) * n]) for i, half in enumerate(HALVES)}


def take_half(prepared: Prepared, config: Data, seed: int) -> Prepared:
    """The set as a run with `config.class_half` sees it; as it is, where that is null.

    Images stay where they are. `classes` are the half's, in their order; `labels` are positions among them, and -1
    for every example of another class, which no split takes. Raises InputError where a half has only one class.
    """
    if config.class_half is None:
        return prepared
    class_count(config, len(prepared.classes))
    seed = seed if config.split_seed is None else config.split_seed
    mine = draw_halves(len(prepared.classes), seed)[config.class_half]
    number = np.full(len(prepared.classes), -1, np.int64)
    number[mine] = np.arange(len(mine))
    return replace(prepared, labels=number[prepared.labels], classes=[prepared.classes[k] for k in mine])


def class_count(config: Data, classes: int) -> int:
    """How many classes a run sees of a set with so many. Raises InputError where a half has only one."""
    if config.class_half is None:
        return classes
    if classes < 4:
        raise InputError(
            f"data.class_half={config.class_half}: {config.name} has {classes} classes; each half needs two at least."
        )
    return classes // 2
