"""Are the arms of a sweep fair? What differs between them besides their factors, before any time is spent."""

import json
import statistics
from collections.abc import Sequence
from math import prod
from typing import Any

from pipeline import config
from pipeline.config import Config, metrics
from pipeline.config.experiment import QUANTITIES
from pipeline.names import LONGEST, shortened
from pipeline.sweep.design import Job, arms

TOLERANCE = 0.05  # costs that differ by less are called the same

WORDS = {
    "params": "parameters",
    "macs": "MACs",
    "layers": "layers with weights",
    "field": "receptive field (as a share of the image)",
    "map": "positions before the head",
    "steps": "training steps",
}


def _measure(quantity: str, job: Job) -> float | None:
    """How much of a quantity a job has; None where that is not known."""
    planned = job.planned
    if quantity == "params":
        return planned.params
    if quantity == "macs":
        return planned.macs
    if quantity == "layers":
        return sum(layer.params > 0 for layer in planned.layers)
    if quantity == "steps":
        return _steps(job)
    last = next((layer for layer in reversed(planned.layers) if len(layer.output_shape) == 3), None)
    if last is None or last.receptive_field is None:
        return None
    if quantity == "map":
        return prod(last.output_shape[1:])
    return min(1.0, last.receptive_field / planned.input_shape[2])  # the width: a sequence has no height


def _steps(job: Job) -> float:
    """How many there are at most, in epochs of all of the set where its size is not known yet."""
    settings = job.settings
    images = 1.0 if settings.data.limit_train is None else settings.data.limit_train
    return float(settings.trainer.max_epochs * images / settings.data.batch_size)


def _unlike(jobs: Sequence[Job]) -> bool:
    """Whether some are limited to a number of images, and others to a share of them."""
    return len({isinstance(job.settings.data.limit_train, int) for job in jobs}) > 1


def duplicates(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Arms that would train the same network in the same way, under different names."""
    same: dict[str, list[Job]] = {}
    for job in arms(jobs):
        same.setdefault(_identity(job), []).append(job)
    return [
        {"arms": [job.levels for job in group], "text": " and ".join(job.arm for job in group) + " are the same"}
        for group in same.values()
        if len(group) > 1
    ]


def _identity(job: Job) -> str:
    layers = [[layer.type, layer.options, layer.output_shape] for layer in job.planned.layers]
    sections = ("data", "augmentation", "transfer", "optimizer", "loss", "trainer")
    rest = {k: v for k, v in config.to_dict(job.settings).items() if k in sections}
    # A section of a kind that names no layers (timm) is told apart by its own keys.
    section = job.settings.architecture if job.settings.architecture.type == "timm" else None
    return json.dumps([layers, rest, str(section)], sort_keys=True, default=str)


def confounds(factors: Sequence[str], jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """What changes with a factor besides the factor: per level the cost against that of the first level.

    Each names factor, level, reference, quantity and ratio. `meant` is true where the experiment's
    `meant_to_differ` lists the quantity: then it is part of the question, not a flaw of its design.
    """
    found = []
    all_arms = arms(jobs)
    for factor in factors:
        levels: dict[str, list[Job]] = {}
        for job in all_arms:
            levels.setdefault(json.dumps(job.levels[factor], default=str), []).append(job)
        groups = list(levels.values())
        for quantity in QUANTITIES:
            measured = [[_measure(quantity, job) for job in group] for group in groups]
            if (quantity == "steps" and _unlike(all_arms)) or any(None in values for values in measured):
                continue
            means = [statistics.mean(value for value in values if value is not None) for values in measured]
            for group, mean in zip(groups[1:], means[1:], strict=True):
                ratio = mean / means[0] if means[0] else float("inf")
                if abs(ratio - 1) <= TOLERANCE:
                    continue
                level, reference = group[0].levels[factor], groups[0][0].levels[factor]
                short = factor.rpartition(".")[2]
                this, that = (shortened(str(one), LONGEST) for one in (level, reference))
                found.append(
                    {
                        "factor": factor,
                        "level": level,
                        "reference": reference,
                        "quantity": quantity,
                        "ratio": ratio,
                        "meant": quantity in group[0].settings.experiment.meant_to_differ,
                        "text": f"{short} {this} has {ratio:.2g} times the {WORDS[quantity]} of {that}",
                    }
                )
    return found


def tested_apart(jobs: Sequence[Job]) -> list[str]:
    """A line where arms are tested on different images at one seed, as far as their data is prepared."""
    first: dict[int, Job] = {}
    for job in jobs:
        other = first.setdefault(job.seed, job)
        if job.resolved and other.resolved and job.resolved.tested_on != other.resolved.tested_on:
            return [f"{other.arm} and {job.arm} are tested on different examples: what differs may be these"]
    return []


def unmatched(jobs: Sequence[Job]) -> list[str]:
    """Arms that should cost what their reference costs, and could not be brought within 5 %."""
    return [f"{job.arm}: {job.planned.match.note}" for job in arms(jobs)
            if job.planned.match and not job.planned.match.matched]  # fmt: skip


def contradictions(settings: Config) -> list[str]:
    """What the question says against itself, a line each."""
    return metrics.contradiction(settings.experiment.metric, str(settings.experiment.mode))


def warnings(factors: Sequence[str], jobs: Sequence[Job]) -> list[str]:
    """All that a reviewer would hold against this design, a line each."""
    return [
        *contradictions(jobs[0].settings),
        *(one["text"] for one in duplicates(jobs)),
        *(one["text"] for one in confounds(factors, jobs) if not one["meant"]),
        *unmatched(jobs),
        *tested_apart(jobs),
    ]
