"""How a finished run fails, and why it answers as it does, as one HTML page that needs nothing but itself."""

import math
from html import escape
from pathlib import Path

import numpy as np

from pipeline import config, data, folders, rundir
from pipeline.diagnosis.estimate import Estimate
from pipeline.evaluation import diagnosis_plots, insight_page
from pipeline.evaluation.diagnose import DRAWS, Diagnosis, Point
from pipeline.evidence import html
from pipeline.records import RunRecord
from pipeline.terminal import literal

NAME = "diagnosis.html"
MOST_CLASSES = 200  # rows
MOST_PAIRS = 10  # of what is taken for what
LABELS = {
    "acc": "accuracy",
    "balanced_acc": "balanced accuracy (mean recall)",
    "f1": "F1, mean over classes",
    "auroc": "AUROC, mean over classes",
    "ap": "average precision, mean over classes",
}
PICTURES = """
.mistakes { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; margin: .6rem 0; }
.mistakes figure { margin: 0; width: 132px; font-size: .82rem; line-height: 1.3; overflow-wrap: anywhere; }
.mistakes img { width: 132px; height: 132px; image-rendering: pixelated; display: block; background: #f6f7f8; }
.ends { color: #666; display: block; font-size: .85em; }
"""
CSS = """
td { vertical-align: top; }
@media (max-width: 600px) { th, td.l { white-space: normal; } .scroll table { font-size: .84rem; } }
"""


def write_page(run: Path, found: Diagnosis, inside: bool = True) -> Path:
    """Write the page of a finished run into its directory, whole or not at all. The same run gives the same bytes.

    inside: also what the network's maps and filters show.
    """
    path = run / NAME
    page = _page(run, found, inside).encode()
    with folders.replacing(path) as file:
        file.write(page)
    return path


def _page(run: Path, found: Diagnosis, inside: bool) -> str:
    record, settings = rundir.read_run(run), config.of_run(run)
    prepared = data.prepare(settings.data, settings.seed)
    drawn = diagnosis_plots.figures(found)
    plots = {name: html.svg(figure, name, i) for i, (name, figure) in enumerate(drawn.items())}
    title = f"How {_text(run.name)} fails"
    parts = [
        html.beginning(title, PICTURES, CSS, insight_page.CSS),
        f"<h1>{title}</h1>",
        _facts(record, found),
        _overall(found),
        html.figures(plots, ["confusions", "roc"]),
        _curves_said(found),
        "<h2>Each class against all others</h2>",
        _classes(found),
        _pairs(found),
        *_operating(found),
        "<h2>Is it as sure as it is right?</h2>",
        _calibration(found),
        html.figures(plots, ["reliability"]),
        "<h2>The most confident mistakes</h2>",
        _mistakes(found, prepared),
        *(insight_page.sections(run, found, prepared) if inside and prepared.kind.pictured else ()),
        "<h2>How this was made</h2>",
        _method(found),
    ]
    return "\n".join(part for part in parts if part) + "\n</body></html>\n"


def _facts(record: RunRecord, found: Diagnosis) -> str:
    facts = [
        _text(record.dataset.name),
        *([_text(record.arm)] if record.arm else []),
        f"seed {record.config['seed']}",
        f"{found.examples:,} test examples in {len(found.classes)} classes",
        "best checkpoint",
    ]
    return f'<p class="facts">{" · ".join(facts)}</p>'


def _overall(found: Diagnosis) -> str:
    rows = [("", [LABELS[name], _value(one), _ends(one)]) for name, one in found.overall.items()]
    before, after = found.loss
    error = found.calibration[0].error
    rows += [
        ("", ["calibration error", _value(error), _ends(error)]),
        ("", [f"cross-entropy (at temperature {found.temperature:.2g}: {after:.3f})", f"{before:.3f}", ""]),
    ]
    return html.table(["test split", "", "95&nbsp;% interval"], rows, 1)


def _curves_said(found: Diagnosis) -> str:
    shown, known = diagnosis_plots.curves_of(found), [one for one in found.classes if one.roc]
    if len(shown) == len(known) or len(shown) == 1:
        return ""
    return f'<p class="facts">ROC: the {len(shown)} of {len(known)} classes that are told apart worst.</p>'


def _classes(found: Diagnosis) -> str:
    rows = []
    for one in found.classes[:MOST_CLASSES]:
        f = one.figures
        cells = [_both(value) for value in (f.precision, f.recall, f.f1, one.auroc, one.average_precision)]
        rows.append(("", [_text(one.name), f"{f.examples:,}", f"{f.called:,}", *cells]))
    head = ["class", "examples", "called so", "precision", "recall", "F1", "AUROC", "average precision"]
    more = len(found.classes) - MOST_CLASSES
    return html.table(head, rows, 1) + (f"<p>... and {more:,} more classes.</p>" if more > 0 else "")


def _pairs(found: Diagnosis) -> str:
    """Of three classes and more, what is most often taken for what."""
    if len(found.classes) < 3:
        return ""
    wrong_KK = found.confusions * (1 - np.eye(len(found.classes), dtype=np.intp))
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[:MOST_PAIRS]
    rows = []
    for true, called in (divmod(int(i), len(found.classes)) for i in order):
        if count := int(wrong_KK[true, called]):
            of = found.classes[true].figures.examples
            names = [_text(found.classes[k].name) for k in (true, called)]
            rows.append(("", [*names, f"{count:,}", f"{count / of:.1%} of {of:,}"]))
    if not rows:
        return ""
    return "<h3>What is most often taken for what</h3>" + html.table(["is", "called", "", ""], rows, 2)


def _operating(found: Diagnosis) -> list[str]:
    if not found.points:
        return []
    several = len({one.name for one in found.points}) > 1
    about = "" if several else f" of {_text(found.points[0].name)}"
    parts = [
        f"<h2>Operating points{about}</h2>",
        "<p>Each threshold is chosen on validation, as the best with at least so much there, and reported on the test "
        "split: chosen on that, its figures would be too good.</p>",
    ]
    for kept in ("specificity", "sensitivity"):
        rows = [("", _point(one, several)) for one in found.points if one.kept == kept]
        head = [f"{kept} at least", "probability from", "sensitivity", "specificity", "precision", "on validation"]
        parts.append(html.table(["class", *head] if several else head, rows, 1 if several else 0))
    return parts


def _point(one: Point, several: bool) -> list[str]:
    on_val = f"{_value(one.val.sensitivity)}, {_value(one.val.specificity)}"
    called = "none is called so" if math.isinf(one.test.threshold) else f"{one.probability:.3g}"
    cells = [_both(value) for value in (one.test.sensitivity, one.test.specificity, one.test.precision)]
    return [*([_text(one.name)] if several else []), f"{one.floor:g}", called, *cells, on_val]


def _calibration(found: Diagnosis) -> str:
    rows = []
    for name, one, loss in zip(
        ("as it is", f"at temperature {found.temperature:.3g}, fitted on validation"),
        found.calibration,
        found.loss,
        strict=True,
    ):
        rows.append(("", [name, _both(one.error), f"{one.by_chance:.3f}", f"{loss:.3f}"]))
    return html.table(["", "calibration error", "of this by chance", "cross-entropy"], rows, 1)


def _mistakes(found: Diagnosis, prepared: data.Prepared) -> str:
    if not found.mistakes:
        return "<p>None: all test examples are called what they are.</p>"
    paths = prepared.paths
    shown = []
    for one in found.mistakes:
        file = _text(paths[one.index]) if paths else f"example {one.index}"
        shown.append(
            f"<figure>{prepared.kind.one(prepared, one.index)}<figcaption><b>{_text(one.label)}</b>, called "
            f"<b>{_text(one.predicted)}</b> with "
            f'{percent(one.confidence)}<span class="ends">{file}</span></figcaption></figure>'
        )
    wrong = found.examples - int(np.trace(found.confusions))
    return f'<p>{len(shown)} of {wrong:,}.</p><div class="mistakes">{"".join(shown)}</div>'


def _method(found: Diagnosis) -> str:
    said = [
        "Intervals hold the true value with a chance of 95 % each, for this network and new examples; what another "
        "seed would give, a sweep tells.",
        "Shares: Wilson 1927; F1 from that of F1 / (2 − F1); balanced accuracy from those of the recalls (Zou and "
        "Donner 2008). AUROC: DeLong 1988 by midranks (Sun and Xu 2014), on the logit's scale. Mean F1, average "
        f"precision and calibration error: {DRAWS} bootstrap resamples.",
        "Calibration error: in 15 bins of equal mass by the confidence in what is predicted. Few examples in a bin "
        "differ from their confidence by chance, so it is too high; its interval allows for that, and is from 0 where "
        "chance alone gives as much. Temperature: Guo et al. 2017.",
    ]
    if found.groups:
        said.append(
            f"Test examples of one {found.groups} are alike, and intervals take all for independent: they are too "
            "narrow by as much."
        )
    return "".join(f"<p>{html.prose(one)}</p>" for one in said)


def _both(one: Estimate) -> str:
    ends = _ends(one)
    return f'{_value(one)}<span class="ends">{ends}</span>' if ends else _value(one)


def _value(one: Estimate) -> str:
    return f"{one.value:.3f}" if math.isfinite(one.value) else "–"


def _ends(one: Estimate) -> str:
    return f"{one.low:.3f} to {one.high:.3f}" if math.isfinite(one.low) and math.isfinite(one.high) else ""


def percent(share: float) -> str:
    """Never 100 % of what is not certain."""
    return f"{100 * share:.1f}&nbsp;%" if share < 0.9995 else "more than 99.9&nbsp;%"


def _text(value: object) -> str:
    return escape(literal(value))
