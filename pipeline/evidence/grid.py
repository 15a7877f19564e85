"""The results of one factor by level, combination of the other factors' levels (its cells) and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.evidence.arms import finite, mean, value
from pipeline.evidence.run import Run, arm_key, level_key

Cell = tuple[str, ...]  # the keys of the other factors' levels


@dataclass(frozen=True)
class Grid:
    """Where the levels of a factor have results, and where they meet.

    A level is described by the seeds that it has: one that another lacks takes nothing from its mean. Each seed counts
    by the mean over the cells in which all levels that have results at it have one: what a cell is like tilts none. In
    a sequential design arms end one by one, and a seed counts where it has all the cells that every level has.
    """

    metric: str
    results: dict[tuple[str, Cell, int], list[Run]]  # more than one run only where one was repeated
    present: list[str]  # keys of the levels that have any result
    cells: dict[Cell, dict[str, Any]]  # the levels of the other factors
    meet: bool  # whether all of `present` have a result in some cell at some seed
    missing: list[dict[str, Any]]  # where they do not, as the document has it, but for arms that had ended
    sequential: bool  # arms may end at different looks

    @classmethod
    def of(
        cls,
        metric: str,
        valid: Sequence[Run],
        runs: Sequence[Run],
        factor: str,
        others: Sequence[str],
        levels: Sequence[Any],
        sequential: bool,
    ) -> "Grid":
        """Of all `runs`, of which only the `valid` ones count, by `metric`."""
        keys = [level_key(level) for level in levels]
        results: dict[tuple[str, Cell, int], list[Run]] = {}
        for run in valid:
            where = (level_key(run.levels[factor]), arm_key(run.levels, others), run.seed)
            results.setdefault(where, []).append(run)
        present = [key for key in keys if any(where[0] == key for where in results)]
        cells = {arm_key(run.levels, others): {other: run.levels[other] for other in others} for run in runs}
        planned = {(level_key(run.levels[factor]), arm_key(run.levels, others), run.seed) for run in runs}
        meet, missing = False, []
        for seed in sorted({run.seed for run in runs}):
            for cell in sorted(cells):
                absent = [key for key in present if (key, cell, seed) not in results]
                if not absent and present:
                    meet = True
                elif absent := [key for key in absent if (key, cell, seed) in planned or not sequential]:
                    gone = [levels[keys.index(key)] for key in absent]
                    missing.append({"seed": seed, "cell": cells[cell], "levels": gone})
        return cls(metric, results, present, cells, meet, missing, sequential)

    @cached_property
    def _cells(self) -> dict[tuple[str, int], list[Cell]]:
        """By level and seed that describes it, the cells that the mean is over."""
        there: dict[int, dict[str, set[Cell]]] = {}
        for key, cell, seed in self.results:
            there.setdefault(seed, {}).setdefault(key, set()).add(cell)
        ever = {key: set.union(*(some.get(key, set()) for some in there.values())) for key in self.present}
        common = set.intersection(*ever.values()) if ever else set()
        found: dict[tuple[str, int], list[Cell]] = {}
        for seed, cells_of in there.items():
            shared = common if self.sequential else set.intersection(*cells_of.values())
            kept = [cell for cell in self.cells if cell in shared]
            found |= {(key, seed): kept for key, cells in cells_of.items() if kept and shared <= cells}
        return found

    @cached_property
    def seeds(self) -> list[int]:
        """Those at which some level is described; none where the levels of a fixed list meet at no seed."""
        if not self.sequential and not self.meet:
            return []
        return sorted({seed for _, seed in self._cells})

    def cells_of(self, key: str, seed: int) -> list[Cell]:
        """The cells that a level's mean at a seed is over; none where it is not described by it."""
        return self._cells.get((key, seed), [])

    @property
    def averaged(self) -> list[int]:
        """Over how many cells the seeds are means, each number once."""
        return sorted({len(cells) for cells in self._cells.values()})

    def values(self, key: str) -> list[float | None]:
        """The metric of a level, at each of `seeds`."""
        return [finite(self.mean(key, seed, "metric")) for seed in self.seeds]

    def mean(self, key: str, seed: int, what: str) -> float:
        """Mean of the metric or a cost of a level at one seed; NaN where it has none."""
        return mean([self.mean_in(cell, key, seed, what) for cell in self.cells_of(key, seed)])

    def mean_in(self, cell: Cell, key: str, seed: int, what: str = "metric") -> float:
        """The metric or a cost in one cell at one seed."""
        return mean([value(run, what, self.metric) for run in self.results[key, cell, seed]])
