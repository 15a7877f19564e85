"""What an analysis of a design is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config import Experiment
from pipeline.evidence.document import Verdict
from pipeline.evidence.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _nothing(*_: Any) -> Any:
    return []


def _no_figures(*_: Any) -> "dict[str, Figure]":
    return {}


@dataclass(frozen=True)
class Analysis:
    """What is looked for in the runs of a sweep, and how it is shown where it is found.

    find(verdict, runs, question): what goes into verdict.json, falsy where the design is none of this kind; `verdict`
    is the document so far, `question` what the sweep was asked. The others take what was found, and it:
    figures(found, verdict): by name, which is a file name too.
    section(found, verdict, plots): HTML for the page, before the factors; `plots` are the figures as <svg>, by name.
    factor_section(found, verdict, factor): HTML for the page, among what it says of one factor.
    lines(found, verdict): sentences for the terminal.
    """

    find: Callable[[Verdict, Sequence[Run], Experiment], Any]
    figures: "Callable[[Any, Verdict], dict[str, Figure]]" = _no_figures
    section: Callable[[Any, Verdict, Mapping[str, str]], list[str]] = _nothing
    factor_section: Callable[[Any, Verdict, str], list[str]] = _nothing
    lines: Callable[[Any, Verdict], list[str]] = _nothing
