"""What `pipeline.prepare` says about a prepared set, and what is wrong with it, in sentences."""

import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import folders, terminal
from pipeline.data import grouping
from pipeline.data.config import Data
from pipeline.data.prepared import Prepared, is_whole, open_prepared, per_class
from pipeline.data.splitting import split, split_anew
from pipeline.errors import InputError

IMBALANCE = 3.0  # from which ratio of the largest class to the smallest it is worth a word


def describe(prepared: Prepared, config: Data, seed: int) -> dict[str, Any]:
    """The `prepare` document: folder, digest, counts, what was put aside, what leaks between the splits of the seed."""
    splits = split(prepared, config, seed)
    return {
        "dataset": str(prepared.dir),
        "digest": prepared.digest,
        "counts": class_counts(prepared, splits),
        **findings(prepared, config, splits),
        "sizes": prepared.manifest["sizes"],
        "card": card(prepared, config, seed),
    }


def findings(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> dict[str, Any]:
    """What there is to mind in a set so split. All that is said of leaks, and wherever it is said, comes from here."""
    return {
        "imbalance": imbalance(per_class(prepared.labels[splits["train"]], prepared.classes)),
        "quarantined": prepared.manifest.get("quarantined", []),
        **leaks(prepared, config, splits),
    }


def leaks(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the splits share, and what was done against it.

    {"group": {"column", "groups", "named"}: the column whose groups are kept whole in what is cut here, or None,
     "groups": [{"column", "groups", "of_groups", "examples", "of_examples", "by", "mended"}, ...]: what is divided, by
         the set's own split or by the seed's, or was divided by the former and is mended,
     "duplicates": images in more than one split, see `duplicates_across`,
     "conflicting": the same for images that are of more than one class}
    """
    parts = np.full(len(prepared.labels), -1, np.int64)
    for code, indices in enumerate(splits.values()):
        parts[indices] = code
    anew = split_anew(prepared, config)
    column = grouping.column_of(prepared, config)
    found = []
    named = [] if config.group in (None, grouping.NONE) else [str(config.group)]
    for name in dict.fromkeys([*named, *grouping.usual(prepared)]):
        groups = grouping.codes(prepared, name)
        own = prepared.own_split
        if anew and name == config.group and own is not None:
            found.append(_divided(name, groups, np.where(prepared.labels < 0, -1, own)) | {"by": "set", "mended": True})
        elif (one := _divided(name, groups, parts))["groups"]:
            by_set = own is not None and not anew and grouping.divided(groups, np.where(parts < 0, -1, own)).any()
            found.append(one | {"by": "set" if by_set else "seed", "mended": False})
    kept = None
    if column is not None:
        n = len(np.unique(grouping.codes(prepared, column)[prepared.labels >= 0]))
        kept = {"column": column, "groups": n, "named": config.group is not None}
    return {
        "group": kept,
        "groups": found,
        "duplicates": duplicates_across(prepared, splits),
        "conflicting": conflicting(prepared),
    }


def _divided(column: str, groups: np.ndarray, parts: np.ndarray) -> dict[str, Any]:
    bad = grouping.divided(groups, parts)
    return {
        "column": column,
        "groups": len(np.unique(groups[bad])),
        "of_groups": len(np.unique(groups[parts >= 0])),
        "examples": int(bad.sum()),
        "of_examples": int((parts >= 0).sum()),
    }


def card(prepared: Prepared, config: Data, seed: int) -> str:
    """The path of the data card of a set so split, one HTML page that needs nothing else; made where it is missing.

    It lies beside the set. InputError where it cannot be written.
    """
    from pipeline.data.data_card import page

    deciding = [config.val_fraction, config.test_fraction, config.limit_train, config.group, config.class_half]
    deciding.append(seed if config.split_seed is None else config.split_seed)
    path = prepared.dir / f"card-{hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:8]}.html"
    if not path.exists():
        try:
            with folders.replacing(path) as file:
                file.write(page(prepared, config, seed).encode())
        except OSError as error:
            raise InputError(f"{path}: the data card cannot be written ({error.strerror}).") from None
    return str(path)


def is_card(file: Path) -> bool:
    """Whether `file` is the card of a whole prepared set, and no link to something else."""
    named = re.fullmatch(r"card-[0-9a-f]{8}\.html", file.name)
    return bool(named) and not file.is_symlink() and is_whole(file.parent)


def card_of(folder: str, digest: str, config: Data, seed: int) -> Path | None:
    """The card of a run's data, by what run.json says of it; None where that set is gone, or no longer what it was."""
    try:
        prepared = open_prepared(folder, config, seed)
        return Path(card(prepared, config, seed)) if prepared.digest == digest else None
    except InputError:
        return None


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
    lies_in = np.full(len(prepared.labels), -1)
    for code, indices in enumerate(splits.values()):
        lies_in[indices] = code
    sets = [[i for i in copies if lies_in[i] >= 0] for copies in _copies(prepared)]
    found = _named(prepared, [copies for copies in sets if len(set(lies_in[copies].tolist())) > 1])
    names = list(splits)
    for one in found:
        one["splits"] = [names[lies_in[i]] for i in one["indices"]]
    return found


def conflicting(prepared: Prepared) -> list[dict[str, list[Any]]]:
    """Images that are the same to the last bit and of more than one class: at most one label can be right."""
    return _named(prepared, [copies for copies in _copies(prepared) if len(set(prepared.labels[copies].tolist())) > 1])


def _copies(prepared: Prepared) -> list[list[int]]:
    """The examples of each image that more than one has, of the classes that are used."""
    if prepared.same is None:
        return []
    used = np.flatnonzero(prepared.labels >= 0)
    same = prepared.same[used]
    sets: dict[int, list[int]] = {}
    for i in used[np.bincount(same, minlength=len(prepared.same))[same] > 1].tolist():
        sets.setdefault(int(prepared.same[i]), []).append(i)
    return list(sets.values())


def _named(prepared: Prepared, sets: list[list[int]]) -> list[dict[str, list[Any]]]:
    paths = prepared.paths if sets else None
    return [
        {"indices": copies, "classes": [prepared.classes[prepared.labels[i]] for i in copies]}
        | ({"paths": [paths[i] for i in copies]} if paths else {})
        for copies in sets
    ]


def sentences(found: dict[str, Any]) -> list[str]:
    """What a user should know of a set's `findings` before trusting a result."""
    said = []
    if found["quarantined"]:
        aside = found["quarantined"]
        said.append(
            f"{_count(len(aside), 'file')} put aside and not in the set ({kinds(aside)}), "
            f"such as {aside[0]['path']}: {aside[0]['reason']}"
        )
    ratio = found["imbalance"]["ratio"]
    if ratio is None or ratio >= IMBALANCE:
        largest, smallest = found["imbalance"]["largest"], found["imbalance"]["smallest"]
        said.append(f"{largest} has {ratio} times the examples of {smallest}: accuracy alone will flatter")
    return said + leak_sentences(found)


def leak_sentences(found: dict[str, Any]) -> list[str]:
    """What the splits share, as `leaks` found it."""
    said = []
    if found["duplicates"]:
        said.append(f"{_count(len(found['duplicates']), 'image')} in more than one of the set's own splits: a leak")
    if found["conflicting"]:
        one = found["conflicting"][0]
        names = one.get("paths", one["indices"])
        which = [f"{name} ({kind})" for name, kind in zip(names, one["classes"], strict=True)]
        also = ", " + ", ".join(which[2:5]) if which[2:] else ""
        said.append(
            f"{_count(len(found['conflicting']), 'image')} under more than one class, such as "
            f"{which[0]} and {which[1]}{also}: at most one label can be right"
        )
    return said + [_group_sentence(leak, found["group"]) for leak in found["groups"]]


def kept_sentence(found: dict[str, Any]) -> str:
    """Which groups are kept whole, where nobody asked for it by name; else empty."""
    kept = found["group"]
    if kept is None or kept["named"]:
        return ""
    return (
        f"whole groups of {kept['column']} ({kept['groups']:,} groups) are kept together in what is split here, "
        f"as the column's name says; data.group={grouping.NONE} lets them be divided"
    )


def kinds(quarantined: list[dict[str, str]]) -> str:
    """How many files were put aside for which kind of reason: reasons that differ in a number only are one."""
    counts = Counter("".join(c for c in re.split("[(,]", one["reason"])[0] if not c.isdigit()) for one in quarantined)
    return ", ".join(f"{count:,} {kind.strip()}" for kind, count in counts.most_common(8))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _group_sentence(leak: dict[str, Any], kept: dict[str, Any] | None) -> str:
    """What it means that a split divides groups."""
    who = "the set's own split" if leak["by"] == "set" else "this split"
    divided = (
        f"{who} divides {leak['groups']} of {leak['of_groups']} groups of {leak['column']} "
        f"({leak['examples']} of {leak['of_examples']} examples)"
    )
    if leak["mended"]:
        return f"{divided}; it is not used: data.group={leak['column']} splits the set anew, whole groups at a time"
    helps = "what is learnt of a group helps on its test examples"
    if leak["by"] == "seed" and kept:
        return f"{divided}, since it keeps those of {kept['column']}: {helps}; data.group={leak['column']} keeps these"
    if leak["by"] == "seed":
        return f"{divided}, as data.group={grouping.NONE} has it: {helps}"
    return f"{divided}: {helps}; data.group={leak['column']} mends it"


def warn(prepared: Prepared, config: Data, splits: dict[str, np.ndarray]) -> None:
    """Say once in a process, on standard error, what the splits share, and which groups are kept whole unasked."""
    if int(os.environ.get("RANK", 0)) == 0:
        found = leaks(prepared, config, splits)
        for sentence in (kept_sentence(found), *leak_sentences(found)):
            if sentence:
                _say(str(prepared.manifest.get("name")), re.sub(r"\d+", "#", sentence), sentence)


_said: set[tuple[str, str]] = set()


def _say(name: str, kind: str, sentence: str) -> None:
    """Once for sentences that differ by numbers only: those of another seed."""
    if (name, kind) not in _said:
        _said.add((name, kind))
        terminal.say(f"mind: {name}: {sentence}")
