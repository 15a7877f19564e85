"""Which runs of a sweep are trained at once, as one network: seeds of one arm, see training/stack.py."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.sweep.design import Job

T = TypeVar("T")


def share_out(runs: Sequence[T], job_of: Callable[[T], Job], places: int) -> list[list[T]]:
    """`runs` that are to be stacked, in stacks of one arm each, of equal size as far as that goes.

    By trainer.stack=auto there are as many as `places`, at which a launcher trains at once, if that can be: what comes
    of a seed is the same in any.
    """
    arms: dict[str, list[T]] = {}
    for run in runs:
        arms.setdefault(_but_seed(job_of(run)), []).append(run)
    found = []
    for arm in arms.values():
        first = job_of(arm[0])
        count = -(-len(arm) // int(first.definite.trainer.stack))
        if first.asked.trainer.stack == "auto":
            count = min(len(arm), max(count, -(-places // len(arms))))
        found += [list(arm[len(arm) * i // count : len(arm) * (i + 1) // count]) for i in range(count)]
    return found


def _but_seed(job: Job) -> str:
    """Equal for jobs that differ by their seeds alone."""
    return json.dumps(dataclasses.asdict(dataclasses.replace(job.asked, seed=0)), sort_keys=True, default=str)
