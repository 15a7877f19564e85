"""Sweeps made up for the tests of the evidence."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pipeline.evidence import Run

Sweep = Callable[..., list[Run]]


def one_factor(values: Mapping[Any, Sequence[float]], key: str = "architecture.kernel_size") -> list[Run]:
    """One run per level and seed; seeds count from 1. 100 parameters times the place of the level."""
    return [
        Run(
            {key: level},
            seed,
            {"test/acc": value},
            100 * i,
            1000 * i,
            2.0 * i,
            "finished",
            f"runs/{level}-{seed}",
        )
        for i, (level, row) in enumerate(values.items(), start=1)
        for seed, value in enumerate(row, start=1)
    ]


def crossed(value: Callable[[Any, Any, int], float], seeds: int = 3) -> list[Run]:
    """Kernel sizes 3 and 5 crossed with padding same and valid."""
    return [
        Run(
            {"kernel": kernel, "padding": padding},
            seed,
            {"test/acc": value(kernel, padding, seed)},
            kernel * kernel,
            10 * kernel,
            1.0,
            "finished",
            f"runs/{kernel}-{padding}-{seed}",
            {"val/acc": [(0, 0.5), (1, value(kernel, padding, seed))], "train/loss": [(0, 2.0), (1, 1.0)]},
        )
        for kernel, padding, seed in itertools.product((3, 5), ("same", "valid"), range(1, seeds + 1))
    ]


@pytest.fixture(name="one_factor")
def _one_factor() -> Sweep:
    return one_factor


@pytest.fixture(name="crossed")
def _crossed() -> Sweep:
    return crossed
