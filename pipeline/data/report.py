"""What `pipeline.prepare` says about a prepared set, and what is wrong with it, in sentences."""

import functools
import os
import re
from collections import Counter
from typing import Any

import numpy as np

from pipeline import terminal
from pipeline.data import grouping
from pipeline.data.prepared import Prepared, first_same, per_class

IMBALANCE = 3.0  # from which ratio of the largest class to the smallest it is worth a word


def describe(prepared: Prepared, splits: dict[str, np.ndarray], group: str | None = None) -> dict[str, Any]:
    """The `prepare` document: folder, digest, counts, what was put aside, what leaks between splits.

    `splits` are those of the seed. `groups` tells where the set's own split divides groups, `mended` whether
    `group` made `splits` differ from it.
    """
    return {
        "dataset": str(prepared.dir),
        "digest": prepared.digest,
        "counts": class_counts(prepared, splits),
        **findings(prepared, splits, group),
        "sizes": prepared.manifest["sizes"],
        "card": card(prepared),
    }


def findings(prepared: Prepared, splits: dict[str, np.ndarray], group: str | None = None) -> dict[str, Any]:
    """What there is to mind in a set so split."""
    return {
        "imbalance": imbalance(per_class(prepared.labels[next(iter(splits.values()))], prepared.classes)),
        "quarantined": prepared.manifest["quarantined"],
        "duplicates": duplicates_across(prepared, splits),
        "groups": [leak | {"mended": group == leak["column"]} for leak in grouping.leaks(prepared, group)],
    }


def card(prepared: Prepared) -> str:
    """The path of the set's data card, one HTML page that needs nothing else; made anew where it is missing."""
    from pipeline.data.data_card import page

    path = prepared.dir / "card.html"
    if not path.exists():
        path.write_text(page(prepared), encoding="utf-8")
    return str(path)


def class_counts(prepared: Prepared, splits: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """{split: {class: number of examples}}."""
    return {name: per_class(prepared.labels[indices], prepared.classes) for name, indices in splits.items()}


def imbalance(counts: dict[str, int]) -> dict[str, Any]:
    """The largest and the smallest class, and how many times the one is the other (null: it has none)."""
    largest, smallest = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    ratio = round(counts[largest] / counts[smallest], 2) if counts[smallest] else None
    return {"largest": largest, "smallest": smallest, "ratio": ratio}


def duplicates_across(prepared: Prepared, splits: dict[str, np.ndarray]) -> list[dict[str, list[Any]]]:
    """Images that are the same to the last bit and lie in more than one split, which makes a test too easy.

    [{"indices": [i, ...], "splits": [the split of each], "classes": [the class of each]}, ...], and "paths"
    where examples are files.
    """
    same = first_same([(0, np.asarray(prepared.images))]) if prepared.same is None else prepared.same
    lies_in = {i: name for name, indices in splits.items() for i in indices.tolist()}
    copies = np.flatnonzero(np.bincount(same, minlength=len(same))[same] > 1)
    groups: dict[int, list[int]] = {}
    for i in copies.tolist():
        if i in lies_in:
            groups.setdefault(int(same[i]), []).append(i)
    leaking = [group for group in groups.values() if len({lies_in[i] for i in group}) > 1]
    paths = prepared.paths if leaking and prepared.manifest else None
    found: list[dict[str, list[Any]]] = [
        {
            "indices": group,
            "splits": [lies_in[i] for i in group],
            "classes": [prepared.classes[prepared.labels[i]] for i in group],
        }
        for group in leaking
    ]
    if paths:
        for one in found:
            one["paths"] = [paths[i] for i in one["indices"]]
    return found


def sentences(found: dict[str, Any]) -> list[str]:
    """What a user should know of a set's `findings` before trusting a result."""
    said = []
    if found["quarantined"]:
        aside = found["quarantined"]
        said.append(
            f"{_count(len(aside), 'file')} put aside and not in the set ({kinds(aside)}), "
            f"such as {aside[0]['path']}: {aside[0]['reason']}"
        )
    if found["duplicates"]:
        conflicting = sum(len(set(one["classes"])) > 1 for one in found["duplicates"])
        also = f", {conflicting} of them under different classes" if conflicting else ""
        said.append(f"{_count(len(found['duplicates']), 'image')} in more than one split{also}: a leak to the test")
    ratio = found["imbalance"]["ratio"]
    if ratio is None or ratio >= IMBALANCE:
        largest, smallest = found["imbalance"]["largest"], found["imbalance"]["smallest"]
        said.append(f"{largest} has {ratio} times the examples of {smallest}: accuracy alone will flatter")
    said += [leak_sentence(leak) for leak in found["groups"]]
    return said


def kinds(quarantined: list[dict[str, str]]) -> str:
    """How many files were put aside for which kind of reason: reasons that differ in a number only are one."""
    counts = Counter("".join(c for c in re.split("[(,]", one["reason"])[0] if not c.isdigit()) for one in quarantined)
    return ", ".join(f"{count:,} {kind.strip()}" for kind, count in counts.most_common(8))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def leak_sentence(leak: dict[str, Any]) -> str:
    """What it means that a set's own split divides groups."""
    divided = (
        f"the set's own split divides {leak['groups']} of {leak['of_groups']} groups of {leak['column']} "
        f"({leak['examples']} of {leak['of_examples']} examples)"
    )
    if leak.get("mended"):
        return f"{divided}; it is not used: data.group={leak['column']} splits the set anew, whole groups at a time"
    return f"{divided}: what is learnt of a group helps on its test examples; data.group={leak['column']} mends it"


def warn(prepared: Prepared, group: str | None) -> None:
    """Say once in a process, on standard error, where the set's own split leaks."""
    if int(os.environ.get("RANK", 0)) == 0:
        for leak in grouping.leaks(prepared, group):
            _say(f"mind: {prepared.manifest.get('name')}: {leak_sentence(leak | {'mended': group is not None})}")


@functools.cache
def _say(text: str) -> None:
    terminal.say(text)
