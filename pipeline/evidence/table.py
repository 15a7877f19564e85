"""The verdict on a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import terminal
from pipeline.evidence.analyses import findings
from pipeline.evidence.document import Arm, FactorVerdict, LevelVerdict, Verdict
from pipeline.evidence.sentence import FIRST, LONGEST, count, number, saved, seeds_in_words, text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES = {
    "best": "bold green",
    "leads": "bold",
    "worse": "red",
    "no difference shown": "cyan",
    "too few seeds": "yellow",
}

OUTCOMES = {"supported": "green", "refuted": "red", "open": "yellow"}

CLOCK = (
    "seconds by the clock, longer where the machine was busy, of runs that nothing interrupted; MACs tell the work of "
    "one input on any machine."
)


def print_table(doc: Verdict, console: "Console") -> None:
    """Print one table and one sentence per factor, the arms where nothing was varied, and the warnings."""
    from rich.text import Text

    direction = "more is better" if doc.mode == "max" else "less is better"
    head = Text(doc.experiment or "verdict", style="bold")
    head.append(f"  {doc.metric}, {direction}; {len(doc.seeds)} seed{_s(len(doc.seeds))}, ")
    head.append(f"{doc.runs.total} runs")
    head.stylize("not bold", len(doc.experiment or "verdict"))
    console.print(head, highlight=False)
    if doc.question:
        console.print(Text(doc.question, style="italic"), highlight=False)
    if doc.about:
        console.print(Text(doc.about, style="dim"), highlight=False)
    if doc.contrasts:
        console.print()
    for one in doc.contrasts:
        style = OUTCOMES.get(one.outcome, STYLES["too few seeds"] if one.state == "open" else "")
        console.print(Text(one.sentence, style=style), highlight=False)
    for factor, entry in doc.factors.items():
        console.print()
        title = Text(factor, style="bold")
        title.append(f"  {basis(entry)}", style="not bold dim")
        console.print(title, highlight=False)
        console.print(_fitting_table(doc, entry, console), highlight=False)
        console.print(Text(entry.sentence), highlight=False)
        for note in entry.notes:
            console.print(Text(f"note: {note}", style="yellow"), highlight=False)
    if not doc.factors:
        console.print(Text("\n".join(doc.sentences)), highlight=False)
    for name, analysis, found in findings(doc):
        if lines := analysis.lines(found, doc):
            console.print()
            console.print(Text(name, style="bold"), highlight=False)
            console.print(Text("\n".join(lines)), highlight=False)
    if doc.factors and any(arm.seconds is not None for arm in doc.arms):
        console.print(Text(f"\ns/run: {CLOCK}", style="dim"), highlight=False)
    if said := saved(doc):
        console.print(Text(said, style="dim"), highlight=False)
    if doc.warnings:
        console.print()
    for warning in doc.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"), highlight=False)


def print_verdict(sweep: Path, doc: Verdict, dashboard: str) -> None:
    """The verdict of a sweep's directory, and where to look next: how `train -m` and `compare` end."""
    console = terminal.console()
    print_table(doc, console)
    lines = [f"report     {sweep / 'report.html'}", f"runs       {sweep}"]
    if dashboard:
        lines.append(f"dashboard  {dashboard}")
    console.print("\n" + "\n".join(lines), soft_wrap=True)


def costs(one: LevelVerdict | Arm, among: Sequence[LevelVerdict | Arm]) -> dict[str, str]:
    """Columns of what one level costs, without those that nothing is known for, as in a table from elsewhere."""
    columns = {"params": ("parameters", count), "MACs": ("macs", count), "s/run": ("seconds", seconds)}
    known = {column: of for column, of in columns.items() if any(getattr(each, of[0]) is not None for each in among)}
    return {column: shown(getattr(one, what)) for column, (what, shown) in known.items()}


def _fitting_table(doc: Verdict, entry: FactorVerdict, console: "Console") -> "Table":
    """The fullest table that fits the console without wrapping; the page and the JSON have every column."""
    endless = console.options.update(max_width=10_000)
    alike = len({level.n for level in entry.levels}) == 1  # else the last to go
    order = ("n", "MACs", "s/run", "params") if alike else ("MACs", "s/run", "params", "n")
    narrower = [order[: i + 1] for i in range(len(order))]
    for left_out, most in [*((one, LONGEST) for one in ((), *narrower)), *((narrower[-1], n) for n in (24, 16))]:
        for tight in (False, True):
            table = _factor_table(doc, entry, left_out, tight, most)
            # measured as if on an endless line: on its own, a table shrinks to whatever it is given
            if console.measure(table, options=endless).maximum <= console.width:
                return table
    return table


def _factor_table(doc: Verdict, entry: FactorVerdict, left_out: tuple[str, ...], tight: bool, most: int) -> "Table":
    """Levels in the order of the config, in at most `most` characters each."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0 if tight else 1, 0, 0), show_edge=False)
    columns = ["level", "n", "mean ± sd", "difference [95 %]", *costs(entry.levels[0], entry.levels), "verdict"]
    kept = [column for column in columns if column not in left_out]
    for column in kept:
        justify: Any = "left" if column in ("level", "verdict") else "right"
        table.add_column(column, justify=justify, no_wrap=True, overflow="ellipsis")
    for level in entry.levels:
        leads = level.verdict in FIRST
        cells = {
            "level": Text(text(level.level, most), style="bold" if leads else ""),
            "n": Text(str(level.n)),
            "mean ± sd": Text(mean_sd(level, doc)),
            "difference [95 %]": Text(difference(level, doc)),
            **{column: Text(cost) for column, cost in costs(level, entry.levels).items()},
            "verdict": Text(word(level, short=tight), style=STYLES.get(level.verdict, "dim")),
        }
        table.add_row(*(cells[column] for column in kept))
    return table


def mean_sd(level: LevelVerdict | Arm, doc: Verdict) -> str:
    """`0.974 ± 0.003`, or what there is of it."""
    mean = number(level.mean, doc.smallest_effect)
    return mean if level.sd is None else f"{mean} ± {number(level.sd, doc.smallest_effect)}"


def difference(level: LevelVerdict, doc: Verdict) -> str:
    """`-0.012 [-0.020, -0.004]`; a dash at the level with the best mean, with which the others are compared."""
    effect = doc.smallest_effect
    if level.difference is None or level.verdict in FIRST:
        return "–"
    said = number(level.difference, effect, sign=True)
    if level.low is not None:
        said += f" [{number(level.low, effect, sign=True)}, {number(level.high, effect, sign=True)}]"
    return said if level.compared == level.n else f"{said}, {level.compared} pair{_s(level.compared)}"


def seconds(value: float | None) -> str:
    """Seconds with the digits that a reader uses."""
    return "–" if value is None else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def basis(entry: FactorVerdict) -> str:
    """What the numbers of a factor's table are means of."""
    n = len(entry.seeds)
    least = min((sum(one is not None for one in level.values) for level in entry.levels if level.values), default=n)
    found, in_all = entry.averaged or [entry.cells], str(entry.cells)
    if found != [entry.cells]:
        in_all = f"{f'{found[0]} to ' if len(found) > 1 else ''}{found[-1]} of {entry.cells}"
    cells = f", each the mean of {in_all} combinations" if entry.cells > 1 else ""
    return f"{f'{least} to ' if least < n else ''}{n} seed{_s(n)}{cells}"


def word(level: LevelVerdict, short: bool = False) -> str:
    """The verdict's word, with the seeds that are needed where there are too few."""
    if level.verdict == "too few seeds" and level.hopeless:
        return "open" if short else "open at any number of seeds"
    if level.verdict == "too few seeds":
        plan = seeds_in_words(level.seeds_needed)
        about = "" if plan == "?" else plan if plan.startswith(">") else f"~{plan}"
        return f"needs {about or 'more'} seeds" if short else f"too few seeds{about and f', {about}'}"
    return level.verdict.replace(" shown", "") if short else level.verdict


def _s(n: int) -> str:
    return "" if n == 1 else "s"
