"""Figures of the index in words, the same on the terminal, the page and in Markdown."""

from pipeline.evidence.claims.entry import Claim, Cost, Entry, Index
from pipeline.evidence.sentence import join, number
from pipeline.terminal import duration

HEAD = ("claim", "outcome", "difference", "95 % interval", "margin", "seeds")
ABOUT_INTERVALS = (
    "A difference is that of the claim's first level less its second, or of two such differences. The intervals of an "
    "experiment hold at once with 95 % confidence; between experiments nothing is adjusted. Within the margin a "
    "difference does not matter."
)
ABOUT_FIGURES = (
    "In the figures the band is the margin, a stroke is a seed, and a mark the mean with its interval. Where a "
    "difference lies far beyond the margin, the scale is logarithmic from twice the margin on."
)
ABOUT_COST = "Time is that of training, by the clock: of all runs, those that tuned learning rates among them."


def cells(one: Claim, entry: Entry) -> tuple[str, ...]:
    """A claim as a row under HEAD."""
    effect = entry.verdict.smallest_effect
    ends = "–"
    if one.low is not None:
        ends = f"{number(one.low, effect, sign=True)} to {number(one.high, effect, sign=True)}"
    return (
        f"{one.name} (by {one.metric})" if one.metric else one.name,
        one.word,
        number(one.difference, effect, sign=True),
        ends,
        number(one.margin, effect),
        str(one.n),
    )


def sentences(entry: Entry) -> list[tuple[str, str]]:
    """What is said of each factor, or of all runs where nothing was varied, each with its conclusion."""
    factors = [(one.conclusion, one.sentence) for one in entry.verdict.factors.values()]
    return factors or [("", said) for said in entry.verdict.sentences[len(entry.verdict.contrasts) :]]


def headline(index: Index) -> str:
    """How many of what, and how they ended."""
    claims = sum(len(entry.verdict.contrasts) for entry in index.entries)
    ends = [f"{n} {word}" for word, n in index.outcomes().items()]
    about = f"{count(claims, 'claim')} of {count(len(index.experiments), 'experiment')} on {join(index.data)}"
    return f"{about}: {join(ends)}" if ends else about


def left_out(index: Index) -> list[str]:
    """What was left out, for a page that others read: it does not tell where this machine keeps its runs."""
    here = f"{index.root}/" if index.root.is_absolute() else ""
    return [line.replace(here, "") if here else line for line in index.left_out]


def cost(entry: Entry) -> str:
    """As in "24 runs, 12 min; to tune the learning rates before, 8 runs, 3 min"."""
    said = runs(entry.cost)
    return f"{said}; to tune the learning rates before, {runs(entry.tuning)}" if entry.tuning else said


def runs(some: Cost) -> str:
    """As in "24 runs, 12 min"."""
    lacking = f" ({some.untimed} without a time)" if some.untimed else ""
    return f"{count(some.runs, 'run')}, {duration(some.seconds)}{lacking}"


def seeds(entry: Entry) -> str:
    """How many, how they came to be so many, and whether they settled it."""
    rule = entry.verdict.rule
    looks = join([str(n) for n in rule.looks])
    how = f"added until settled, with looks at {looks}" if rule.sequential else "a fixed list, judged once"
    n = count(len(entry.verdict.seeds), "seed")
    known = f", {count(entry.verdict.known, 'run')} known before it was asked" if entry.verdict.known else ""
    return f"{n}, {how}{known}; {settled(entry)}"


def settled(entry: Entry) -> str:
    """As in "2 of 9 differences are open"."""
    rule = entry.verdict.rule
    if not rule.contrasts:
        return "nothing was compared"
    if not rule.open:
        return "all is settled"
    return f"{rule.open} of {count(rule.contrasts, 'difference')} {'is' if rule.open == 1 else 'are'} open"


def commit(entry: Entry) -> str:
    """The beginning of the commit, and whether the code was it."""
    sha, dirty, _ = (entry.git_sha or "").partition("-dirty")
    return f"{sha[:12]}{' with changes' if dirty else ''}" if sha else "unknown"


def facts(entry: Entry) -> list[tuple[str, str]]:
    """What a reader wants to know of how it was found out, by name."""
    said = entry.verdict
    return [
        ("data and budget", said.about or entry.on),
        ("compared by", f"{said.metric}; smallest effect of interest {said.smallest_effect:g}"),
        ("seeds", seeds(entry)),
        ("cost", f"{cost(entry)}. {entry.note}" if entry.note else cost(entry)),
        ("begun", entry.when or "unknown"),
        ("code", commit(entry)),
        ("machine", "; ".join(entry.machines) or "unknown"),
    ]


def count(n: int, what: str) -> str:
    """1 run, 2 runs."""
    return f"{n} {what}{'' if n == 1 else 's'}"
