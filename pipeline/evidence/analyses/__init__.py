"""What a verdict says beyond its factors. A new analysis is a module beside these and its line in the table.

verdict.json has what an analysis finds under its name in the table, in this order, and so have the terminal and page.
"""

from typing import Any

from pipeline.evidence.analyses import across, layer_transfer, matrix, quadrants
from pipeline.evidence.analyses.analysis import Analysis
from pipeline.evidence.document import Verdict

ANALYSES: dict[str, Analysis] = {
    "matrix": Analysis(matrix.find, factor_section=matrix.factor_section),
    "layers": Analysis(
        layer_transfer.find, layer_transfer.figures, layer_transfer.section, lines=layer_transfer.sentences
    ),
    "quadrants": Analysis(quadrants.find, quadrants.figures, quadrants.section, lines=quadrants.sentences),
    "across": Analysis(across.find, across.figures, across.section, lines=across.lines),
}


def findings(doc: Verdict) -> list[tuple[str, Analysis, Any]]:
    """The analyses that found something in the design of a verdict: name, analysis, what it found."""
    return [(name, analysis, doc.analyses[name]) for name, analysis in ANALYSES.items() if doc.analyses.get(name)]
