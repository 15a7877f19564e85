"""The index as one HTML page that needs nothing but itself."""

from html import escape
from pathlib import Path

from pipeline.evidence import html
from pipeline.evidence.claims import words
from pipeline.evidence.claims.entry import KINDS, Entry, Index
from pipeline.evidence.claims.plots import intervals, metrics

CSS = """
.chip { display: inline-block; padding: 0 .45rem; margin: .1rem .25rem .1rem 0; border-left: 4px solid #9aa0a6;
  background: #f6f7f8; color: #222; white-space: nowrap; text-decoration: none; }
.chip.better, .chip.some { border-color: #009e73; background: #eef8f4; }
.chip.against { border-color: #b34700; background: #fdf3ec; }
.chip.none { border-color: #0072b2; background: #eef5fa; }
.chip.few { border-color: #e69f00; background: #fdf6e7; }
table.claims td:first-child { white-space: normal; min-width: 15rem; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; margin: .8rem 0; }
dl.facts dt { color: #888; } dl.facts dd { margin: 0; }
"""


def page(index: Index, base: Path) -> str:
    """The page as text, for a file in `base`: what became of the claims at a glance, then each experiment."""
    parts = [
        html.beginning("What became of the claims", CSS),
        "<h1>What became of the claims</h1>",
        f'<p class="question">{escape(words.headline(index))}.</p>',
        f'<p class="facts">{escape(words.runs(index.total))}</p>',
        _overview(index),
        *(f'<p class="note">left out: {escape(line)}</p>' for line in words.left_out(index)),
        f'<p class="facts">{html.prose(words.ABOUT_INTERVALS)}</p>',
        f'<p class="facts">{html.prose(words.ABOUT_FIGURES)}</p>' if any(map(metrics, index.entries)) else "",
        f'<p class="facts">{html.prose(words.ABOUT_COST)}</p>',
    ]
    figures = 0
    for number, entry in enumerate(index.entries):
        names = metrics(entry)
        plots = {
            metric: html.svg(intervals(entry, metric), f"{entry.title}: difference in {metric}", figures + i)
            for i, metric in enumerate(names)
        }
        figures += len(names)
        parts += _section(entry, number, plots, base)
    return "\n".join(part for part in parts if part) + "\n</body></html>\n"


def _overview(index: Index) -> str:
    """Experiments by data sets."""
    places = {(entry.verdict.experiment, entry.on): number for number, entry in enumerate(index.entries)}
    rows = []
    for experiment in index.experiments:
        cells = []
        for on in index.data:
            number = places.get((experiment, on))
            cells.append("–" if number is None else _chips(index.entries[number], number))
        rows.append(("", [escape(experiment), *cells]))
    return html.table(["experiment", *map(escape, index.data)], rows, words=len(index.data) + 1)


def _chips(entry: Entry, number: int) -> str:
    """How the claims of a sweep ended, each word once; a link to its section."""
    ends = entry.words() or {"described": 1}
    one_of_claims = bool(entry.verdict.contrasts)
    return "".join(
        f'<a class="chip {KINDS.get(word, "")}" href="#e{number}">{n if one_of_claims else ""} {escape(word)}</a>'
        for word, n in ends.items()
    )


def _section(entry: Entry, number: int, plots: dict[str, str], base: Path) -> list[str]:
    """One experiment on its data."""
    said = entry.verdict
    report = entry.report(base)
    factors = [
        f'<li class="{KINDS.get(conclusion, "")}">{html.prose(sentence)}</li>'
        for conclusion, sentence in words.sentences(entry)
    ]
    facts = [f"<dt>{escape(name)}</dt><dd>{escape(what)}</dd>" for name, what in words.facts(entry)]
    return [
        f'<h2 id="e{number}">{escape(entry.title)}</h2>',
        f'<p class="question">{escape(said.question)}</p>' if said.question else "",
        _claims(entry),
        html.figures(plots, list(plots)),
        f'<ul class="verdicts">{"".join(factors)}</ul>' if factors else "",
        *(f"<p>{html.prose(line)}</p>" for lines in entry.found.values() for line in lines),
        f'<dl class="facts">{"".join(facts)}</dl>',
        f'<p><a href="{escape(report)}">The report of the sweep</a></p>' if report else "",
    ]


def _claims(entry: Entry) -> str:
    rows = []
    for one in entry.verdict.contrasts:
        name, word, *figures = words.cells(one, entry)
        chip = f'<span class="chip {KINDS.get(word, "")}">{escape(word)}</span>'
        rows.append(("", [escape(name), chip, *map(escape, figures)]))
    head = [html.prose(name) for name in words.HEAD]
    return html.table(head, rows, words=2).replace("<table>", '<table class="claims">', 1) if rows else ""
