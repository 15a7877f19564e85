"""A set's data card: one HTML page that needs nothing else, to look at before a result is believed."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pipeline.data import grouping
from pipeline.data.config import Data
from pipeline.data.prepared import Prepared
from pipeline.data.sources import VAL
from pipeline.data.splitting import split, split_anew
from pipeline.terminal import literal

CLASSES, EACH = 20, 12  # of the contact sheet: rows and columns
ROWS = 200  # of a list, at most

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; margin-bottom: 0; } h2 { font-size: 1.15em; margin: 2em 0 .4em; }
p.sub { color: #666; margin-top: .2em; overflow-wrap: anywhere; }
table { border-collapse: collapse; } td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #bbb; font-weight: 600; } td.n, th.n { text-align: right; }
td.bar { width: 260px; } td.bar div { background: #4878a8; height: .8em; margin-top: .35em; }
td.path { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere; }
ul.mind { background: #fff4d6; border-left: 4px solid #d9a400; padding: .6em 1em .6em 2em; }
p.fine { background: #e8f4e8; border-left: 4px solid #4a934a; padding: .6em 1em; }
img.sheet { image-rendering: pixelated; max-width: 100%; } .names td { font-size: 13px; }
"""


def page(prepared: Prepared, config: Data, seed: int) -> str:
    """The card as HTML, of the splits that a run with this configuration and seed has."""
    from pipeline.data.report import class_counts, findings, kept_sentence, sentences

    splits = split(prepared, config, seed)
    used = int((prepared.labels >= 0).sum())
    found = findings(prepared, config, splits)
    counts = class_counts(prepared, splits)
    manifest = prepared.manifest
    channels, height, width = prepared.input_shape
    minds = sentences(found)
    colour = {1: "grey", 3: "colour"}[channels]
    messy = f", made messy at {manifest['messy']:g} (seed {manifest['messy_seed']})" if manifest["messy"] else ""
    where = "".join(f"<br>{_text(one['path'])}" for one in manifest["raw"][:4])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{_text(manifest['name'])}: data card</title><style>{STYLE}</style></head><body>",
        f"<h1>{_text(manifest['name'])}</h1>",
        f'<p class="sub">{used:,} images in {len(prepared.classes)} classes, {height}x{width} '
        f"{colour} after {_text(manifest['resize'])}{messy}. Read by data.source={_text(manifest['source'])}."
        f"<br>digest {prepared.digest}{where}</p>",
    ]
    if minds:
        parts.append('<ul class="mind">' + "".join(f"<li>{_text(one)}</li>" for one in minds) + "</ul>")
    else:
        no_group = f", no group of {_text(found['group']['column'])}" if found["group"] else ""
        parts.append(f'<p class="fine">Nothing was put aside; no image lies in two splits{no_group}.</p>')
    parts.append(f'<p class="sub">{_text(_how(prepared, config, seed))}<br>{_text(kept_sentence(found))}</p>')
    parts += ["<h2>Contact sheet</h2>", _sheet(prepared), "<h2>Images per class</h2>", _counts(counts)]
    parts += ["<h2>Sizes before resizing</h2>", _sizes(manifest["sizes"])]
    if prepared.columns:
        parts += ["<h2>Groups</h2>", _groups(prepared, found)]
    parts += ["<h2>Put aside</h2>", _quarantine(found["quarantined"])]
    parts += ["<h2>The same image in more than one split</h2>", _duplicates(found["duplicates"], prepared)]
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _how(prepared: Prepared, config: Data, seed: int) -> str:
    """What split the set."""
    own = prepared.own_split
    if own is None or split_anew(prepared, config):
        cut = f"split here, data.test_fraction={config.test_fraction:g} and data.val_fraction={config.val_fraction:g}"
    elif not (own == VAL).any():
        cut = f"the set's own test split, and data.val_fraction={config.val_fraction:g} cut from its training part here"
    else:
        return "Splits: the set's own."
    drawn = seed if config.split_seed is None else config.split_seed
    limit = "" if config.limit_train is None else f", data.limit_train={config.limit_train}"
    return f"Splits: {cut}, by seed {drawn}{limit}."


def contact_sheet(prepared: Prepared) -> np.ndarray:
    """uint8 [H, W, 3]: a row for each of the first classes, images evenly spaced through each."""
    size = prepared.images.shape[1]
    zoom = max(1, 48 // size)
    step = max(1, -(-size // 96))  # large ones are thinned out
    side = len(range(0, size, step)) * zoom
    gap = 2
    rows = min(CLASSES, len(prepared.classes))
    sheet = np.full((rows * (side + gap) - gap, EACH * (side + gap) - gap, 3), 255, np.uint8)
    for row in range(rows):
        members = np.flatnonzero(prepared.labels == row)
        chosen = members[np.linspace(0, len(members) - 1, min(EACH, len(members))).astype(int)] if len(members) else []
        for column, i in enumerate(chosen):
            image = np.asarray(prepared.images[i])[::step, ::step].repeat(zoom, 0).repeat(zoom, 1)
            top, left = row * (side + gap), column * (side + gap)
            sheet[top : top + side, left : left + side] = image
    return sheet


def _sheet(prepared: Prepared) -> str:
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(contact_sheet(prepared)).save(png, "PNG", optimize=True)
    data = base64.b64encode(png.getvalue()).decode()
    names = prepared.classes[:CLASSES]
    more = f", the first {CLASSES} of {len(prepared.classes)} classes" if len(prepared.classes) > CLASSES else ""
    return (
        f'<img class="sheet" alt="images of each class" src="data:image/png;base64,{data}">'
        f'<p class="sub">One class in a row{more}, from the top: {_text(", ".join(names))}.</p>'
    )


def _counts(counts: dict[str, dict[str, int]]) -> str:
    classes = list(next(iter(counts.values())))
    totals = [sum(part[name] for part in counts.values()) for name in classes]
    most = max(totals)
    rows = [
        [name, *(f"{part[name]:,}" for part in counts.values()), f"{total:,}", 100 * total / most]
        for name, total in zip(classes, totals, strict=True)
    ]
    head = "".join(f'<th class="n">{name}</th>' for name in [*counts, "together"])
    body = "".join(
        f"<tr><td>{_text(name)}</td>" + "".join(f'<td class="n">{n}</td>' for n in numbers)
        + f'<td class="bar"><div style="width:{bar:.1f}%"></div></td></tr>'
        for name, *numbers, bar in rows
    )  # fmt: skip
    sums = "".join(f'<td class="n"><b>{sum(part.values()):,}</b></td>' for part in counts.values())
    body += f'<tr><td><b>all</b></td>{sums}<td class="n"><b>{sum(totals):,}</b></td></tr>'
    return f"<table><tr><th>class</th>{head}<th></th></tr>{body}</table>"


def _sizes(sizes: dict[str, Any]) -> str:
    def shown(size: Sequence[int]) -> str:
        return f"{size[1]}x{size[0]}"

    if sizes["distinct"] == 1:
        return f"<p>All {shown(sizes['smallest'])} (width x height).</p>"
    common = "".join(f'<tr><td>{shown(size)}</td><td class="n">{size[2]:,}</td></tr>' for size in sizes["common"])
    return (
        f"<p>{sizes['distinct']} sizes, from {shown(sizes['smallest'])} to {shown(sizes['largest'])} "
        f'(width x height). The most common:</p><table><tr><th>size</th><th class="n">images</th></tr>{common}</table>'
    )


def _groups(prepared: Prepared, found: dict[str, Any]) -> str:
    bad = {leak["column"]: leak for leak in found["groups"]}
    kept, looked_at = found["group"] and found["group"]["column"], grouping.usual(prepared)
    rows = []
    for column in prepared.columns:
        leak = bad.get(column)
        divided = "none" if column == kept or column in looked_at else ""
        if leak:
            divided = f"{leak['groups']:,} groups, {leak['examples']:,} examples"
            divided += " by the set's own split, which is not used" if leak["mended"] else ""
        rows.append([column, f"{len(np.unique(grouping.codes(prepared, column))):,}", divided])
    return "<p>Any of these can be data.group.</p>" + _table(["column", "values", "divided by the splits"], rows)


def _quarantine(quarantined: list[dict[str, str]]) -> str:
    if not quarantined:
        return "<p>Nothing: every file could be used.</p>"
    from pipeline.data.report import kinds

    more = f"<p>... and {len(quarantined) - ROWS:,} more, in manifest.json.</p>" if len(quarantined) > ROWS else ""
    rows = [[one["path"], one["reason"]] for one in quarantined[:ROWS]]
    return f"<p>{len(quarantined):,}: {_text(kinds(quarantined))}.</p>" + _table(["path", "reason"], rows) + more


def _duplicates(duplicates: list[dict[str, list[Any]]], prepared: Prepared) -> str:
    if not duplicates:
        copies = 0 if prepared.same is None else int((prepared.same != np.arange(len(prepared.same))).sum())
        return f"<p>None. {copies:,} images of the set are copies of another.</p>"
    rows = [
        [
            ", ".join(map(str, one.get("paths", one["indices"]))),
            ", ".join(one["splits"]),
            ", ".join(one["classes"]),
        ]
        for one in duplicates[:ROWS]
    ]
    more = f"<p>... and {len(duplicates) - ROWS:,} more.</p>" if len(duplicates) > ROWS else ""
    return _table(["examples", "splits", "classes"], rows) + more


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = "".join(
        f'<tr><td class="path">{_text(first)}</td>' + "".join(f"<td>{_text(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _text(value: object) -> str:
    return html.escape(literal(value))
