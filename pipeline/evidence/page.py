"""The verdict as one HTML page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import folders
from pipeline.evidence import html
from pipeline.evidence.analyses import findings
from pipeline.evidence.document import FactorVerdict, Verdict
from pipeline.evidence.plots import figures
from pipeline.evidence.remaining import all_at_once, still_open
from pipeline.evidence.run import Run, level_key
from pipeline.evidence.sentence import number, saved, seeds_in_words, text, whole
from pipeline.evidence.style import name_of
from pipeline.evidence.table import CLOCK, basis, costs, difference, mean_sd, seconds, word
from pipeline.names import arm
from pipeline.perturbations import PERTURBATIONS
from pipeline.terminal import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_METRICS = 12  # columns of the list of runs; the run directories have the rest


def write_page(
    doc: Verdict,
    runs: Sequence[Run],
    path: str | Path,
    drawn: "Mapping[str, Figure] | None" = None,
) -> None:
    """Write the page of `doc` to `path`, whole or not at all. Links to run directories are relative to it.

    drawn: what `figures(doc, runs)` returned, where the caller has it already: drawing takes the time.
    The same `doc` and `runs` give the same bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    page = _page(doc, runs, path.parent, figures(doc, runs) if drawn is None else drawn).encode()
    with folders.replacing(path) as file:
        file.write(page)


def _page(doc: Verdict, runs: Sequence[Run], base: Path, drawn: "Mapping[str, Figure]") -> str:
    """The page as text: question and verdict first, then the evidence, then every run."""
    plots = {name: html.svg(figure, name, i) for i, (name, figure) in enumerate(drawn.items())}
    title = escape(doc.experiment or "verdict")
    parts = [
        html.beginning(title),
        f"<h1>{title}</h1>",
        f'<p class="question">{escape(doc.question)}</p>' if doc.question else "",
        _facts(doc),
        _verdicts(doc),
        f'<p class="facts">{saved(doc)}</p>' if saved(doc) else "",
        *(f'<p class="note">{escape(warning)}</p>' for warning in doc.warnings),
        _claims(doc),
        _rates(doc),
        *(part for _, analysis, found in findings(doc) for part in analysis.section(found, doc, plots)),
    ]
    for factor, entry in doc.factors.items():
        parts += [
            f"<h2><code>{escape(factor)}</code></h2>",
            html.figures(plots, [f"{name_of(factor)}.seeds", f"{name_of(factor)}.difference"]),
            _levels(doc, entry),
            *(f'<p class="note">{escape(note)}</p>' for note in entry.notes),
            html.figures(plots, [f"{name_of(factor)}.examples"]),
            *(part for _, analysis, found in findings(doc) for part in analysis.factor_section(found, doc, factor)),
            html.figures(plots, [f"{name_of(factor)}.invariance_{kind}" for kind in PERTURBATIONS]),
        ]
        curves = [name for name in plots if name.startswith(f"{name_of(factor)}.curve.")]
        if curves:
            parts.append("<p>Learning curves: the mean over seeds, in a band from the lowest seed to the highest.</p>")
            parts.append(html.figures(plots, curves))
    curves = [name for name in plots if name.startswith("curve.")]
    if curves:
        parts += ["<h2>Learning curves</h2>", html.figures(plots, curves)]
    curves = [f"invariance_{kind}" for kind in PERTURBATIONS if f"invariance_{kind}" in plots]
    if curves:
        parts += ["<h2>Invariance</h2>", html.figures(plots, curves)]
    costs = [name for name in plots if name.startswith("cost.")]
    if costs:
        parts += ["<h2>What it costs</h2>", html.figures(plots, costs)]
    parts += [_winning(doc), _open(doc), _gates(doc)]
    if doc.factors:
        parts += ["<h2>Every combination</h2>", _arms(doc)]
    parts += ["<h2>Every run</h2>", _runs(doc, runs, base), _again(doc), "<h2>How this was made</h2>", _method(doc)]
    return "\n".join(part for part in parts if part) + "\n</body></html>\n"


def _facts(doc: Verdict) -> str:
    better = "more" if doc.mode == "max" else "less"
    counted = doc.runs
    facts = [
        *([escape(doc.about)] if doc.about else []),
        f"<code>{escape(doc.metric)}</code>, {better} is better",
        f"smallest effect of interest {doc.smallest_effect:g}",
        f"{len(doc.seeds)} seed{'' if len(doc.seeds) == 1 else 's'}",
        f"{counted.total} runs, {counted.compared} compared",
        *([f"a share of {doc.n_test} examples"] if doc.n_test else []),
        *([f"planned {_before(doc)} as <code>{escape(doc.design)}</code>"] if doc.design else []),
    ]
    return f'<p class="facts">{" · ".join(facts)}</p>'


def _before(doc: Verdict) -> str:
    return f"when {doc.known} of the runs had finished" if doc.known else "before the first run"


def _verdicts(doc: Verdict) -> str:
    """The sentences, coloured by what they conclude."""
    colours = {
        "better": "better",
        "better than some": "some",
        "no difference shown": "none",
        "too few seeds": "few",
    }
    outcomes = {"supported": "better", "refuted": "against", "open": "few"}
    conclusions = [outcomes.get(one.outcome, "few" if one.state == "open" else "none") for one in doc.contrasts]
    conclusions += [colours.get(entry.conclusion, "") for entry in doc.factors.values()]
    conclusions = conclusions or [""]
    items = [
        f'<li class="{conclusion}">{html.prose(said)}</li>'
        for conclusion, said in zip(conclusions, doc.sentences, strict=True)
    ]
    return f'<ul class="verdicts">{"".join(items)}</ul>'


def _claims(doc: Verdict) -> str:
    """The table of the contrasts that were asked."""
    rows = []
    for one in doc.contrasts:
        effect = doc.smallest_effect
        ends = "–" if one.low is None else f"[{number(one.low, effect, True)}, {number(one.high, effect, True)}]"
        cells = {
            "claim": _wrapped(one.claim or one.sentence),
            "outcome": escape(one.outcome or one.state),
            "n": str(one.n),
            "difference": number(one.difference, effect, sign=True),
            "95 % interval": ends,
            "margin": number(one.margin, effect),
            "adjusted p": "–" if one.p_adjusted is None else f"{one.p_adjusted:.2g}",
        }
        rows.append(("", list(cells.values())))
    return f"<h2>Claims</h2>{html.table(list(cells), rows, words=2)}" if rows else ""


def _rates(doc: Verdict) -> str:
    """The learning rate that each arm got, and what each rate of the grid came to on validation data."""
    if not doc.tuned:
        return ""
    grid = list(doc.tuned[0].scores)
    rows = []
    for one in doc.tuned:
        scores = [f"{one.scores[rate]:.3f}" if rate in one.scores else "–" for rate in grid]
        rows.append(("", [escape(arm(one.levels) or "all"), f"{one.lr:g}", *scores]))
    head = ["arm", "learning rate", *(f"val/acc at {escape(rate)}" for rate in grid)]
    said = "Tuned before the comparison, on validation data, at seeds of their own."
    return f"<h2>Learning rates</h2><p>{said}</p>{html.table(head, rows, words=1)}"


def _levels(doc: Verdict, entry: FactorVerdict) -> str:
    """The table of one factor, as on the terminal, with p-values."""
    classes = {
        "best": "v-best",
        "leads": "v-leads",
        "worse": "v-worse",
        "no difference shown": "v-none",
        "too few seeds": "v-few",
    }
    rows = []
    for level in entry.levels:
        p = level.p_adjusted
        cells = {
            "level": escape(text(level.level)),
            "verdict": f'<span class="{classes.get(level.verdict, "")}">{escape(word(level))}</span>',
            "n": str(level.n),
            "mean ± sd": mean_sd(level, doc),
            "difference [95 %]": difference(level, doc),
            "adjusted p": "–" if p is None else f"{p:.2g}",
            **costs(level, entry.levels),
        }
        rows.append((level.verdict if level.verdict in ("best", "leads") else "", list(cells.values())))
    known = f'<p class="facts">{basis(entry)}</p>' + html.table(list(cells), rows, words=2)
    clock = f'<p class="facts">s/run: {CLOCK}</p>' if "s/run" in cells else ""
    return known + clock + _in_full([level.level for level in entry.levels])


def _in_full(levels: Sequence[Any]) -> str:
    """The levels that are too long for a table, by what stands there of them."""
    cut = [level for level in levels if text(level) != whole(level)]
    rows = [f"<dt>{escape(text(level))}</dt><dd><code>{escape(whole(level))}</code></dd>" for level in cut]
    return f"<details><summary>Long levels in full</summary><dl>{''.join(rows)}</dl></details>" if rows else ""


def _wrapped(said: str) -> str:
    """Prose in a table, whose cells are one line each."""
    return f'<span class="wrap">{html.prose(said)}</span>'


def _winning(doc: Verdict) -> str:
    """What the best level of each factor costs beside the others."""
    effect = doc.smallest_effect
    words = {True: "yes", False: "not shown", None: "–"}
    names = dict(zip(doc.factors, html.short_names(list(doc.factors)), strict=True))
    rows = []
    for one in doc.guardrails:
        gap = number(one.gap.mean, effect, sign=True)
        if one.gap.low is not None:
            gap += f" [{number(one.gap.low, effect, sign=True)}, {number(one.gap.high, effect, sign=True)}]"
        cells = {
            "factor": names[one.factor],
            "best": escape(text(one.best)),
            "beside": escape(text(one.level)),
            "gap/acc [95 %]": gap,
            "no worse": words[one.not_worse],
            "params": _times(one.parameters),
            "MACs": _times(one.macs),
            "s/run": _times(one.seconds),
        }
        rows.append(("", list(cells.values())))
    said = (
        "The best level less the other one, and how many times the other's cost it has. gap/acc is the lead of "
        "training over validation accuracy: above zero, the best one overfits more. Its intervals are plain 95 % ones, "
        "in pairs, outside of what the verdict judges at once; “no worse” is one that ends below the smallest effect "
        "of interest."
    )
    return (
        f"<h2>What winning costs</h2><p>{html.prose(said)}</p>{html.table(list(cells), rows, words=3)}" if rows else ""
    )


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}×" if ratio < 9.95 else f"{ratio:.0f}×"


def _open(doc: Verdict) -> str:
    """What is not settled, and what as many seeds again would cost."""
    rows = []
    for one in still_open(doc):
        cells = {
            "difference": _wrapped(one.what),
            "seeds": str(one.n),
            "that would settle it": "none" if one.hopeless else seeds_in_words(one.needed),
            "chance with as many again": f"{one.chance:.0%}",
            "runs of these": str(one.runs),
            "their time": "–" if one.seconds is None else duration(one.seconds),
        }
        rows.append(("", list(cells.values())))
    if not rows:
        return ""
    runs, spent = all_at_once(doc)
    said = (
        "The chance is what the seeds so far predict of a verdict on twice as many, and the time is by the mean "
        f"seconds of these arms. As many seeds again for all that is open are {runs} runs"
        f"{f' ({duration(spent)})' if spent else ''}, since differences share their runs. Seeds that are added to a "
        "list that was judged are not judged with it: a new list of twice as many takes twice the runs."
    )
    return f"<h2>What is open</h2><p>{html.prose(said)}</p>{html.table(list(cells), rows, words=1)}"


def _gates(doc: Verdict) -> str:
    """What must hold before the verdict means what it says."""
    words = {True: "holds", False: '<span class="v-fails">fails</span>', None: "–"}
    rows = [("", [_wrapped(one.name), words[one.holds], _wrapped(f"{one.result}: {one.means}")]) for one in doc.gates]
    table = html.table(["gate", "", "result"], rows, words=3)
    return f"<h2>What must hold</h2>{table}" if rows else ""


def _again(doc: Verdict) -> str:
    """The command, the code and the machine."""
    if (origin := doc.origin) is None:
        return ""
    facts = {
        "code": ", ".join(origin.git_sha),
        "began": origin.began and f"{origin.began} UTC",
        "machine": "; ".join(origin.machine),
        "versions": ", ".join(origin.versions),
        "cost": f"{origin.runs} runs, {duration(origin.seconds)} of training in all",
    }
    known = "".join(f"<dt>{name}</dt><dd>{escape(said)}</dd>" for name, said in facts.items() if said)
    return f"<h2>How to run this again</h2><pre><code>{escape(origin.command)}</code></pre><dl>{known}</dl>"


def _arms(doc: Verdict) -> str:
    """All arms, best first."""
    sign = -1 if doc.mode == "max" else 1
    arms = sorted(doc.arms, key=lambda arm: (arm.mean is None, sign * (arm.mean or 0)))
    rows = [
        (
            "",
            [
                *(escape(text(arm.levels[factor])) for factor in doc.factors),
                str(arm.n),
                mean_sd(arm, doc),
                *costs(arm, arms).values(),
            ],
        )
        for arm in arms
    ]
    head = [*html.short_names(list(doc.factors)), "n", "mean ± sd", *costs(arms[0], arms)]
    said = (
        "<p>Best mean first. These are described, not judged: the first of many is there by luck too, and a "
        "rerun with new seeds will on average find it lower.</p>"
        if len(arms) > 1
        else ""
    )
    return said + html.table(head, rows, words=len(doc.factors))


def _runs(doc: Verdict, runs: Sequence[Run], base: Path) -> str:
    """Every run with its levels, seed, metrics, status and folder."""
    factors = list(doc.factors)
    names = sorted({name for run in runs for name in run.metrics} - {doc.metric})
    metrics = [doc.metric, *names][:MOST_METRICS]
    order = {
        (factor, level_key(level.level)): i
        for factor, entry in doc.factors.items()
        for i, level in enumerate(entry.levels)
    }

    def place(run: Run) -> tuple[list[int], int, str]:
        return [order[factor, level_key(run.levels[factor])] for factor in factors], run.seed, run.dir

    rows = []
    for run in sorted(runs, key=place):
        values = [f"{run.metrics[name]:.5g}" if name in run.metrics else "–" for name in metrics]
        cells = [*(text(run.levels[factor]) for factor in factors), run.status, str(run.seed), *values]
        kind = "" if run.status == "finished" else "failed"
        rows.append((kind, [html.link(run.dir, base), *map(escape, cells), seconds(_or_none(run.seconds))]))
    head = ["run", *html.short_names(factors), "status", "seed", *map(escape, metrics), "seconds"]
    return html.table(head, rows, words=len(factors) + 2)


def _or_none(value: float) -> float | None:
    return value if value == value else None


def _method(doc: Verdict) -> str:
    """What a reviewer asks for."""
    grid = (
        f" An accuracy over {doc.n_test} examples moves in steps of {1 / doc.n_test:.2g}; no "
        "difference is credited with less spread than this rounding brings."
        if doc.n_test
        else ""
    )
    effect = number(doc.smallest_effect, doc.smallest_effect)
    notes = [
        "The replicate is the seed. It fixes the split, the initial weights, the order of the data and the "
        "augmentation, the same for every arm, so levels are compared in pairs: seed by seed, within each "
        "combination of the other factors, averaged over these combinations. What lacks a partner is left "
        "out of a difference; a level's mean is over all seeds that it has.",
        f"All {doc.rule.contrasts} differences between two levels of a factor{_and_claims(doc)} are one family. Their "
        "intervals hold the true differences all at once with 95 % confidence, so the best level may be picked from "
        "the same data, and a false difference or a false equivalence anywhere has a chance of at most 5 %. Each is "
        f"the paired t interval of the mean difference over seeds (Student 1908), {_as_wide(doc)}. They take the "
        f"differences to scatter about their mean as a normal distribution does.{grid}{_overlap(doc)}",
        _when(doc),
        "“Worse” is a level whose interval leaves out 0. “Best” is one that each of the others is shown to be worse "
        "than; where that is not shown, the level with the best mean “leads”, which other seeds may turn round.",
        f"“No difference shown” means that the whole interval lies within ±{effect}, the smallest effect of "
        "interest: whatever difference there is does not matter. It does not mean that there is none.",
        "“Too few seeds” comes with the least number of seeds at which the difference is settled with a chance of "
        "0.8, by what the seeds so far predict of more. These have to be new ones. “Open at any number of seeds” has "
        "none: each seed splits the same examples anew, and what that leaves uncertain no seed takes away.",
        "Parameters, MACs and seconds are means over the same runs as the metric. Seconds depend on the "
        "machine and on what else it did.",
    ]
    return "<ul>" + "".join(f"<li><p>{html.prose(note)}</p></li>" for note in notes) + "</ul>"


def _and_claims(doc: Verdict) -> str:
    return f" and all {len(doc.contrasts)} that claims are about" if doc.contrasts else ""


def _as_wide(doc: Verdict) -> str:
    """How the intervals differ from those of one comparison."""

    def wide(level: float) -> str:
        return f"{1 - level:.3%}".rstrip("0").rstrip(".%") + " %"

    if doc.rule.one_look is None:
        return "of which there is none with one seed"
    if doc.rule.sequential:
        looks = ", ".join(f"{wide(one)} at {n} seeds" for one, n in zip(doc.rule.levels, doc.rule.looks, strict=False))
        return (
            f"as wide as one of {looks} would be by itself; once it shows a difference, which no later look can take "
            f"back, as wide as one of {wide(doc.rule.levels[-1])} towards 0, and of {wide(doc.rule.one_look)} away "
            "from it"
        )
    return f"as wide as one of {wide(doc.rule.levels[0])} would be by itself"


def _overlap(doc: Verdict) -> str:
    """Of seeds that split the same examples anew."""
    if not doc.rule.overlap:
        return ""
    return (
        " Each seed splits the same examples anew, so seeds agree more with each other than with new data: the "
        f"variance of a mean over n seeds is taken to be 1/n + {doc.rule.overlap:.3g} times that of one (Nadeau and "
        "Bengio 2003), which more seeds cannot bring below the latter."
    )


def _when(doc: Verdict) -> str:
    """When the verdict is read."""
    if doc.rule.sequential:
        looks = ", ".join(map(str, doc.rule.looks))
        return (
            f"Seeds were added until all was settled, to {doc.rule.looks[-1]} at most, and looked at when there were "
            f"{looks} (repeated confidence intervals, Jennison and Turnbull 1989): looking early is allowed for."
            f"{' They ended since no number of them settles what is open.' if doc.rule.futile else ''}"
        )
    return (
        "The seeds were a fixed list, judged once. Adding seeds until a verdict pleases raises the rate of false "
        "alarms, which is why further ones are not judged with these."
    )
