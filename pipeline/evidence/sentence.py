"""The verdict in words: one sentence per factor that someone can read aloud."""

import math
from collections.abc import Sequence

from pipeline.evidence.document import Arm, ContrastVerdict, FactorVerdict, LevelVerdict, Verdict
from pipeline.names import shortened

# What the level with the best mean is called, with which the others are compared.
FIRST = ("best", "leads", "only level")
LONGEST = 40  # characters of a level in a table or a sentence
NOT_SETTLED = "not settled"  # what an open claim is called
HOPELESS = (
    "; more seeds cannot settle it, since each splits the same examples anew: fix data.split_seed, or test on more "
    "examples"
)


def text(level: object, most: int = LONGEST) -> str:
    """A level as a person would write it in YAML, see `whole`; a long one by its beginning and a digest."""
    return shortened(whole(level), most)


def whole(level: object) -> str:
    """A level as a person would write it in YAML."""
    if level is None:
        return "null"
    if isinstance(level, bool):
        return "true" if level else "false"
    if isinstance(level, float):
        return str(level)  # 1.0 is all examples, and 1 is one
    if isinstance(level, list | tuple):
        return "[" + ", ".join(whole(item) for item in level) + "]"
    if isinstance(level, dict):
        return "{" + ", ".join(f"{key}: {whole(item)}" for key, item in level.items()) + "}"
    return str(level)


def number(value: float | None, smallest_effect: float, sign: bool = False) -> str:
    """`value` with the decimals that the smallest effect of interest deserves (0.005, 0.01 and 0.02: three).

    A value that these would show as zero gets one significant digit, so that only zero reads as zero.
    """
    if value is None:
        return "–"
    decimals = max(-math.floor(math.log10(smallest_effect / 4)), 0) if smallest_effect > 0 else 4
    plus = "+" if sign else ""
    if 0 < abs(value) < 0.5 * 10**-decimals:
        return f"{value:{plus}.1g}"
    # round() first: a tiny negative must not read as -0.000
    return f"{round(value, decimals) + 0.0:{plus}.{decimals}f}"


def count(value: float | None) -> str:
    """A count in at most five characters: 940, 12.3k, 1.25M."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{unit}"
    return f"{value:.0f}"


def seeds_in_words(seeds: int | None) -> str:
    """How many seeds would do, "?" where that cannot be told."""
    return "?" if seeds is None else ">1000" if seeds > 1000 else str(seeds)


def ranges(seeds: Sequence[int]) -> str:
    """0 to 4, where they follow each other; else all of them."""
    seeds = sorted(seeds)
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def saved(doc: Verdict) -> str:
    """What a sequential design saved against all arms at its last look; empty where that cannot be told, or nothing."""
    most = len(doc.arms) * doc.rule.looks[-1]
    if not (doc.rule.sequential and doc.rule.ended and doc.rule.contrasts) or doc.runs.total >= most:
        return ""
    return (
        f"{doc.runs.total} runs were trained, where all arms at {doc.rule.looks[-1]} seeds would be {most}: "
        f"{1 - doc.runs.total / most:.0%} were saved."
    )


def write(doc: Verdict, factor: str, entry: FactorVerdict) -> str:
    """The sentence of one factor; `entry` is its part of the document but for the sentence."""
    effect = doc.smallest_effect
    used = [level for level in entry.levels if level.verdict != "no result"]
    silent = [text(level.level) for level in entry.levels if level.verdict == "no result"]
    tail = f" No result for {join(silent)}." if silent else ""
    if not entry.seeds:
        if len(entry.levels) == len(silent):
            return f"{factor}: no result." + tail
        return f"{factor}: not compared: no seed has a result for every level." + tail
    best = next(level for level in used if level.verdict in FIRST)
    name = text(best.level)
    if len(used) == 1:
        return f"{factor}: only {name} was run: {spread(best, doc)}." + tail
    rest = [level for level in used if level is not best]
    compared = [level for level in rest if level.difference is not None]
    if not compared:
        return f"{factor}: not compared: no seed has a result for {name} and another level." + tail
    closest = min(compared, key=lambda level: level.distance)
    if first := _first_look_to_come(doc):
        return f"{factor}: too few seeds: {_gap(best, closest, effect)}, and the first look is at {first} seeds." + tail
    if len(entry.seeds) == 1:
        return (
            f"{factor}: too few seeds: {_gap(best, closest, effect)}, but that is one seed, "
            "which cannot show what is chance; run at least 3." + tail
        )
    parts = [
        *_worse_part(best, [level for level in rest if level.verdict == "worse"], effect),
        *_equal_part(best, [level for level in rest if level.verdict == "no difference shown"], effect),
        *_open_part(best, [level for level in rest if level.verdict == "too few seeds"], effect),
    ]
    return f"{factor}: {'; '.join(parts)}." + tail


def _first_look_to_come(doc: Verdict) -> int | None:
    first = doc.rule.looks[0]
    return first if first > len(doc.seeds) else None


def of_contrast(doc: Verdict, found: ContrastVerdict) -> str:
    """The sentence of a contrast: the claim, what became of it, and the difference that says so."""
    effect = doc.smallest_effect
    if found.difference is None:
        said = f"{what(found)}: no result"
    else:
        seeds = f"{found.n} seed{'' if found.n == 1 else 's'}"
        said = f"{what(found)} is {number(found.difference, effect, sign=True)}"
        if found.low is None:
            first = _first_look_to_come(doc) if found.n > 1 else None
            why = f"before the first look at {first}" if first else "which cannot show what is chance"
            said += f" with {seeds}, {why}"
        else:
            ends = f"{number(found.low, effect, sign=True)} to {number(found.high, effect, sign=True)}"
            said += f" (95 % interval {ends}, {seeds})"
            margin = number(found.margin, effect)
            said += {
                "different": "",
                "equivalent": f": any difference is smaller than {margin}",
                "not worse": f": if it is worse at all, by less than {margin}",
                "open": f": {_untold(found)}",
            }[found.state]
    claim = found.claim.strip().rstrip(".")
    word = NOT_SETTLED if found.outcome == "open" else found.outcome
    return f"{claim}: {word}: {said}." if claim and word else f"{claim}: {said}." if claim else f"{said}."


def what(found: ContrastVerdict) -> str:
    """The difference that a contrast is: "5 less 3 at padding=same"."""
    first, second = (" with ".join(text(pair[i]) for pair in found.compare.values()) for i in (0, 1))
    return f"{first} less {second}{f' in {found.metric}' if found.metric else ''}{_where(found)}"


def _where(found: ContrastVerdict) -> str:
    """As in " at data.messy=0.5"; with `against`, " at data.messy=0.5 less the same at data.messy=0.0"."""
    at, against = (", ".join(f"{f}={text(x)}" for f, x in some.items()) for some in (found.at, found.against))
    return (f" at {at}" if at else "") + (f" less the same at {against}" if against else "")


def _untold(found: ContrastVerdict) -> str:
    if found.hopeless:
        return f"not told{HOPELESS}"
    return f"too few seeds to tell{_settled_by(found.seeds_needed)}"


def _settled_by(seeds: int | None) -> str:
    """As in "; about 12 seeds would settle it", nothing where no number can be told."""
    if seeds is None:
        return ""
    return f"; {'more than 1000' if seeds > 1000 else f'about {seeds}'} seeds would settle it"


def describe(doc: Verdict) -> str:
    """The sentence of a sweep over seeds alone."""
    arm = doc.arms[0]
    if not arm.n:
        return f"{doc.metric}: no result."
    return f"{doc.metric}: {spread(arm, doc)}."


def spread(level: LevelVerdict | Arm, doc: Verdict) -> str:
    """Mean, standard deviation and seeds of a level or an arm."""
    mean = number(level.mean, doc.smallest_effect)
    if level.sd is None:
        return f"{mean} with one seed"
    return f"{mean} ± {number(level.sd, doc.smallest_effect)} (mean ± sd of {level.n} seeds)"


def join(items: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""


def _range(level: LevelVerdict, effect: float) -> str:
    """The interval of the best's lead over `level`, lower end first."""
    assert level.difference is not None
    sign = -1 if level.difference <= 0 else 1  # so that a lead is positive in either mode
    low, high = sorted(sign * end for end in level.interval)
    return f"{number(low, effect)} to {number(high, effect)}"


def _worse_part(best: LevelVerdict, worse: list[LevelVerdict], effect: float) -> list[str]:
    """As in "5 beats 3 by 0.012 (95 % interval 0.004 to 0.020, 3 seeds), at 2.6 times the parameters"."""
    if not worse:
        return []
    worse = sorted(worse, key=lambda level: level.distance)
    name = text(best.level)
    if len(worse) > 3:
        close, far = worse[0], worse[-1]
        return [
            f"{name} beats {join([text(level.level) for level in worse])}, "
            f"by {number(close.distance, effect)} ({text(close.level)}) to "
            f"{number(far.distance, effect)} ({text(far.level)}, {far.compared} seeds)"
        ]
    said = []
    for i, level in enumerate(worse):
        lead = f"{text(level.level)} by {number(level.distance, effect)}"
        about = f"95 % interval {_range(level, effect)}, {level.compared} seeds" if i == 0 else _range(level, effect)
        small = ", less than the smallest effect of interest" if max(map(abs, level.interval)) < effect else ""
        said.append(f"{lead} ({about}){small}")
    price = cost(best, worse[0]) if len(worse) == 1 else ""
    return [f"{name} beats {join(said)}{f', at {price}' if price else ''}"]


def _equal_part(best: LevelVerdict, same: list[LevelVerdict], effect: float) -> list[str]:
    """As in "no difference shown between 3 and 5: any difference is smaller than 0.005"."""
    if not same:
        return []
    names = join([text(level.level) for level in same])
    cheap = min(same, key=lambda level: level.parameters or math.inf)
    price = cost(cheap, best) if (cheap.parameters or 0) < (best.parameters or 0) else ""
    saving = f", and {text(cheap.level)} comes at {price}" if price else ""
    return [
        f"no difference shown between {text(best.level)} and {names}: "
        f"any difference is smaller than {number(effect, effect)}{saving}"
    ]


def _open_part(best: LevelVerdict, few: list[LevelVerdict], effect: float) -> list[str]:
    """As in "too few seeds: 5 leads 3 by 0.004, but the interval (-0.010 to 0.018) ..."."""
    if not few:
        return []
    alone = [text(level.level) for level in few if level.low is None]
    few = sorted((level for level in few if level.low is not None), key=lambda level: level.distance)
    met = f"{join(alone)} met {text(best.level)} at one seed at most, which cannot show what is chance"
    said = [met] if alone else []
    if not few:
        return said
    close = few[0]
    known = [level.seeds_needed for level in few if level.seeds_needed is not None]
    hopeless = all(level.hopeless for level in few)
    plan = HOPELESS if hopeless else _settled_by(max(known)) if len(known) == len(few) else ""
    if len(few) > 1:
        names = join([text(level.level) for level in few])
        lead = f"by {number(close.distance, effect)}"
        if len({number(level.distance, effect) for level in few}) > 1:
            lead += f" to {number(few[-1].distance, effect)}"
        apart = "open: not told" if hopeless else "too few seeds to tell"
        return [f"{apart} {text(best.level)} from {names}: it leads {lead}{plan}", *said]
    low, high = close.interval
    if low == high:
        doubt = "but the difference is the same at every seed, which is no measure of chance"
    elif (high - low) / 2 > effect:
        doubt = (
            f"but the interval ({_range(close, effect)}) is wider than the smallest effect of interest "
            f"{number(effect, effect)}"
        )
    else:
        doubt = (
            f"but the interval ({_range(close, effect)}) holds both zero and more than the smallest effect "
            f"of interest {number(effect, effect)}"
        )
    return [f"{'open' if hopeless else 'too few seeds'}: {_gap(best, close, effect)}, {doubt}{plan}", *said]


def _gap(best: LevelVerdict, other: LevelVerdict, effect: float) -> str:
    """As in "5 leads 3 by 0.004"."""
    if not other.difference:
        return f"{text(best.level)} and {text(other.level)} have the same mean"
    return f"{text(best.level)} leads {text(other.level)} by {number(other.distance, effect)}"


def cost(one: LevelVerdict, other: LevelVerdict) -> str:
    """As in "2.6 times the parameters and 1.9 times the MACs"; empty where `one` costs about as much."""
    said = []
    for mine, theirs, name in ((one.parameters, other.parameters, "parameters"), (one.macs, other.macs, "MACs")):
        if mine and theirs:
            ratio = mine / theirs
            if not 0.95 < ratio < 1.05:
                said.append(f"{ratio:.{1 if ratio >= 0.95 else 2}f} times the {name}")
    return join(said)
