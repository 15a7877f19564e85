"""A set's data card: one HTML page that needs nothing else, to look at before a result is believed.

`write_card` puts it beside the set, and `describe` says the same as a document.
"""

import hashlib
import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import folders
from pipeline.data import grouping
from pipeline.data.config import Data
from pipeline.data.findings import Findings, examine, kept_sentence, kinds_of_reasons, sentences
from pipeline.data.kinds import Kind
from pipeline.data.leaks import Copies, Leaks, divided_column, parts_of
from pipeline.data.opening import open_prepared
from pipeline.data.prepared import Prepared, per_class
from pipeline.data.raw import VAL
from pipeline.data.soundness import is_whole
from pipeline.data.splitting import split, split_anew
from pipeline.errors import InputError
from pipeline.terminal import literal

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


@dataclass(frozen=True)
class Description:
    """What `prepare` says of a set, split as configured."""

    dataset: Path
    digest: str
    counts: dict[str, dict[str, int]]  # by split and class
    findings: Findings
    sizes: dict[str, Any]  # before resizing
    card: Path

    def document(self) -> dict[str, Any]:
        """The `prepare` document."""
        return {
            "dataset": str(self.dataset),
            "digest": self.digest,
            "counts": self.counts,
            **self.findings.document(),
            "sizes": self.sizes,
            "card": str(self.card),
        }


def describe(prepared: Prepared, config: Data, seed: int) -> Description:
    """Folder, digest, counts, what was put aside, what leaks between the splits of the seed. Writes the card."""
    splits = split(prepared, config, seed)
    return Description(
        dataset=prepared.dir,
        digest=prepared.digest,
        counts=class_counts(prepared, splits),
        findings=examine(prepared, config, splits),
        sizes=prepared.manifest["sizes"],
        card=write_card(prepared, config, seed),
    )


def class_counts(prepared: Prepared, splits: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """{split: {class: number of examples}}."""
    return {name: per_class(prepared.labels[indices], prepared.classes) for name, indices in splits.items()}


def write_card(prepared: Prepared, config: Data, seed: int) -> Path:
    """The path of the data card of a set so split, one HTML page that needs nothing else; made where it is missing.

    It lies beside the set. InputError where it cannot be written.
    """
    deciding = [
        config.val_fraction,
        config.test_fraction,
        config.limit_train,
        config.group,
        config.class_half,
        config.val_groups,
    ]
    deciding += [seed] if config.folds is not None else []
    deciding.append(seed if config.split_seed is None else config.split_seed)
    path = prepared.dir / f"card-{hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:8]}.html"
    if not path.exists():
        try:
            with folders.replacing(path) as file:
                file.write(page(prepared, config, seed).encode())
        except OSError as error:
            raise InputError(f"{path}: the data card cannot be written ({error.strerror}).") from None
    return path


def is_card(file: Path) -> bool:
    """Whether `file` is the card of a whole prepared set, and no link to something else."""
    named = re.fullmatch(r"card-[0-9a-f]{8}\.html", file.name)
    return bool(named) and not file.is_symlink() and is_whole(file.parent)


def card_of(folder: str, digest: str, config: Data, seed: int) -> Path | None:
    """The card of a run's data, by what run.json says of it; None where that set is gone, or no longer what it was."""
    try:
        prepared = open_prepared(folder, config, seed)
        return write_card(prepared, config, seed) if prepared.digest == digest else None
    except InputError:
        return None


def page(prepared: Prepared, config: Data, seed: int) -> str:
    """The card as HTML, of the splits that a run with this configuration and seed has."""
    splits = split(prepared, config, seed)
    used = int((prepared.labels >= 0).sum())
    found = examine(prepared, config, splits)
    counts = class_counts(prepared, splits)
    manifest, noun = prepared.manifest, prepared.kind.noun
    minds = sentences(found)
    messy = f", made messy at {manifest['messy']:g} (seed {manifest['messy_seed']})" if manifest["messy"] else ""
    resized = f" after {_text(manifest['resize'])}" if prepared.kind.pictured else ""
    where = "".join(f"<br>{_text(one['path'])}" for one in manifest["raw"][:4])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(manifest['name'])}: data card</title><style>{STYLE}</style></head><body>",
        f"<h1>{_text(manifest['name'])}</h1>",
        f'<p class="sub">{used:,} {noun}s in {len(prepared.classes)} classes, '
        f"{prepared.kind.shape_in_words(prepared.input_shape)}{resized}{messy}. "
        f"Read by data.source={_text(manifest['source'])}."
        f"<br>digest {prepared.digest}{where}</p>",
    ]
    if minds:
        parts.append('<ul class="mind">' + "".join(f"<li>{_text(one)}</li>" for one in minds) + "</ul>")
    else:
        no_group = f", no group of {_text(found.leaks.group.column)}" if found.leaks.group else ""
        parts.append(f'<p class="fine">Nothing was put aside; no {noun} lies in two splits{no_group}.</p>')
    parts.append(f'<p class="sub">{_text(_how(prepared, config, seed))}<br>{_text(kept_sentence(found.leaks))}</p>')
    parts += ["<h2>Contact sheet</h2>", prepared.kind.sheet(prepared)]
    parts += [f"<h2>{noun.capitalize()}s per class</h2>", _counts(counts)]
    parts += [
        f"<h2>Sizes{' before resizing' if prepared.kind.pictured else ''}</h2>",
        _sizes(manifest["sizes"], prepared.kind),
    ]
    if prepared.columns:
        parts += ["<h2>Groups</h2>", _groups(prepared, found.leaks, splits)]
    parts += ["<h2>Put aside</h2>", _quarantine(found.quarantined)]
    parts += [f"<h2>The same {noun} in more than one split</h2>", _duplicates(found.leaks.duplicates, prepared)]
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _how(prepared: Prepared, config: Data, seed: int) -> str:
    """What split the set."""
    own = prepared.own_split
    if config.folds is not None:
        fold = f"fold {seed % config.folds} of {config.folds}, drawn by {config.split_seed or 0}, is tested on"
        cut = f"{fold}, and data.val_fraction={config.val_fraction:g} cut from the rest here"
    elif own is None or split_anew(prepared, config):
        cut = f"split here, data.test_fraction={config.test_fraction:g} and data.val_fraction={config.val_fraction:g}"
    elif not (own == VAL).any():
        cut = f"the set's own test split, and data.val_fraction={config.val_fraction:g} cut from its training part here"
    else:
        return "Splits: the set's own."
    drawn = seed if config.split_seed is None else config.split_seed
    limit = "" if config.limit_train is None else f", data.limit_train={config.limit_train}"
    return f"Splits: {cut}, by seed {drawn}{limit}."


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


def _sizes(sizes: dict[str, Any], kind: Kind) -> str:
    in_words, how = kind.size_in_words, " (width x height)" if kind.pictured else ""
    if sizes["distinct"] == 1:
        return f"<p>All {in_words(sizes['smallest'])}{how}.</p>"
    common = "".join(f'<tr><td>{in_words(size)}</td><td class="n">{size[2]:,}</td></tr>' for size in sizes["common"])
    return (
        f"<p>{sizes['distinct']} sizes, from {in_words(sizes['smallest'])} to {in_words(sizes['largest'])}{how}. "
        f'The most common:</p><table><tr><th>size</th><th class="n">{kind.noun}s</th></tr>{common}</table>'
    )


def _groups(prepared: Prepared, leaks: Leaks, splits: dict[str, np.ndarray]) -> str:
    bad = {leak.column: leak for leak in leaks.groups}
    rows = []
    for column in prepared.columns:
        leak = bad.get(column) or divided_column(column, grouping.codes(prepared, column), parts_of(prepared, splits))
        divided = f"{leak.groups:,} groups, {leak.examples:,} examples" if leak.groups else "none"
        divided += " by the set's own split, which is not used" if leak.mended else ""
        rows.append([column, f"{len(np.unique(grouping.codes(prepared, column))):,}", divided])
    return "<p>Any of these can be data.group.</p>" + _table(["column", "values", "divided by the splits"], rows)


def _quarantine(quarantined: list[dict[str, str]]) -> str:
    if not quarantined:
        return "<p>Nothing: every file could be used.</p>"
    more = f"<p>... and {len(quarantined) - ROWS:,} more, in manifest.json.</p>" if len(quarantined) > ROWS else ""
    rows = [[one["path"], one["reason"]] for one in quarantined[:ROWS]]
    return (
        f"<p>{len(quarantined):,}: {_text(kinds_of_reasons(quarantined))}.</p>"
        + _table(["path", "reason"], rows)
        + more
    )


def _duplicates(duplicates: list[Copies], prepared: Prepared) -> str:
    if not duplicates:
        copies = 0 if prepared.same is None else int((prepared.same != np.arange(len(prepared.same))).sum())
        noun = prepared.kind.noun
        said = f"1 {noun} of the set is a copy" if copies == 1 else f"{copies:,} {noun}s of the set are copies"
        return f"<p>None. {said} of another.</p>"
    rows = [[", ".join(one.names), ", ".join(one.splits or ()), ", ".join(one.classes)] for one in duplicates[:ROWS]]
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
