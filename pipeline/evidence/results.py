"""The results of a sweep as an array over arms and seeds, and the contrasts that can be read from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evidence.paired import Floats
from pipeline.evidence.run import Run, arm_key, level_key

Arms = NDArray[np.intp]


@dataclass(frozen=True)
class Results:
    """One number per arm and seed, the mean where a run was repeated; NaN where there is none."""

    factors: list[str]
    arms: list[dict[str, Any]]  # the levels of each
    seeds: list[int]
    values: Floats  # [arms, seeds]
    index: dict[tuple[str, ...], int]  # an arm's levels, as `arm_key` has them -> its row

    @classmethod
    def of(cls, runs: Sequence[Run], valid: Sequence[Run], factors: Sequence[str], metric: str) -> "Results":
        """Of all `runs`, of which only the `valid` ones count."""
        arms: dict[tuple[str, ...], dict[str, Any]] = {}
        for run in runs:
            arms.setdefault(arm_key(run.levels, factors), {name: run.levels[name] for name in factors})
        index = {key: row for row, key in enumerate(arms)}
        seeds = sorted({run.seed for run in runs})
        column = {seed: i for i, seed in enumerate(seeds)}
        cells: dict[tuple[int, int], list[float]] = {}
        for run in valid:
            where = index[arm_key(run.levels, factors)], column[run.seed]
            cells.setdefault(where, []).append(run.metrics[metric])
        values_AS = np.full((len(arms), len(seeds)), np.nan)
        for where, several in cells.items():
            values_AS[where] = sum(several) / len(several)
        return cls(list(factors), list(arms.values()), seeds, values_AS, index)

    def difference(self, sides: Sequence[Mapping[str, str]]) -> "Difference":
        """Arms with the levels of one side less those with the levels of another, and so on, alternately.

        sides: factor -> `level_key`, each of the same factors. Over all combinations of the other factors' levels that
        every side has.
        """
        rows = [self._side(side) for side in sides]
        common = sorted(set.intersection(*map(set, rows)))
        return Difference(self, [np.array([side[key] for key in common], dtype=np.intp) for side in rows])

    def _side(self, levels: Mapping[str, str]) -> dict[tuple[str, ...], int]:
        """The arms with these levels, by their levels of all other factors."""
        free = [i for i, name in enumerate(self.factors) if name not in levels]
        places = [(i, levels[name]) for i, name in enumerate(self.factors) if name in levels]
        return {
            tuple(key[i] for i in free): row
            for key, row in self.index.items()
            if all(key[i] == wanted for i, wanted in places)
        }


@dataclass(frozen=True)
class Difference:
    """Arms that are taken off others: alternately added and subtracted, paired over the same combinations."""

    results: Results
    sides: list[Arms]  # of equal length: one arm for each combination of what is averaged over

    @property
    def by_cell(self) -> Floats:
        """[combinations, seeds]: NaN where a side has no result."""
        sign, total = 1, np.zeros((len(self.sides[0]), len(self.results.seeds)))
        for side in self.sides:
            total = total + sign * self.results.values[side]
            sign = -sign
        return total

    @property
    def cells(self) -> NDArray[np.intp]:
        """By seed, how many combinations have a result on each side."""
        return (~np.isnan(self.by_cell)).sum(axis=0)

    @property
    def values(self) -> Floats:
        """By seed, the mean over these combinations; NaN where there are none."""
        d_MS, n_S = self.by_cell, self.cells
        return np.where(n_S > 0, np.nansum(d_MS, axis=0) / np.maximum(n_S, 1), np.nan)

    @property
    def weights(self) -> Floats:
        """How it weighs the arms."""
        found = np.zeros(len(self.results.arms))
        for side, sign in zip(self.sides, [1, -1] * (len(self.sides) // 2), strict=True):
            np.add.at(found, side, sign / max(len(side), 1))
        return found


def levels_of(runs: Sequence[Run], factor: str, first: Sequence[Any]) -> list[Any]:
    """The factor's levels that occur, in the order asked for, then as they occur."""
    found: dict[str, Any] = {}
    for run in runs:
        found.setdefault(level_key(run.levels[factor]), run.levels[factor])
    asked = [level_key(level) for level in first if level_key(level) in found]
    return [found[key] for key in dict.fromkeys([*asked, *found])]
