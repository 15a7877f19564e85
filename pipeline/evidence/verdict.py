"""From the runs of a sweep to its verdict: per factor, which level leads, by how much, and how surely."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import InputError, at_least, nearest, one_of
from pipeline.evidence import arms, sentence
from pipeline.evidence.arms import COSTS, finite, mean, value
from pipeline.evidence.document import FactorVerdict, LevelVerdict, Verdict
from pipeline.evidence.paired import ALPHA, CONFIDENCE, ROUNDING, Floats, compare, quantisation, seeds_needed
from pipeline.evidence.run import Run, arm_key, level_key, rejection

BEST = "best"
LEADS = "leads"
WORSE = "worse"
NO_DIFFERENCE = "no difference shown"
TOO_FEW = "too few seeds"
NO_RESULT = "no result"
ONLY_LEVEL = "only level"


def verdict(
    runs: Sequence[Run],
    factors: Sequence[str],
    metric: str,
    *,
    smallest_effect: float,
    mode: str = "max",
    experiment: str = "",
    question: str = "",
    n_test: int | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
) -> Verdict:
    """What `runs` say about `factors`; `to_json()` of it is the document of `compare`.

    runs: of a crossed sweep, in any order. factors: the swept keys besides the seed. metric: what is
    compared; mode: "max" where more is better, "min" where less is. smallest_effect: the least difference
    in the metric that would matter. n_test: the number of test examples where the metric is a share of
    them, None for a loss. levels: per factor the order to show; else as the levels first occur in `runs`.

    The replicate is the seed. For one factor, a cell is a combination of the other factors' levels, and a
    pair is complete where all levels have a result in a cell at a seed. Each level's value at a seed is its
    mean over the complete cells of that seed; levels are compared by paired differences of these values
    (`paired.compare`). What fails, has no finite metric or is left without its pair is reported, not used.

    Words: the level with the best mean (of equals, the one with fewer parameters) is "best" where each of the
    others is shown to be worse, and else "leads"; "worse" than it by an adjusted p < 0.05; "no difference shown"
    where the 95 % interval lies within +-smallest_effect; else "too few seeds"; "no result" for a level without any;
    "only level" where nothing else was run. Differences are level - the one with the best mean, which a factor's
    "best" names whatever its word. What cannot be told (an interval of one seed) is None.

    Raises InputError for no runs, a factor that a run does not have, a metric that no finished run has, a
    wrong mode or a smallest_effect below zero.
    """
    _check(runs, factors, metric, mode, smallest_effect, n_test)
    order = {factor: _levels(runs, factor, (levels or {}).get(factor, ())) for factor in factors}
    rank = {factor: {level_key(level): i for i, level in enumerate(order[factor])} for factor in factors}
    valid = [run for run in runs if rejection(run, metric) is None]
    doc = Verdict(
        experiment=experiment,
        question=question,
        metric=metric,
        mode=mode,
        smallest_effect=float(smallest_effect),
        confidence=CONFIDENCE,
        n_test=n_test,
        seeds=sorted({run.seed for run in runs}),
        runs=arms.counts(runs, valid, metric),
        factors={},
        arms=arms.arms(runs, valid, factors, metric, rank),
        warnings=arms.warnings(runs, valid, factors, metric),
    )
    for factor in factors:
        others = [other for other in factors if other != factor]
        doc.factors[factor] = _factor(doc, valid, runs, factor, others, order[factor])
    doc.sentences = [entry.sentence for entry in doc.factors.values()] or [sentence.describe(doc)]
    return doc


def _check(
    runs: Sequence[Run], factors: Sequence[str], metric: str, mode: str, smallest_effect: float, n_test: int | None
) -> None:
    """Raise InputError where `verdict` says so."""
    one_of("mode", mode, ("max", "min"))
    at_least("smallest_effect", smallest_effect, 0)
    if n_test is not None:
        at_least("n_test", n_test, 1)
    if not runs:
        raise InputError("runs: there are none to compare.")
    for factor in factors:
        lacking = next((run for run in runs if factor not in run.levels), None)
        if lacking:
            guess = nearest(factor, lacking.levels)
            which = lacking.dir or lacking.levels
            raise InputError(f"factor {factor}: run {which} does not vary it.{guess}")
    finished = [run for run in runs if run.status == "finished"]
    if finished and not any(metric in run.metrics for run in finished):
        known = sorted({name for run in finished for name in run.metrics})
        guess = nearest(metric, known)
        raise InputError(f"metric={metric}: no run has it; they have {', '.join(known) or 'none'}.{guess}")


def _factor(
    doc: Verdict, valid: list[Run], runs: Sequence[Run], factor: str, others: list[str], levels: list[Any]
) -> FactorVerdict:
    """The document's entry for one factor."""
    grid = _Grid.of(doc, valid, runs, factor, others, levels)
    keys = [level_key(level) for level in levels]
    seeds = list(grid.complete)
    values_LS = np.array([[grid.mean(key, seed, "metric") for seed in seeds] for key in grid.present])
    entries = [_level_entry(level, key, grid) for key, level in zip(keys, levels, strict=True)]
    used = [entry for entry, key in zip(entries, keys, strict=True) if key in grid.present]
    notes: list[str] = []
    best = None
    if seeds:
        for entry, values_S in zip(used, values_LS, strict=True):
            entry.values = [float(value) for value in values_S]
            entry.mean = float(values_S.mean())
            entry.sd = float(values_S.std(ddof=1)) if len(seeds) > 1 else None
        leader = _leader(values_LS, doc.mode, used)
        best = used[leader]
        n_cells_S = np.array([len(grid.complete[seed]) for seed in seeds])
        _judge(used, values_LS, leader, quantisation(doc.n_test, n_cells_S), doc.smallest_effect)
        if len(used) > 1 and len(seeds) > 1:
            notes += _identical(factor, used, values_LS, leader)
            notes += _reversals(doc, used, grid, leader)
    if grid.missing:
        wanted = len(doc.seeds) * len(grid.cells)
        notes.append(f"{len(grid.missing)} of {wanted} comparisons left out, for want of a run.")
    found = FactorVerdict(
        best=best.level if best else None,
        levels=entries,
        seeds=seeds,
        cells=len(grid.cells),
        missing=grid.missing,
        notes=notes,
        conclusion=_conclusion(used, seeds),
    )
    found.sentence = sentence.write(doc, factor, found)
    return found


Cell = tuple[str, ...]  # the keys of the other factors' levels


@dataclass(frozen=True)
class _Grid:
    """The results of one factor by level, cell and seed, and where all levels meet."""

    metric: str
    results: dict[tuple[str, Cell, int], list[Run]]  # more than one run only where one was repeated
    present: list[str]  # keys of the levels that have any result
    cells: dict[Cell, dict[str, Any]]  # the levels of the other factors
    complete: dict[int, list[Cell]]  # per seed that has any: the cells where all of `present` have a result
    missing: list[dict[str, Any]]  # the others, as the document has them

    @classmethod
    def of(
        cls,
        doc: Verdict,
        valid: list[Run],
        runs: Sequence[Run],
        factor: str,
        others: list[str],
        levels: list[Any],
    ) -> "_Grid":
        keys = [level_key(level) for level in levels]
        results: dict[tuple[str, Cell, int], list[Run]] = {}
        for run in valid:
            where = (level_key(run.levels[factor]), arm_key(run.levels, others), run.seed)
            results.setdefault(where, []).append(run)
        present = [key for key in keys if any(where[0] == key for where in results)]
        cells = {arm_key(run.levels, others): {other: run.levels[other] for other in others} for run in runs}
        complete: dict[int, list[Cell]] = {}
        missing = []
        for seed in doc.seeds:
            for cell in sorted(cells):
                absent = [key for key in present if (key, cell, seed) not in results]
                if not absent and present:
                    complete.setdefault(seed, []).append(cell)
                elif absent:
                    gone = [levels[keys.index(key)] for key in absent]
                    missing.append({"seed": seed, "cell": cells[cell], "levels": gone})
        return cls(doc.metric, results, present, cells, complete, missing)

    def mean(self, key: str, seed: int, what: str) -> float:
        """Mean of the metric or a cost at one seed, over the cells that all levels have."""
        return mean([self.mean_in(cell, key, seed, what) for cell in self.complete[seed]])

    def mean_in(self, cell: Cell, key: str, seed: int, what: str = "metric") -> float:
        """The metric or a cost in one cell at one seed."""
        return mean([value(run, what, self.metric) for run in self.results[key, cell, seed]])


def _level_entry(level: Any, key: str, grid: _Grid) -> LevelVerdict:
    """A level before it is judged, with its costs."""
    if key not in grid.present:
        return LevelVerdict(level, n=0, verdict=NO_RESULT)
    seeds = list(grid.complete)
    found = LevelVerdict(level, n=len(seeds), verdict=TOO_FEW)
    for what in COSTS:
        setattr(found, what, finite(mean([grid.mean(key, seed, what) for seed in seeds])))
    return found


def _judge(used: list[LevelVerdict], values_LS: Floats, leader: int, floor: float, smallest_effect: float) -> None:
    """Fill in difference, interval, p-values and the verdict's word for each level."""
    L, S = values_LS.shape
    best = used[leader]
    best.difference, best.verdict = 0.0, LEADS if L > 1 else ONLY_LEVEL
    if S < 2:
        for entry, value_S in zip(used, values_LS, strict=True):
            entry.difference = float(value_S[0] - values_LS[leader, 0])
        return
    against = compare(values_LS, np.array(leader), floor)
    for i, entry in enumerate(used):
        low, high = float(against.low[i]), float(against.high[i])
        entry.difference, entry.low, entry.high = float(against.difference[i]), low, high
        if i == leader:
            continue
        entry.p, entry.p_adjusted = float(against.p[i]), float(against.p_adjusted[i])
        sd = float(against.sd[i])
        if entry.p_adjusted < ALPHA:
            entry.verdict = WORSE
        elif -smallest_effect <= low and high <= smallest_effect and (sd > 0 or low == 0):
            entry.verdict = NO_DIFFERENCE
        else:
            entry.verdict = TOO_FEW
            pairs = L * (L - 1) // 2
            entry.seeds_needed = seeds_needed(S, entry.difference, sd, smallest_effect, pairs)
    if L > 1 and all(entry.verdict == WORSE for entry in used if entry is not best):
        best.verdict = BEST


def _leader(values_LS: Floats, mode: str, used: list[LevelVerdict]) -> int:
    """Index of the level with the best mean; of equals the cheapest, so that order decides nothing."""
    means = values_LS.mean(axis=1) * (1 if mode == "max" else -1)
    tiny = ROUNDING * float(np.abs(values_LS).max())
    equals = [i for i, mean in enumerate(means) if mean >= means.max() - tiny]
    return min(equals, key=lambda i: (used[i].parameters or 0, used[i].macs or 0, i))


def _identical(factor: str, used: list[LevelVerdict], values_LS: Floats, leader: int) -> list[str]:
    """Levels that gave the leader's very numbers at every seed: more often a dead key than a true tie."""
    best = used[leader]
    return [
        f"{sentence.text(entry.level)} and {sentence.text(best.level)} gave identical results at every "
        f"seed; check that {factor} changes anything."
        for entry, values_S in zip(used, values_LS, strict=True)
        if entry is not best and np.array_equal(values_S, values_LS[leader])
    ]


def _reversals(doc: Verdict, used: list[LevelVerdict], grid: _Grid, leader: int) -> list[str]:
    """Cells in which another level beats the factor's best beyond chance: an average would hide them.

    Within a cell, p-values are adjusted over all pairs (`paired.compare`), and over the cells once more.
    """
    if len(grid.cells) < 2:
        return []
    notes = []
    sign = 1 if doc.mode == "max" else -1
    for cell, levels in sorted(grid.cells.items()):
        full = [seed for seed, cells in grid.complete.items() if cell in cells]
        if len(full) < 2:
            continue
        values_LS = np.array([[grid.mean_in(cell, key, seed) for seed in full] for key in grid.present])
        floor = quantisation(doc.n_test, np.ones(len(full), dtype=np.intp))
        against = compare(values_LS, np.array(leader), floor)
        for i, entry in enumerate(used):
            if sign * against.difference[i] > 0 and against.p_adjusted[i] * len(grid.cells) < ALPHA:
                here = ", ".join(f"{other}={sentence.text(level)}" for other, level in levels.items())
                by = sentence.number(abs(float(against.difference[i])), doc.smallest_effect)
                notes.append(
                    f"The order is reversed under {here}: there {sentence.text(entry.level)} beats "
                    f"{sentence.text(used[leader].level)} by {by}."
                )
    return notes


def _conclusion(used: list[LevelVerdict], seeds: list[int]) -> str:
    """One word for the factor: better, better than some, no difference shown, too few seeds, not compared."""
    words = {entry.verdict for entry in used} - {BEST, LEADS}
    if len(used) < 2 or not seeds:
        return "not compared"
    if words == {WORSE}:
        return "better"
    if words == {NO_DIFFERENCE}:
        return NO_DIFFERENCE
    return "better than some" if WORSE in words else TOO_FEW


def _levels(runs: Sequence[Run], factor: str, first: Sequence[Any]) -> list[Any]:
    """The factor's levels that occur, in the order asked for, then as they occur."""
    found: dict[str, Any] = {}
    for run in runs:
        found.setdefault(level_key(run.levels[factor]), run.levels[factor])
    asked = [level_key(level) for level in first if level_key(level) in found]
    return [found[key] for key in dict.fromkeys([*asked, *found])]
