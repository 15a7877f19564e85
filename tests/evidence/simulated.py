"""Experiments that are simulated: their contrasts, and their noise."""

import itertools
import math

import numpy as np


def pairs(levels: int, factors: int = 1) -> np.ndarray:
    """Weights [contrasts, cells] of all pairs of levels of each factor of a crossed design."""
    cells = list(itertools.product(range(levels), repeat=factors))
    share = levels ** (factors - 1)
    rows = []
    for factor in range(factors):
        for first, second in itertools.combinations(range(levels), 2):
            rows.append([((cell[factor] == first) - float(cell[factor] == second)) / share for cell in cells])
    return np.array(rows)


def noise(kind: str, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Results [sweeps, cells, seeds] of equal arms: their spread is about 1."""
    if kind == "normal":  # with a seed's own luck, which pairing removes
        return rng.normal(size=shape) + 3 * rng.normal(size=(shape[0], 1, shape[2]))
    # An accuracy near its ceiling over 400 test examples: skew, in steps.
    return rng.binomial(400, 0.985, size=shape) / 400 / math.sqrt(0.985 * 0.015 / 400)
