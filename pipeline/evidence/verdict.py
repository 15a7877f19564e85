"""From the runs of a sweep to its verdict: which levels lead, by how much, how surely; what becomes of its claims."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.config.experiment import Contrast
from pipeline.config.metrics import METRICS
from pipeline.errors import InputError, at_least, nearest, one_of
from pipeline.evidence import arms, gates, guardrails, rule, sentence
from pipeline.evidence.arms import COSTS, finite, mean
from pipeline.evidence.document import ContrastVerdict, FactorVerdict, LevelVerdict, Rule, Verdict
from pipeline.evidence.grid import Grid
from pipeline.evidence.paired import ALPHA, CONFIDENCE, Floats, plain_p, quantisation
from pipeline.evidence.results import Difference, Results, levels_of
from pipeline.evidence.run import Run, arm_key, level_key, rejection

BEST = "best"
LEADS = "leads"
WORSE = "worse"
NO_DIFFERENCE = "no difference shown"
TOO_FEW = "too few seeds"
NO_RESULT = "no result"
ONLY_LEVEL = "only level"

MOST_NOTES = 500  # differences of differences that are looked through for an interaction


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
    contrasts: Sequence[Contrast] = (),
    looks: Sequence[int] | None = None,
    overlap: float = 0.0,
    n_of: Mapping[str, int | None] | None = None,
) -> Verdict:
    """What `runs` say about `factors` and `contrasts`; `to_json()` of it is the document of `compare`.

    runs: of a crossed sweep, in any order. factors: the swept keys besides the seed. metric: what is
    compared; mode: "max" where more is better, "min" where less is. smallest_effect: the least difference
    in the metric that would matter. n_test: the number of test examples where the metric is a share of
    them, None for a loss. levels: per factor the order to show; else as the levels first occur in `runs`.
    contrasts: differences that claims are about; one that needs a level that no run has is left out, with a warning.
    looks: how many seeds there were, or will be, each time that a verdict is read, for a design that may end early;
    None: once, at all seeds. overlap: see `rule.decide`. n_of: as n_test, for other metrics that contrasts name.

    The replicate is the seed. A level is compared with another by the paired differences at each seed, each the mean
    over the combinations of the other factors' levels in which both have a result. All pairs of levels of all factors
    and all contrasts are one family, judged by one rule (rule.py): the intervals shown hold the true differences all
    at once with 95 % confidence. What fails, has no finite metric or is left without its pair is reported, not used.

    Words: the level with the best mean (of equals, the one with fewer parameters) is "best" where each of the
    others is shown to be worse, and else "leads"; "worse" than it where the interval leaves out 0; "no difference
    shown" where the interval lies within +-smallest_effect; else "too few seeds"; "no result" for a level without any;
    "only level" where nothing else was run. Differences are level - the one with the best mean, which a factor's
    "best" names whatever its word. What cannot be told (an interval of one seed) is None.

    Raises InputError for no runs, a factor that a run does not have, a metric that no finished run has, a
    wrong mode, a smallest_effect below zero, or looks that are no ascending numbers from 2.
    """
    _check(runs, factors, metric, mode, smallest_effect, n_test, looks)
    order = {factor: levels_of(runs, factor, (levels or {}).get(factor, ())) for factor in factors}
    rank = {factor: {level_key(level): i for i, level in enumerate(order[factor])} for factor in factors}
    seeds = sorted({run.seed for run in runs})
    everything = Results.of(runs, [run for run in runs if rejection(run, metric) is None], factors, metric)
    failed = gates.collapsed(everything, 1 if mode == "max" else -1, smallest_effect)
    gone = {(arm_key(everything.arms[row], factors), seeds[column]) for row, column in failed}
    runs = [replace(run, collapsed=True) if (arm_key(run.levels, factors), run.seed) in gone else run for run in runs]
    valid = [run for run in runs if rejection(run, metric) is None]
    results = Results.of(runs, valid, factors, metric) if failed else everything
    asked, left_out = _possible(contrasts, order)
    of_metric = {one.metric: _of_metric(runs, valid, factors, one.metric) for one in asked if one.metric}
    family = _Family(results, order, asked, smallest_effect, mode, n_test, looks, overlap, of_metric, n_of or {})
    doc = Verdict(
        experiment=experiment,
        question=question,
        metric=metric,
        mode=mode,
        smallest_effect=float(smallest_effect),
        confidence=CONFIDENCE,
        n_test=n_test,
        seeds=seeds,
        runs=arms.counts(runs, valid, metric),
        factors={},
        arms=arms.arms(runs, valid, factors, metric, rank),
        warnings=[*arms.warnings(runs, valid, factors, metric), *gates.collapse_warnings(results, failed), *left_out],
        rule=family.said(),
    )
    doc.contrasts = [_contrast(doc, family, one, number) for number, one in enumerate(asked)]
    for factor in factors:
        others = [other for other in factors if other != factor]
        doc.factors[factor] = _factor(doc, family, valid, runs, factor, others, order[factor])
    _note_interactions(doc, family)
    doc.sentences = [one.sentence for one in doc.contrasts] + [entry.sentence for entry in doc.factors.values()]
    doc.sentences = doc.sentences or [sentence.describe(doc)]
    doc.gates = gates.found(doc, results, runs)
    doc.guardrails = guardrails.found(doc, valid)
    return doc


def _check(
    runs: Sequence[Run],
    factors: Sequence[str],
    metric: str,
    mode: str,
    smallest_effect: float,
    n_test: int | None,
    looks: Sequence[int] | None,
) -> None:
    """Raise InputError where `verdict` says so."""
    one_of("mode", mode, ("max", "min"))
    at_least("smallest_effect", smallest_effect, 0)
    if n_test is not None:
        at_least("n_test", n_test, 1)
    if looks is not None and (not looks or looks[0] < 2 or list(looks) != sorted(set(looks))):
        raise InputError(f"looks={list(looks)}: must be numbers of seeds, ascending from 2, as in [3,5,8,12].")
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


def _possible(contrasts: Sequence[Contrast], order: Mapping[str, list[Any]]) -> tuple[list[Contrast], list[str]]:
    """Those that these levels can answer, and what to say of the others."""
    asked, left_out = [], []
    for one in contrasts:
        known = {factor: {level_key(level) for level in levels} for factor, levels in order.items()}
        named = [item for side in one.sides for item in side.items()]
        lacking = [f"{f}={sentence.text(x)}" for f, x in named if level_key(x) not in known.get(f, ())]
        if lacking:
            left_out.append(f"Not asked: {one.claim or one.compare}: no run has {', '.join(dict.fromkeys(lacking))}.")
        else:
            asked.append(one)
    return asked, left_out


def _of_metric(runs: Sequence[Run], valid: Sequence[Run], factors: Sequence[str], metric: str) -> Results:
    """By another metric than the verdict's, of those of the `valid` runs that have it."""
    having = [run for run in valid if math.isfinite(run.metrics.get(metric, math.nan))]
    return Results.of(runs, having, factors, metric)


class _Family:
    """All that is judged at once: every pair of levels of each factor, and the contrasts that were asked."""

    def __init__(
        self,
        results: Results,
        order: Mapping[str, list[Any]],
        contrasts: Sequence[Contrast],
        smallest_effect: float,
        mode: str,
        n_test: int | None,
        looks: Sequence[int] | None,
        overlap: float,
        of_metric: Mapping[str, Results],
        n_of: Mapping[str, int | None],
    ) -> None:
        self.results, self.n_test, self.overlap = results, n_test, overlap
        self.sign = 1 if mode == "max" else -1
        self.places: dict[tuple[str, str, str], int] = {}  # factor and two levels -> number
        differences: list[Difference] = []
        for factor, levels in order.items():
            # By name: the order of runs must not change what is simulated for them.
            known = sorted(level for level in map(level_key, levels) if self._has_any(factor, level))
            for first, second in itertools.combinations(known, 2):
                self.places[factor, first, second] = len(differences)
                differences.append(results.difference([{factor: first}, {factor: second}]))
        self.first_contrast = len(differences)
        for one in contrasts:
            sides = [{factor: level_key(level) for factor, level in side.items()} for side in one.sides]
            differences.append(of_metric.get(one.metric or "", results).difference(sides))
        self.differences = differences
        # Where less is better, turned round: here more always is.
        self.signs_C = [self.sign] * self.first_contrast + [
            (1 if METRICS[one.metric].better == "max" else -1) if one.metric else self.sign for one in contrasts
        ]
        values_CS = np.array([one.values for one in differences]).reshape(-1, len(results.seeds))
        self.values_CS = np.array(self.signs_C).reshape(-1, 1) * values_CS
        self.margins_C = np.array(
            [smallest_effect] * self.first_contrast + [one.margin or smallest_effect for one in contrasts]
        )
        self.sequential = looks is not None
        self.looks = tuple(looks or [len(results.seeds)])
        self.bounds: rule.Boundary | None = None
        if self.looks[0] >= 2 and differences:
            expects = [None] * self.first_contrast + [one.expects for one in contrasts]
            self.bounds = rule.boundary(self._weights(), self.looks)
            shares = [n_test] * self.first_contrast + [
                n_of.get(one.metric) if one.metric else n_test for one in contrasts
            ]
            every = [results, *of_metric.values()]
            self.decided = rule.decide(
                self.values_CS,
                self.bounds,
                self.margins_C,
                floor=np.array([_floor(one, n) for one, n in zip(differences, shares, strict=True)]),
                overlap=overlap,
                tiny=max(rule.tiny(one.values) for one in every),
                expects=expects,
            )

    def _weights(self) -> Floats:
        """How each member weighs the arms, [members, arms of each metric]: metrics are taken as independent."""
        metrics = list({id(one.results): one.results for one in self.differences}.values())
        rows = [
            [one.weights if one.results is m else np.zeros(len(m.arms)) for m in metrics] for one in self.differences
        ]
        return np.array([np.concatenate(row) for row in rows])

    def _has_any(self, factor: str, level: str) -> bool:
        place = self.results.factors.index(factor)
        rows = [row for key, row in self.results.index.items() if key[place] == level]
        return not bool(np.isnan(self.results.values[rows]).all())

    def plain_p(self, differences: Sequence[Difference]) -> Floats:
        """Of differences outside of the family, each by itself."""
        floors = np.array([_floor(one, self.n_test) for one in differences])
        return plain_p(np.array([one.values for one in differences]), self.overlap, floors)

    def pair(self, factor: str, level: str, other: str) -> "_Judged":
        """What is known of level - other."""
        if (place := self.places.get((factor, level, other))) is not None:
            return self.judged(place, 1)
        return self.judged(self.places[factor, other, level], -1)

    def judged(self, place: int, sign: int = 1) -> "_Judged":
        """A member of the family, or its negative, in terms of its metric."""
        sign *= self.signs_C[place]
        values_S = sign * self.values_CS[place]
        there = values_S[~np.isnan(values_S)]
        if self.bounds is None or self.decided.n[place] < 2:  # too few at every look that has come
            return _Judged(len(there), float(there.mean()) if len(there) else None, values_S)
        found = self.decided
        low, high = sorted((sign * float(found.low[place]), sign * float(found.high[place])))
        needed, is_hopeless = None, False
        if found.state[place] == rule.OPEN:
            seen = int(found.n[place]), float(found.difference[place]), float(found.sd[place])
            judged_by = float(self.margins_C[place]), self.bounds.level, self.overlap
            needed = rule.seeds_needed(*seen, *judged_by)
            is_hopeless = needed is None and rule.hopeless(*seen, *judged_by)
        return _Judged(
            n=int(found.n[place]),
            difference=sign * float(found.difference[place]) + 0.0,
            by_seed=values_S,
            low=low,
            high=high,
            p=float(found.p[place]),
            p_adjusted=float(found.p_adjusted[place]),
            state=str(found.state[place]),
            needed=needed,
            hopeless=is_hopeless,
        )

    def said(self) -> Rule:
        """The rule as the document has it."""
        bounds = self.bounds
        done = len(self.results.seeds)
        is_open_C = self.decided.state == rule.OPEN if bounds else np.ones(len(self.differences), bool)
        weighs = [one.weights for one, is_open in zip(self.differences, is_open_C, strict=True) if is_open]
        open_C = np.flatnonzero(is_open_C)
        futile = bool(bounds and self.overlap and len(open_C)) and all(
            self.judged(int(place)).hopeless for place in open_C
        )
        used_A = np.any(np.array(weighs) != 0, axis=0) if weighs else np.zeros(0, bool)
        return Rule(
            sequential=self.sequential,
            looks=list(self.looks),
            levels=[bounds.plain(look) for look in range(len(bounds.looks))] if bounds else [],
            one_look=bounds.one_look if bounds else None,
            contrasts=len(self.differences),
            overlap=self.overlap,
            open=int(is_open_C.sum()),
            open_arms=[arm for arm, used in zip(self.results.arms, used_A, strict=False) if used],
            ended=done >= self.looks[-1] or not is_open_C.any() or futile,
            futile=futile,
        )


def _floor(one: Difference, n_test: int | None) -> float:
    """The least standard deviation that is credited to a difference of shares of so many examples."""
    cells_S = one.cells
    return quantisation(n_test, cells_S[cells_S > 0], len(one.sides))


def family_of(
    runs: Sequence[Run], factors: Sequence[str], contrasts: Sequence[Contrast], looks: Sequence[int]
) -> tuple[rule.Boundary, int] | None:
    """The boundary that a design will be judged by, and how many contrasts it has; None where that is none.

    runs: one or more of each arm, with whatever result under the metric "".
    """
    order = {factor: levels_of(runs, factor, ()) for factor in factors}
    asked, _ = _possible(contrasts, order)
    of_metric = {one.metric: _of_metric(runs, [], factors, one.metric) for one in asked if one.metric}
    family = _Family(Results.of(runs, runs, factors, ""), order, asked, 1.0, "max", None, looks, 0.0, of_metric, {})
    return (family.bounds, len(family.differences)) if family.bounds else None


@dataclass(frozen=True)
class _Judged:
    """A difference, as the document has it; without an interval where there is one seed."""

    n: int
    difference: float | None
    by_seed: Floats
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    state: str = rule.OPEN
    needed: int | None = None
    hopeless: bool = False

    def oriented(self, sign: int) -> tuple[float | None, float | None]:
        """The interval's ends where more is better."""
        if self.low is None or self.high is None:
            return None, None
        return (self.low, self.high) if sign > 0 else (-self.high, -self.low)


def _contrast(doc: Verdict, family: _Family, one: Contrast, number: int) -> ContrastVerdict:
    """The document's entry for a contrast that was asked."""
    judged = family.judged(family.first_contrast + number)
    found = ContrastVerdict(
        claim=one.claim,
        compare={factor: list(pair) for factor, pair in one.compare.items()},
        at=dict(one.at),
        against=dict(one.against),
        expects=one.expects,
        margin=one.margin or doc.smallest_effect,
        metric=one.metric,
        n=judged.n,
        difference=judged.difference,
        low=judged.low,
        high=judged.high,
        p=judged.p,
        p_adjusted=judged.p_adjusted,
        state=judged.state,
        outcome=rule.outcome(
            one.expects,
            *judged.oriented(family.signs_C[family.first_contrast + number]),
            one.margin or doc.smallest_effect,
        ),
        seeds_needed=judged.needed,
        values=[float(x) for x in judged.by_seed[~np.isnan(judged.by_seed)]],
        hopeless=judged.hopeless,
    )
    found.sentence = sentence.of_contrast(doc, found)
    return found


def _factor(
    doc: Verdict,
    family: _Family,
    valid: list[Run],
    runs: Sequence[Run],
    factor: str,
    others: list[str],
    levels: list[Any],
) -> FactorVerdict:
    """The document's entry for one factor."""
    grid = Grid.of(doc.metric, valid, runs, factor, others, levels, family.sequential)
    keys = [level_key(level) for level in levels]
    seeds = grid.seeds
    values_LS = np.array([grid.values(key) for key in grid.present], float)
    entries = [_level_entry(level, key, grid) for key, level in zip(keys, levels, strict=True)]
    used = {key: entry for entry, key in zip(entries, keys, strict=True) if key in grid.present}
    notes: list[str] = []
    best = None
    if seeds:
        for entry, values_S in zip(used.values(), values_LS, strict=True):
            known_S = values_S[~np.isnan(values_S)]
            entry.values = [finite(float(one)) for one in values_S]
            entry.mean = float(known_S.mean()) if len(known_S) else None
            entry.sd = float(known_S.std(ddof=1)) if len(known_S) > 1 else None
        leader = _leader(family, factor, values_LS, used)
        best = used[leader]
        _judge(family, factor, used, leader)
        if len(used) > 1 and len(seeds) > 1:
            notes += _identical(factor, used, leader)
            notes += _reversals(doc, family, factor, used, leader, grid)
            for key, entry in used.items():
                if entry.verdict == WORSE:
                    names = f"{sentence.text(best.level)} and {sentence.text(entry.level)}"
                    notes += gates.skewed(names, family.pair(factor, key, leader).by_seed)
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
        conclusion=_conclusion(list(used.values()), seeds),
        averaged=grid.averaged,
    )
    found.sentence = sentence.write(doc, factor, found)
    return found


def _level_entry(level: Any, key: str, grid: Grid) -> LevelVerdict:
    """A level before it is judged, with its costs."""
    if key not in grid.present:
        return LevelVerdict(level, n=0, verdict=NO_RESULT)
    seeds = [seed for seed in grid.seeds if grid.cells_of(key, seed)]
    found = LevelVerdict(level, n=len(seeds), verdict=TOO_FEW)
    for what in COSTS:
        setattr(found, what, finite(mean([grid.mean(key, seed, what) for seed in seeds])))
    return found


def _judge(family: _Family, factor: str, used: dict[str, LevelVerdict], leader: str) -> None:
    """Fill in difference, interval, p-values and the verdict's word for each level."""
    best = used[leader]
    best.difference, best.verdict = 0.0, LEADS if len(used) > 1 else ONLY_LEVEL
    words = {rule.DIFFERENT: WORSE, rule.EQUIVALENT: NO_DIFFERENCE, rule.OPEN: TOO_FEW}
    for key, entry in used.items():
        if entry is best:
            continue
        found = family.pair(factor, key, leader)
        entry.pairs, entry.difference, entry.low, entry.high = found.n, found.difference, found.low, found.high
        entry.p, entry.p_adjusted, entry.verdict = found.p, found.p_adjusted, words[found.state]
        entry.seeds_needed, entry.hopeless = found.needed, found.hopeless
    if any(entry.low is not None for entry in used.values()):
        best.low = best.high = 0.0
    if len(used) > 1 and all(entry.verdict == WORSE for entry in used.values() if entry is not best):
        best.verdict = BEST


def _leader(family: _Family, factor: str, values_LS: Floats, used: dict[str, LevelVerdict]) -> str:
    """The level with the best mean; of equals the cheapest, so that order decides nothing.

    Where levels were not all compared at the same seeds, the one that no other is ahead of where the two were.
    """
    keys = list(used)
    means = np.array([-np.inf if one.mean is None else family.sign * one.mean for one in used.values()])
    tiny = rule.tiny(values_LS)
    equals = [i for i, mean in enumerate(means) if mean >= means.max() - tiny]
    leader = keys[min(equals, key=lambda i: (used[keys[i]].parameters or 0, used[keys[i]].macs or 0, i))]
    for _ in keys:
        ahead = {key: family.sign * (family.pair(factor, key, leader).difference or 0) for key in keys if key != leader}
        if not ahead or max(ahead.values()) <= tiny:
            break
        leader = max(ahead, key=lambda key: ahead[key])
    return leader


def _identical(factor: str, used: dict[str, LevelVerdict], leader: str) -> list[str]:
    """Levels that gave the leader's very numbers at every seed: more often a dead key than a true tie."""
    best = used[leader]
    return [
        f"{sentence.text(entry.level)} and {sentence.text(best.level)} gave identical results at every "
        f"seed; check that {factor} changes anything."
        for entry in used.values()
        if entry is not best and entry.values == best.values
    ]


def _reversals(
    doc: Verdict, family: _Family, factor: str, used: dict[str, LevelVerdict], leader: str, grid: Grid
) -> list[str]:
    """Cells in which another level beats the factor's best beyond chance: an average would hide them.

    Within a cell, p-values are adjusted over all pairs of levels and over the cells (Bonferroni).
    """
    if len(grid.cells) < 2:
        return []
    notes = []
    tests = len(grid.cells) * len(used) * (len(used) - 1) // 2
    others = [name for name in family.results.factors if name != factor]
    for cell, levels in sorted(grid.cells.items()):
        at = dict(zip(others, cell, strict=True))
        for key, entry in used.items():
            if key == leader:
                continue
            found = family.results.difference([{**at, factor: key}, {**at, factor: leader}])
            values_S = family.sign * found.values
            ahead = float(np.nanmean(values_S)) if not np.isnan(values_S).all() else 0.0
            if ahead > 0 and float(family.plain_p([found])[0]) * tests < ALPHA:
                here = ", ".join(f"{other}={sentence.text(level)}" for other, level in levels.items())
                notes.append(
                    f"The order is reversed under {here}: there {sentence.text(entry.level)} beats "
                    f"{sentence.text(used[leader].level)} by {sentence.number(ahead, doc.smallest_effect)}."
                )
    return notes


def _note_interactions(doc: Verdict, family: _Family) -> None:
    """Note at two factors that the one's differences depend on the other: their averages then answer less.

    By all differences of differences between levels of the two, p-values adjusted over these (Bonferroni).
    """
    for factor, other in itertools.combinations(doc.factors, 2):
        pairs = {name: [key[1:] for key in family.places if key[0] == name] for name in (factor, other)}
        quads = [(*a, *b) for a in pairs[factor] for b in pairs[other]]
        if not 0 < len(quads) <= MOST_NOTES:
            continue
        sides = [
            [{factor: x, other: y} for x, y in ((a, here), (b, here), (b, there), (a, there))]
            for a, b, here, there in quads
        ]
        differences = [family.results.difference(one) for one in sides]
        p_Q = family.plain_p(differences) * len(quads)
        surest = int(p_Q.argmin())
        if p_Q[surest] >= ALPHA:
            continue
        names = {level_key(x.level): sentence.text(x.level) for name in pairs for x in doc.factors[name].levels}
        said = []
        for left, right in (sides[surest][:2], sides[surest][:1:-1]):
            gap = float(np.nanmean(family.results.difference([left, right]).values))
            said.append(f"{sentence.number(gap, doc.smallest_effect, sign=True)} at {other}={names[left[other]]}")
        first, second = quads[surest][:2]
        doc.factors[factor].notes.append(
            f"An interaction is shown: {names[first]} less {names[second]} is {' and '.join(said)}; an average over "
            f"{other} says little of either."
        )


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
