"""What became of every claim, over all sweeps below a folder: as data, on a terminal, a page, Markdown and a figure.

Sweeps are read and nothing is judged again: a verdict stands here as it stands in its sweep's own report.
"""

from pathlib import Path

from pipeline import folders
from pipeline.errors import InputError
from pipeline.evidence.claims.collect import collect
from pipeline.evidence.claims.entry import Index
from pipeline.evidence.claims.markdown import markdown
from pipeline.evidence.claims.page import page
from pipeline.evidence.claims.plots import forest, png
from pipeline.evidence.claims.table import print_claims

__all__ = ["Index", "collect", "markdown", "print_claims", "write"]

FIGURE = "evidence.png"


def write(index: Index, out: Path) -> None:
    """Write index.html, evidence.md and, where there are claims, the figure in it. The same index, the same bytes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"out={out}: is a file; it must be a folder.") from None
    drawn = forest(index)
    files = {
        "index.html": page(index, out).encode(),
        "evidence.md": markdown(index, out, FIGURE if drawn else None).encode(),
        **({FIGURE: png(drawn)} if drawn else {}),
    }
    for name, content in files.items():
        with folders.replacing(out / name) as file:
            file.write(content)
