"""Two runs side by side, as one HTML page that needs nothing but itself: where their answers differ."""

from html import escape
from pathlib import Path

from pipeline import config, data, folders, rundir
from pipeline.evaluation.beside import Beside, Example, said
from pipeline.evaluation.diagnosis_page import PICTURES, percent
from pipeline.evidence import html
from pipeline.terminal import literal

NAME = "against.html"
MOST_CLASSES = 200  # rows
MOST_ASKED = 30
CSS = """
.legend { margin: .8rem 0; } .legend p { overflow-wrap: anywhere; max-width: none; }
.a { color: #005f96; font-weight: 600; } .b { color: #b34700; font-weight: 600; }
@media (max-width: 600px) { th, td.l { white-space: normal; } .scroll table { font-size: .84rem; }
  td.l { overflow-wrap: anywhere; } }
"""
A, B = '<span class="a">A</span>', '<span class="b">B</span>'


def write_page(run: Path, other: Path, found: Beside) -> Path:
    """Write the page into the first run's directory, whole or not at all. The same runs give the same bytes."""
    path = run / NAME
    page = _page(run, other, found).encode()
    with folders.replacing(path) as file:
        file.write(page)
    return path


def _page(run: Path, other: Path, found: Beside) -> str:
    settings = config.of_run(run)
    prepared = data.prepare(settings.data, settings.seed)
    title = f"{_text(run.name)} and {_text(other.name)}"
    parts = [
        html.beginning(title, PICTURES, CSS),
        "<h1>Where two runs differ</h1>",
        _legend(run, other),
        _facts(found, rundir.read_run(run).dataset.name),
        _overall(found),
        _verdict(found),
        *_asked(found),
        *_classes(found),
        *_shown(f"Only {A} is right", found.first, found.all.first, prepared),
        *_shown(f"Only {B} is right", found.second, found.all.second, prepared),
        *_shown("Both are wrong, each in its own way", found.neither, None, prepared),
        "<h2>How this was made</h2>",
        _method(found),
    ]
    return "\n".join(part for part in parts if part) + "\n</body></html>\n"


def _legend(run: Path, other: Path) -> str:
    lines = []
    for letter, one in ((A, run), (B, other)):
        record = rundir.read_run(one)
        facts = [_text(one), *([_text(record.arm)] if record.arm else []), f"seed {record.config['seed']}"]
        lines.append(f"<p>{letter} {' · '.join(facts)}</p>")
    return f'<div class="legend">{"".join(lines)}</div>'


def _facts(found: Beside, name: str) -> str:
    facts = [_text(name), f"{found.all.total:,} test examples", f"{found.same:,} are called the same by both"]
    return f'<p class="facts">{" · ".join(facts)}</p>'


def _overall(found: Beside) -> str:
    one, other = found.all.accuracies
    rows = [
        (f"{A}: accuracy", one),
        (f"{B}: accuracy", other),
        (f"{A} less {B}, by the same examples", found.all.difference),
    ]
    cells = [("", [name, f"{x.value:+.3f}" if i == 2 else f"{x.value:.3f}", f"{x.low:.3f} to {x.high:.3f}"])
             for i, (name, x) in enumerate(rows)]  # fmt: skip
    four = [
        ("", [f"{A} right", f"{found.all.both:,}", f"{found.all.first:,}"]),
        ("", [f"{A} wrong", f"{found.all.second:,}", f"{found.all.neither:,}"]),
    ]
    return html.table(["", "", "95&nbsp;% interval"], cells, 1) + html.table(["", f"{B} right", f"{B} wrong"], four, 1)


def _verdict(found: Beside) -> str:
    p = found.all.p
    chance = f"p is {p:.2g}" if p >= 1e-4 else "p is below 0.0001"
    alone = found.all.first + found.all.second
    if not alone:
        return "<p>Both are right on the very same examples.</p>"
    means = (
        "more than chance gives: on new examples of this kind one of these two networks is better"
        if p < 0.05
        else "no more than chance gives, so that it cannot be told which of these two networks is better"
    )
    counts = f"Of the {alone:,} examples on which one alone is right, {A} has {found.all.first:,}"
    return f"<p>{counts}: {means} ({chance}).</p>"


def _asked(found: Beside) -> list[str]:
    if not found.asked:
        return ["<p>Both were asked for the same, code and machine aside.</p>"]
    rows = [("", [_text(name), _text(mine), _text(theirs)]) for name, mine, theirs in found.asked[:MOST_ASKED]]
    more = len(found.asked) - MOST_ASKED
    return [
        "<h2>What was asked of each</h2>",
        html.table(["option", A, B], rows, 3) + (f"<p>... and {more} more.</p>" if more > 0 else ""),
    ]


def _classes(found: Beside) -> list[str]:
    """Those on which one alone is right somewhere, the most one-sided first."""
    some = [(name, one) for name, one in found.classes.items() if one.first + one.second]
    if not some:
        return []
    order = sorted(some, key=lambda pair: -abs(pair[1].first - pair[1].second))
    rows = []
    for name, one in order[:MOST_CLASSES]:
        recalls = [f"{x.value:.3f}" for x in one.accuracies]
        rows.append(("", [_text(name), f"{one.total:,}", *recalls, f"{one.first:,}", f"{one.second:,}"]))
    head = ["class", "examples", f"recall of {A}", f"of {B}", f"only {A} right", f"only {B}"]
    left = len(found.classes) - len(rows)
    return [
        "<h2>Classes on which they differ</h2>",
        html.table(head, rows, 1) + (f'<p class="facts">{left:,} more classes not shown.</p>' if left else ""),
    ]


def _shown(title: str, some: list[Example], of: int | None, prepared: data.Prepared) -> list[str]:
    if not some:
        return []
    paths = prepared.paths
    figures = []
    for one in some:
        file = _text(paths[one.index]) if paths else f"example {one.index}"
        answers = "<br>".join(
            f"{letter} <b>{_text(called)}</b> {percent(sure)}"
            for letter, called, sure in zip((A, B), one.called, one.sure, strict=True)
        )
        figures.append(
            f"<figure>{prepared.kind.one(prepared, one.index)}"
            f"<figcaption>is <b>{_text(one.label)}</b><br>{answers}"
            f'<span class="ends">{file}</span></figcaption></figure>'
        )
    count = f"{len(some)} of {of:,}" if of is not None else f"{len(some)}"
    which = f"{count}, those first of which both are surest."
    return [f"<h2>{title}</h2>", f'<p class="facts">{which}</p>', f'<div class="mistakes">{"".join(figures)}</div>']


def _method(found: Beside) -> str:
    parts = [
        "These are two trained networks: another seed may turn the order, which a sweep over seeds tells.",
        "p: McNemar's exact test, two-sided, on the examples on which one alone is right. Accuracies: Wilson 1927; "
        "their difference: Newcombe 1998 for the same examples. Intervals hold the true value with a chance of 95 % "
        "each.",
        "Both are sure where the less sure one is; beside each answer stands the probability that it was given.",
    ]
    if found.groups:
        parts.append(
            f"Test examples of one {found.groups} are alike, and all of this takes them for independent: p is too "
            "small."
        )
    return "".join(f"<p>{html.prose(one)}</p>" for one in parts)


def lines(found: Beside) -> list[str]:
    """The same in short, for a terminal."""
    one, other = found.all.accuracies
    return [
        f"run         {said(one)}",
        f"against     {said(other)}",
        f"difference  {said(found.all.difference)}, McNemar's exact p {found.all.p:.2g}",
        f"right       both {found.all.both:,}, only run {found.all.first:,}, only against {found.all.second:,}, "
        f"neither {found.all.neither:,}",
    ]


def _text(value: object) -> str:
    return escape(literal(value))
