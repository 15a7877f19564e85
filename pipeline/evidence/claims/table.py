"""The index on a terminal."""

from typing import TYPE_CHECKING

from pipeline.evidence.claims import words
from pipeline.evidence.claims.entry import KINDS, Index

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {"better": "green", "some": "green", "against": "red", "none": "cyan", "few": "yellow"}


def print_claims(index: Index, console: "Console") -> None:
    """A row for each claim; of a sweep that claims nothing, one for each factor."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for entry in index.entries:
        console.print(Text(entry.title, style="bold"), highlight=False)
        rows = [words.cells(one, entry) for one in entry.verdict.contrasts]
        if rows:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
            for name in words.HEAD:
                text = name in ("claim", "outcome")
                table.add_column(name, justify="left" if text else "right", no_wrap=name != "claim", overflow="fold")
            for row in rows:
                style = STYLES.get(KINDS.get(row[1], ""), "")
                table.add_row(*(Text(cell, style=style if name == "outcome" else "")
                                for name, cell in zip(words.HEAD, row, strict=True)))  # fmt: skip
            console.print(table, highlight=False)
        for conclusion, said in [] if rows else words.sentences(entry):
            console.print(Text(said, style=STYLES.get(KINDS.get(conclusion, ""), "")), highlight=False)
        for lines in entry.found.values():
            console.print(Text("\n".join(lines)), highlight=False)
        console.print(Text(f"{words.seeds(entry)}; {words.cost(entry)}\n", style="dim"), highlight=False)
    console.print(Text(f"{words.headline(index)}; {words.runs(index.total)}."), highlight=False)
