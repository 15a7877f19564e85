"""What must hold before a verdict means what it says: runs that learn, training that has ended, no skew."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from pipeline.config.metrics import METRICS
from pipeline.diagnosis.estimate import wilson
from pipeline.evidence.document import Gate, Verdict
from pipeline.evidence.paired import ALPHA, ROUNDING, Floats, by_seed
from pipeline.evidence.results import Results
from pipeline.evidence.run import Run, arm_key
from pipeline.evidence.sentence import text, what
from pipeline.names import arm

FAR = 8.0  # standard deviations, by the median absolute deviation, from the arm's median
GROSS = 10.0  # smallest effects of interest
FEWEST = 5  # runs of an arm, to say which of them are not like the others
LAST = 0.1  # of the epochs
SKEW = 1.5
LEAST_FLIPPED = 6  # seeds
MOST_EXACT = 12  # seeds: 4,096 ways to flip their signs
CEILING = 0.98  # of an accuracy
BELOW_CEILING = "means below the ceiling"
FEWEST_PAIRS = 3  # seeds that tell a correlation


def found(doc: Verdict, results: Results, runs: Sequence[Run]) -> list[Gate]:
    """All gates that have something to say of a verdict, whose words and differences are there."""
    gates = (_finished(doc), _paired(doc), _learned(doc, runs), _guessed(doc, runs, results.factors))
    more = (_ended(runs, results.factors), _skew(doc), _pairing(results), _ceiling(doc))
    return [gate for gate in (*gates, *more) if gate]


def _finished(doc: Verdict) -> Gate:
    done, total = doc.runs.finished, doc.runs.total
    means = "none is missing" if done == total else "runs may fail for what their arm is; retry=true trains them again"
    return Gate("runs finished", done == total, done / total, f"{done} of {total}", means)


def _paired(doc: Verdict) -> Gate | None:
    wanted = sum(len(doc.seeds) * entry.cells for entry in doc.factors.values())
    alone = sum(len(entry.missing) for entry in doc.factors.values())
    if not wanted:
        return None
    if alone:
        means = "what lacks a partner is left out, so levels were compared at fewer seeds or combinations"
    elif doc.rule.sequential:
        means = "no run that was asked for is missing; arms about which all was settled were not trained on"
    else:
        means = "all levels meet at every seed, in every combination of the other factors"
    return Gate("comparisons without a pair", not alone, float(alone), f"{alone} of {wanted}", means)


def _learned(doc: Verdict, runs: Sequence[Run]) -> Gate:
    failed = sum(run.collapsed for run in runs)
    result = f"{failed} of {doc.runs.finished}"
    if not failed and not any(arm.n >= FEWEST for arm in doc.arms):
        means = f"with fewer than {FEWEST} runs of an arm it cannot be told which are not like the others"
        return Gate("runs that failed to learn", None, 0.0, result, means)
    means = "counted apart, and not in the means" if failed else "the means are of runs of one kind"
    return Gate("runs that failed to learn", not failed, float(failed), result, means)


def _guessed(doc: Verdict, runs: Sequence[Run], factors: Sequence[str]) -> Gate | None:
    """Whether some arm answers better than the same word for all would."""
    known = beside_largest(runs, factors)
    if known is None:
        return None
    low, high, share, enough = known
    result = f"{low:.3f} to {high:.3f}, and {share:.3f} for calling all the largest class"
    if high > enough:
        return Gate("accuracy above guessing", True, high, result, "something was learnt")
    if _by_answers(doc.metric):
        means = "nothing was learnt, or accuracy cannot show it: no difference between arms means anything"
        return Gate("accuracy above guessing", False, high, result, means)
    means = f"{doc.metric} may tell all the same what was learnt; answers do not"
    return Gate("accuracy above guessing", None, high, result, means)


def _by_answers(metric: str) -> bool:
    """Whether it is about what examples are called, and not about how scores rank them, or how sure they are."""
    known = METRICS.get(metric)
    return known is None or not (known.predicted or metric.endswith("/loss"))


def beside_largest(runs: Sequence[Run], factors: Sequence[str]) -> tuple[float, float, float, float] | None:
    """The lowest and the highest mean accuracy of an arm on test examples, the largest class's share of these, and
    above which accuracy chance alone does not bring it; None where that is not known.
    """
    arms: dict[tuple[str, ...], list[float]] = {}
    guesses = []
    for run in runs:
        if run.status == "finished" and run.guessing is not None:
            arms.setdefault(arm_key(run.levels, factors), []).append(run.guessing.accuracy)
            guesses.append(run.guessing)
    if not guesses:
        return None
    largest = max(guesses, key=lambda one: one.largest)
    means = [float(np.mean(some)) for some in arms.values()]
    enough = wilson(round(largest.largest * largest.examples), largest.examples).high
    return min(means), max(means), largest.largest, enough


def nothing_learnt(runs: Sequence[Run], factors: Sequence[str]) -> list[str]:
    """A warning where no arm answers better than the same word for all would."""
    known = beside_largest(runs, factors)
    if known is None or known[1] > known[3]:
        return []
    low, high, share, _ = known
    return [
        f"No arm is shown to do better than calling all test examples the largest class ({low:.3f} to {high:.3f}, and "
        f"{share:.3f}): nothing was learnt, or accuracy cannot show it. Look at the learning rate and "
        "trainer.max_epochs; where classes are not balanced, experiment.metric=test/balanced_acc or test/auroc tells "
        "more."
    ]


def _ended(runs: Sequence[Run], factors: Sequence[str]) -> Gate | None:
    names, total = unfinished(runs, factors)
    if not total:
        return None
    means = "with more epochs the order may be another" if names else "the best epoch came before the last ones"
    return Gate("arms still improving", not names, float(len(names)), f"{len(names)} of {total}", means)


def _skew(doc: Verdict) -> Gate | None:
    """Of the differences to the best levels and of the claims, the one that is skewed most."""
    differences = [(what(one), np.array(one.values), one.state == "different") for one in doc.contrasts]
    for entry in doc.factors.values():
        best = next((level for level in entry.levels if level.values and level.level == entry.best), None)
        for level in entry.levels:
            if best and level is not best and level.values:
                away = by_seed(level.values, best.values)
                differences.append((f"{text(level.level)} less {text(best.level)}", away, level.verdict == "worse"))
    known = [one for one in differences if len(one[1]) >= LEAST_FLIPPED]
    if not known:
        return None
    name, values, _ = max(known, key=lambda one: abs(skewness(one[1])))
    doubtful = any(shown and skewed(name, values) for name, values, shown in known)
    means = (
        "an interval is too sure: see the note at its factor"
        if doubtful
        else "intervals take differences to scatter as a normal distribution does; none that is shown hangs on it"
    )
    most = skewness(values)
    return Gate("skew of the differences", not doubtful, most, f"{most:+.1f} at most ({name})", means)


def _pairing(results: Results) -> Gate | None:
    known = pairing(results.values)
    if known is None:
        return None
    correlation, ratio = known
    means = f"a difference in pairs has {ratio:.2f} times the variance that it would have unpaired, so " + (
        f"the same seeds tell as much as {1 / ratio:.1f} times as many unpaired ones would"
        if 0 < ratio < 1
        else "pairs save nothing here"
    )
    return Gate("agreement of pairs", None, correlation, f"{correlation:+.2f}, mean correlation over seeds", means)


def pairing(values_AS: Floats) -> tuple[float, float] | None:
    """The mean correlation of two arms over seeds, and the variance of their difference to that of unpaired ones.

    Over all pairs of arms that share seeds enough and vary; None where there are none.
    """
    there_AS = ~np.isnan(values_AS)
    means_A = np.where(there_AS, values_AS, 0.0).sum(axis=1) / np.maximum(there_AS.sum(axis=1), 1)
    away_AS = np.where(there_AS, values_AS - means_A[:, None], 0.0)
    there_SA = there_AS.T.astype(float)
    n_AA = there_SA.T @ there_SA
    many_AA = np.maximum(n_AA, 2)
    sums_AA = away_AS @ there_SA  # of the row's arm, over the seeds that the column's has too
    variance_AA = (away_AS**2 @ there_SA - sums_AA**2 / many_AA) / (many_AA - 1)
    together_AA = (away_AS @ away_AS.T - sums_AA * sums_AA.T / many_AA) / (many_AA - 1)
    varies_AA = variance_AA > (ROUNDING * np.nanmax(np.abs(values_AS), initial=0.0)) ** 2
    kept = np.triu(varies_AA & varies_AA.T & (n_AA >= FEWEST_PAIRS), k=1)
    if not kept.any():
        return None
    one, other, both = variance_AA[kept], variance_AA.T[kept], together_AA[kept]
    return float((both / np.sqrt(one * other)).mean()), float(1 - 2 * both.sum() / (one + other).sum())


def _ceiling(doc: Verdict) -> Gate | None:
    means = [arm.mean for arm in doc.arms if arm.mean is not None]
    if doc.n_test is None or doc.mode == "min" or not means:
        return None
    low, high = min(means), max(means)
    at_top = low > CEILING
    said = "all arms are near 1, where differences cannot show: ask harder data" if at_top else "there is room above"
    return Gate(BELOW_CEILING, not at_top, low, f"{low:.3f} to {high:.3f}", said)


def at_ceiling(doc: Verdict) -> list[str]:
    """A warning where all arms are near 1."""
    return [
        f"All arms are near 1 ({gate.result}), where differences cannot show: ask harder data, or test on more."
        for gate in doc.gates
        if gate.name == BELOW_CEILING and not gate.holds
    ]


def collapsed(results: Results, sign: int, smallest_effect: float) -> list[tuple[int, int]]:
    """(arm, seed) by their places, of runs that failed to learn what the same arm learns with other seeds.

    They lie far below the arm's median and what the seed gave to others, by the spread that runs of this sweep have
    about theirs, and by a gross amount. A mean over seeds with such runs among them tells of neither kind, and a t test
    takes it for a normal one: with one arm that collapses in a tenth of its seeds, 35 to 73 % of sweeps of otherwise
    equal arms find a difference.
    """
    values_AS = sign * results.values
    n_A = (~np.isnan(values_AS)).sum(axis=1)
    if not (n_A >= FEWEST).any():
        return []
    medians_A = [np.nanmedian(row) if n else np.nan for row, n in zip(values_AS, n_A, strict=True)]
    away_AS = values_AS - np.array(medians_A)[:, None]
    some_S = ~np.isnan(away_AS).all(axis=0)
    # A seed that is hard for all arms is no failure of any.
    away_AS[:, some_S] -= np.nanpercentile(away_AS[:, some_S], 75, axis=0)
    scale = 1.4826 * float(np.nanmedian(np.abs(away_AS[n_A >= FEWEST])))
    far = (away_AS < -max(FAR * scale, GROSS * smallest_effect)) & (n_A >= FEWEST)[:, None]
    return [(int(a), int(s)) for a, s in np.argwhere(far)]


def collapse_warnings(results: Results, places: Sequence[tuple[int, int]]) -> list[str]:
    """How often each arm failed to learn, with the interval of that share (Wilson 1927)."""
    said = []
    for row in dict.fromkeys(a for a, _ in places):
        mine = [s for a, s in places if a == row]
        n = int((~np.isnan(results.values[row])).sum()) + len(mine)
        _, low, high = wilson(len(mine), n)
        seeds = ", ".join(str(results.seeds[s]) for s in mine)
        name = arm(results.arms[row]) or "the arm"
        said.append(
            f"{name} failed to learn in {len(mine)} of {n} runs ({low:.0%} to {high:.0%}; seed {seeds}): these are "
            "counted here, and not in the means, which are of runs that did learn."
        )
    return said


def unfinished(runs: Sequence[Run], factors: Sequence[str]) -> tuple[list[str], int]:
    """Arms most of whose runs were best on validation data in their last epochs: with more they might be better.

    And of how many arms that can be told.
    """
    arms: dict[tuple[str, ...], list[bool]] = {}
    names: dict[tuple[str, ...], str] = {}
    for run in runs:
        curve = run.curves.get("val/loss", [])
        if run.status != "finished" or len(curve) < 5:
            continue
        losses = [value for _, value in curve]
        late = max(1, round(LAST * len(losses)))
        key = arm_key(run.levels, factors)
        names[key] = arm({name: run.levels[name] for name in factors}) or "the arm"
        arms.setdefault(key, []).append(int(np.argmin(losses)) >= len(losses) - late and not run.stopped_early)
    return [names[key] for key, ends in arms.items() if sum(ends) > len(ends) / 2], len(arms)


def still_improving(runs: Sequence[Run], factors: Sequence[str]) -> list[str]:
    """A warning that names the arms which are `unfinished`."""
    names, total = unfinished(runs, factors)
    if not names:
        return []
    shown = "; ".join(names[:4]) + (f"; and {len(names) - 4} more" if len(names) > 4 else "")
    return [
        f"Still improving when training ended, {len(names)} of {total} arms: {shown}. Their best val/loss "
        "came in the last epochs, so a verdict is about this number of epochs; raise trainer.max_epochs."
    ]


def sign_flip_p(d_S: Floats) -> float:
    """Two-sided p of a mean, by flipping the signs of differences, which asks for no normal distribution (Fisher 1935).

    Of no use with fewer than LEAST_FLIPPED seeds, whose least p is above 0.05.
    """
    n = len(d_S)
    if n <= MOST_EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), size=(4000, n))
        signs[0] = 1
    return float((np.abs(signs @ d_S) >= abs(d_S.sum()) * (1 - 1e-9)).mean())


def skewness(d_S: Floats) -> float:
    """Of the differences over seeds; 0 for a symmetric distribution."""
    away, sd = d_S - d_S.mean(), d_S.std()
    return float((away**3).mean() / sd**3) if sd > 0 else 0.0


def skewed(what: str, d_S: Floats) -> list[str]:
    """A note on a difference that was called one, where its values over seeds are no normal distribution's."""
    d_S = d_S[~np.isnan(d_S)]
    if len(d_S) < LEAST_FLIPPED or abs(skew := skewness(d_S)) < SKEW or (p := sign_flip_p(d_S)) < ALPHA:
        return []
    return [
        f"{what}: the differences over seeds are skewed ({skew:+.1f}), which makes their interval too sure; by "
        f"flipping their signs, which asks for no normal distribution, p is {p:.2g}."
    ]
