"""What goes to a terminal: text that came with data or from a file is shown as it is, and commands nothing.

A class or a folder may be called `[bold red]x`, which rich would take for a style, or hold an escape sequence, which
the terminal would obey.
"""

import contextlib
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def literal(text: object) -> str:
    """`text` with control characters made visible, as \\x1b; lines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in str(text))


def duration(seconds: float) -> str:
    """0.4 s, 42 s, 12 min, 3.4 h or 2.1 days."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def say(text: object) -> None:
    """A line for people on standard error; where that is full, or nobody reads it, nothing waits for them."""
    with contextlib.suppress(OSError):
        print(literal(text), file=sys.stderr, flush=True)


class Formatter(logging.Formatter):
    """Log records as literal text."""

    def format(self, record: logging.LogRecord) -> str:
        return literal(super().format(record))


def console(stderr: bool = False, **options: Any) -> "Console":
    """Rich's, without markup in what is printed; styles are given as such."""
    from rich.console import Console
    from rich.segment import Segment

    class Literal(Console):
        def _render_buffer(self, buffer: Iterable[Segment]) -> str:
            return super()._render_buffer(
                one if one.control else Segment(literal(one.text), one.style) for one in buffer
            )

    return Literal(file=sys.stderr if stderr else None, markup=False, highlight=False, **options)


def mind(lines: list[str]) -> None:
    """Say what the user may not have meant, without holding anything up."""
    for line in lines:
        say(f"mind: {line}")
