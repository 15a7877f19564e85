"""The verdict as tables for a paper: Markdown, LaTeX (with booktabs), and CSV in full precision."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from itertools import groupby

from pipeline.evidence.document import Arm, ContrastVerdict, LevelVerdict, Verdict
from pipeline.evidence.sentence import FIRST, LONGEST, NOT_SETTLED, number, ranges, what, whole
from pipeline.names import shortened

LEAST_P = 0.001  # a smaller one is shown as below it
NOTHING = "–"
BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")  # a cell is a line, and commands no terminal
MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#|~&!$]")  # any of these may stand behind a backslash (CommonMark 2.4)
RAGGED = r">{\raggedright\arraybackslash}p{%g\linewidth}"
BREAKS = re.compile(r"[^\W_]{7}(?=[^\W_])|[_.,:;/=|+)…\]}\\-](?=[^\W_])")
HEADS = {"adjusted p": "adj. $p$"}
OR_ITS_CODE = r"""\DeclareRobustCommand{\orcode}[2]{%
  \ifdefined\Umathcode #1\else\ifcsname u8:\detokenize{#1}\endcsname #1\else\texttt{U+#2}\hspace{0pt}\fi\fi}
"""
SIGNS = (  # those of mathematics
    "± pm,≥ ge,≤ le,≠ ne,≈ approx,× times,· cdot,→ to,← gets,∞ infty,Γ Gamma,Δ Delta,Θ Theta,Λ Lambda,Σ Sigma,Φ Phi,"
    "Ω Omega,α alpha,β beta,γ gamma,δ delta,ε varepsilon,η eta,θ theta,κ kappa,λ lambda,μ mu,ν nu,π pi,ρ rho,σ sigma,"
    "τ tau,φ varphi,χ chi,ψ psi,ω omega"
)
LATEX = {
    **{one: f"\\{one}" for one in "&%$#_{}"},
    **{one: f"{{{one}}}" for one in "[]*"},  # a row that begins with one would be read as an option of \\
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "–": "--",
    "…": r"\ldots{}",
    "\u200b": r"\hspace{0pt}",  # here a line may end
    "−": "$-$",
    **{sign: f"$\\{name}$" for sign, name in (pair.split() for pair in SIGNS.split(","))},
}


@dataclass(frozen=True)
class Row:
    """A level or a contrast of a verdict. What does not apply, or cannot be told, is None; CSV has these columns."""

    kind: str  # level | contrast, or arm where nothing is varied but the seed
    factor: str  # of a contrast all that are compared, parted by " with "
    level: str  # of a contrast what is taken off what, as in "5 less 3 at padding=same"
    claim: str
    metric: str
    n: int  # seeds that the mean is over
    pairs: int  # those that the difference is over
    mean: float | None
    sd: float | None
    difference: float | None  # of a level to the one that leads
    low: float | None  # of the interval; those of all differences of the verdict hold at once
    high: float | None
    margin: float
    p: float | None
    p_adjusted: float | None
    verdict: str


def rows(doc: Verdict) -> list[Row]:
    """Every level of every factor, then every contrast; where there are none, what all seeds came to."""
    levels = [_of_level(doc, factor, one) for factor, entry in doc.factors.items() for one in entry.levels]
    if not doc.factors:
        levels = [_of_arm(doc, one) for one in doc.arms]
    return levels + [_of_contrast(doc, one) for one in doc.contrasts]


def _of_level(doc: Verdict, factor: str, one: LevelVerdict) -> Row:
    return Row(
        "level",
        factor,
        whole(one.level),
        "",
        doc.metric,
        one.n,
        one.compared,
        one.mean,
        one.sd,
        one.difference,
        one.low,
        one.high,
        doc.smallest_effect,
        one.p,
        one.p_adjusted,
        one.verdict,
    )


def _of_arm(doc: Verdict, one: Arm) -> Row:
    nothing = (None,) * 3
    return Row("arm", "", "", "", doc.metric, one.n, 0, one.mean, one.sd, *nothing, doc.smallest_effect, None, None, "")


def _of_contrast(doc: Verdict, one: ContrastVerdict) -> Row:
    word = one.outcome or one.state
    return Row(
        "contrast",
        " with ".join(one.compare),
        what(one),
        one.claim,
        one.metric or doc.metric,
        one.n,
        one.n,
        None,
        None,
        one.difference,
        one.low,
        one.high,
        one.margin,
        one.p,
        one.p_adjusted,
        NOT_SETTLED if word == "open" else word,
    )


@dataclass(frozen=True)
class Table:
    """A table in words. What is in its first column and its last is text, in the others numbers."""

    head: list[str]
    rows: list[list[str]]
    claims: bool  # in its first column, which are sentences


def _tables(doc: Verdict) -> list[Table]:
    """One for each factor, then one of the contrasts."""
    found = []
    for (kind, factor), some in groupby(rows(doc), lambda row: (row.kind, row.factor if row.kind == "level" else "")):
        listed = list(some)
        if kind == "arm":
            found.append(Table(["metric", "n", "mean", "sd"], [_cells(doc, row, False) for row in listed], False))
            continue
        apart = any(row.pairs != row.n for row in listed)
        said = [_cells(doc, row, apart) for row in listed]
        first, last = (factor, "verdict") if kind == "level" else ("claim", "outcome")
        numbers = ["mean", "sd", *(["pairs"] if apart else []), "difference"] if kind == "level" else ["difference"]
        margin = ["margin"] if kind == "contrast" else []
        head = [first, "n", *numbers, "95 % interval", *margin, "p", "adjusted p", last]
        found.append(Table(head, said, kind == "contrast"))
    return found


def _cells(doc: Verdict, row: Row, apart: bool) -> list[str]:
    """The cells of a row, with the decimals that the smallest effect of interest deserves.

    `apart`: the seeds that differences are over stand in a cell of their own.
    """
    effect, first = doc.smallest_effect, row.verdict in FIRST
    difference = NOTHING if first else number(row.difference, effect, sign=True)
    ends = [number(end, effect, sign=True) for end in (row.low, row.high)]
    interval = NOTHING if first or row.low is None else f"[{ends[0]}, {ends[1]}]"
    tests = [_p(row.p), _p(row.p_adjusted)]
    if row.kind == "contrast":
        name = f"{row.claim} ({row.level})" if row.claim else row.level
        return [name, str(row.n), difference, interval, number(row.margin, effect), *tests, row.verdict]
    described = [number(row.mean, effect), number(row.sd, effect)]
    if row.kind == "arm":
        return [row.metric, str(row.n), *described]
    described += [NOTHING if first else str(row.pairs)] if apart else []
    return [shortened(row.level, LONGEST), str(row.n), *described, difference, interval, *tests, row.verdict]


def _p(value: float | None) -> str:
    return NOTHING if value is None else f"<{LEAST_P:g}" if value < LEAST_P else f"{value:.3f}"


def caption(doc: Verdict) -> str:
    """What the numbers are, of which data and how many seeds, and what the intervals hold."""
    better = "more" if doc.mode == "max" else "less"
    about = f" of {doc.about}" if doc.about else ""
    at_looks = ""
    if doc.rule.sequential:
        at_looks = f", whichever look ended them ({', '.join(map(str, doc.rule.looks))} seeds)"
    seeds = f"{len(doc.seeds)} seed{'' if len(doc.seeds) == 1 else 's'} ({ranges(doc.seeds)})"
    said = [
        f"{doc.experiment or 'Verdict'}: {doc.metric}{about}; {better} is better.",
        doc.question,
        f"Mean and standard deviation (sd) over n of {seeds}"
        + (
            f"; differences are paired by seed, those of levels to the one that leads. {_intervals(doc)}{at_looks}, "
            f"and adjusted p allows for the same. Smallest effect of interest: {doc.smallest_effect:g}."
            if doc.rule.contrasts
            else "."
        ),
    ]
    return " ".join(filter(None, said))


def _intervals(doc: Verdict) -> str:
    if doc.rule.contrasts == 1 and not doc.rule.sequential:
        return "The interval is a 95 % one"
    return f"The 95 % intervals of all {doc.rule.contrasts} differences hold at once"


def remarks(doc: Verdict) -> list[str]:
    """What a reader of the numbers must know as well: what was left out, interactions, what they cannot show."""
    return [*doc.warnings, *(f"{factor}: {note}" for factor, entry in doc.factors.items() for note in entry.notes)]


def markdown(found: Mapping[str, Verdict]) -> str:
    """The tables of each verdict under its caption."""
    parts = []
    for doc in found.values():
        parts.append(_in_markdown(caption(doc)))
        for table in _tables(doc):
            rule = ["---", *["---:"] * (len(table.head) - 2), "---"]
            body = [[_in_markdown(first), *numbers, last] for first, *numbers, last in table.rows]
            head = [_in_markdown(cell) for cell in table.head]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body)))
        if said := remarks(doc):
            parts.append("\n".join(f"- {_in_markdown(one)}" for one in said))
    return "\n\n".join(parts) + "\n"


def _in_markdown(said: str) -> str:
    return MARKDOWN.sub(r"\\\g<0>", BLANK.sub(" ", said))


def latex(found: Mapping[str, Verdict]) -> str:
    """A floating table for each verdict, which needs the packages array and booktabs, and a text 345 pt wide.

    That is the text of `article`. For its sake the plain p is left out, which no verdict goes by.
    """
    lines = []
    for doc in found.values():
        lines += [r"\begin{table}", r"  \centering", f"  \\caption{{{_in_latex(caption(doc))}}}"]
        lines += [r"  \footnotesize", r"  \setlength{\tabcolsep}{3pt}"]
        for table in _tables(doc):
            shown = [i for i, name in enumerate(table.head) if name != "p"]
            first, last = (RAGGED % 0.27, "l") if table.claims else (RAGGED % 0.18, RAGGED % 0.15)
            columns = f"@{{}}{first}{'r' * (len(shown) - 2)}{last}@{{}}"
            lines += [r"  \par\medskip", f"  \\begin{{tabular}}{{{columns}}}", r"    \toprule"]
            head = [_long_in_latex(table.head[0]), *(HEADS.get(one, _in_latex(one)) for one in table.head[1:])]
            body = [
                [_long_in_latex(first), *map(_number_in_latex, numbers), _in_latex(last)]
                for first, *numbers, last in table.rows
            ]
            for j, row in enumerate([head, *body]):
                lines += [rf"    {' & '.join(row[i] for i in shown)} \\"] + [r"    \midrule"] * (j == 0)
            lines += [r"    \bottomrule", r"  \end{tabular}"]
        for one in remarks(doc):
            lines += [r"  \par\smallskip\raggedright", f"  {_in_latex(one)}"]
        lines.append(r"\end{table}")
    said = "\n".join(lines) + "\n"
    return "% needs \\usepackage{array,booktabs}\n" + (OR_ITS_CODE + said if r"\orcode" in said else said)


def _in_latex(said: str) -> str:
    said = "".join(LATEX.get(one, _of_fonts(one)) for one in BLANK.sub(" ", said))
    said = re.sub(r"([-',])(?=\1)", r"\1{}", said)  # "--" would be one dash, "''" a closing quote
    return said.replace(r" \%", r"\,\%")


def _of_fonts(one: str) -> str:
    """A character that LaTeX may have no font for, and pdflatex then stops at: it or, there, its code."""
    return one if one < "\u0180" else rf"\orcode{{{one}}}{{{ord(one):04X}}}"


def _long_in_latex(said: str) -> str:
    """A cell whose long words may end a line behind a sign, or anywhere where they have none."""
    if re.fullmatch(r"-\d[\d.]*", said):
        return f"${said}$"
    return _in_latex(re.sub(r"\S{15,}", lambda word: BREAKS.sub("\\g<0>\u200b", word.group()), said))


def _number_in_latex(cell: str) -> str:
    """With signs that are no hyphens, and powers of ten."""

    def power(said: re.Match[str]) -> str:
        digits, exponent = said.groups()
        return rf"${digits} \cdot 10^{{{int(exponent)}}}$" if exponent else f"${digits}$"

    return re.sub(r"([-+<]\d[\d.]*|\d[\d.]*(?=e))(?:e([-+]\d+))?", power, cell).replace(NOTHING, "--")


def as_csv(found: Mapping[str, Verdict], by: str | None = None) -> str:
    """All in one table; where there is a verdict for each value of the column `by`, with that column first."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([*([by] if by else []), *(one.name for one in fields(Row))])
    for value, doc in found.items():
        writer.writerows([*([value] if by else []), *astuple(row)] for row in rows(doc))
    return file.getvalue()


def written(kind: str, found: Mapping[str, Verdict], by: str | None = None) -> str:
    """The verdicts, by their value of `by`, as markdown, latex or csv."""
    return as_csv(found, by) if kind == "csv" else {"markdown": markdown, "latex": latex}[kind](found)
