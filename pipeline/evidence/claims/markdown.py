"""The index as Markdown, for a page that shows no HTML of ours."""

import re
from pathlib import Path

from pipeline.evidence.claims import words
from pipeline.evidence.claims.entry import Entry, Index
from pipeline.terminal import duration, literal


def markdown(index: Index, base: Path, figure: str | None = None) -> str:
    """The text of a file in `base`; `figure` is a picture beside it."""
    parts = [
        "# What became of the claims",
        f"{plain(words.headline(index))}; {words.runs(index.total)}.",
        _overview(index),
        f"![Every claim: its difference and interval over the margin]({figure})" if figure else "",
        words.ABOUT_INTERVALS,
        words.ABOUT_FIGURES if figure else "",
        words.ABOUT_COST,
        "\n".join(f"- left out: {plain(line)}" for line in words.left_out(index)),
        *(part for entry in index.entries for part in _section(entry, base)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """`text` in one line in which nothing is markup, a table's border or a link."""
    line = literal(" ".join(text.split()))
    line = re.sub(r"([\\`*\[\]<>|~$#&])|(?<!\w)_|_(?!\w)", lambda found: f"\\{found[0]}", line)
    return re.sub(r"(?i)(https?|ftp|mailto|xmpp):|\b(www)\.", lambda found: f"{found[0][:-1]}\\{found[0][-1]}", line)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]], text_columns: int) -> str:
    """A table of cells that are Markdown already; columns after the first ones are set right."""
    lines = [head, tuple("---" if i < text_columns else "---:" for i in range(len(head))), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _overview(index: Index) -> str:
    rows = []
    for entry in index.entries:
        ends = [f"{n} {word}" if entry.verdict.contrasts else word for word, n in entry.words().items()]
        cells = (entry.verdict.experiment, entry.on, ", ".join(ends) or "described", entry.when[:10],
                 duration(entry.total.seconds))  # fmt: skip
        rows.append(tuple(map(plain, cells)))
    return _table(("experiment", "data", "outcomes", "begun", "time"), rows, text_columns=4)


def _section(entry: Entry, base: Path) -> list[str]:
    said = entry.verdict
    claims = [tuple(map(plain, words.cells(one, entry))) for one in said.contrasts]
    report = entry.report(base)
    facts = [f"- {name}: {plain(what)}" for name, what in words.facts(entry)]
    return [
        f"## {plain(entry.title)}",
        f"*{plain(said.question)}*" if said.question.strip() else "",
        _table(words.HEAD, claims, text_columns=2) if claims else "",
        "\n".join(f"- {plain(sentence)}" for _, sentence in words.sentences(entry)),
        "\n".join(f"- {plain(line)}" for lines in entry.found.values() for line in lines),
        "\n".join(facts + ([f"- [the report of the sweep]({report})"] if report else [])),
    ]
