"""Files in a folder for each class: photos of any format of photos.py, recordings of any of recordings.py.

    ROOT/ants/*.jpg                     a set without a split of its own
    ROOT/train/ants/*.jpg               with one: train/ and val/ or test/ or both, named as in raw.PART_NAMES

A class folder may have folders of its own; data.group=folder keeps what lies in one of them together. What a
file is, is told by its content and not by its name. Links to folders are not followed.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.data.config import Data
from pipeline.data.raw import PART_NAMES, TRAIN, Raw, own_parts, printable
from pipeline.data.roots import required_root
from pipeline.errors import InputError

# As in train_images, training_set, Test-2, valid: words, however they are joined.
NAMED_LIKE_SPLIT = re.compile(r"(?<![a-z])(train|training|val|valid|validation|dev|test|testing)(?![a-z])", re.I)

LAYOUT = "Files belong in a folder for each class, ROOT/CLASS/FILE, or below that of a split, ROOT/train/CLASS/FILE"


def find(config: Data) -> list[Path]:
    """Everything below the folder but folders, in order of its names. InputError where there is no such folder."""
    root = required_root(config)
    found: list[str] = []
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    (folders if entry.is_dir(follow_symlinks=False) else found).append(entry.path)
        except OSError:
            found.append(folder)  # where reading it will fail again, and be told
    return [Path(path) for path in sorted(found)]


def read(config: Data, files: list[Path]) -> Raw:
    """The files one by one. InputError where the folders show no classes."""
    root = required_root(config)
    relative = [os.path.relpath(path, root) for path in files]
    tops = {_top(path) for path in relative if os.sep in path}
    parts = {PART_NAMES[top] for top in tops if top in PART_NAMES}
    # A class may be called "test"; with a train folder beside it, or alone in a train folder, it is a split.
    has_parts = TRAIN in parts and (len(parts) > 1 or len(tops) == 1)

    if not has_parts and (strange := _looks_like_splits(relative)):
        raise InputError(
            f"data.root={config.root}: has folders of classes in {printable(strange[0])}/, and beside it "
            f"{printable(strange[1])}/, which no split is called. Call each one of {', '.join(PART_NAMES)}, or move it "
            "away."
        )

    examples: list[tuple[str, int, str, str]] = []  # path, part, class, folder within the class
    quarantined = []
    for path in relative:
        *folders, _ = path.split(os.sep)
        part = TRAIN
        if has_parts and folders:
            if folders[0].lower() not in PART_NAMES:
                quarantined.append({"path": printable(path), "reason": "lies in no split's folder, but beside them"})
                continue
            part = PART_NAMES[folders.pop(0).lower()]
        if not folders:
            if os.path.islink(root / path) and os.path.isdir(root / path):  # a class, or a split, nobody would miss
                raise InputError(
                    f"data.root={config.root}: {printable(path)} is a link to a folder, which may lead anywhere and is "
                    "not followed. Put the folder itself there, or take the link away."
                )
            quarantined.append({"path": printable(path), "reason": "lies in no class's folder"})
            continue
        examples.append((path, part, folders[0], os.sep.join(folders)))
    classes = sorted({name for _, _, name, _ in examples})
    if len(classes) < 2:
        has = f"only one class, {printable(classes[0])}" if classes else f"no class folders, but {len(files)} files"
        raise InputError(f"data.root={config.root}: has {has}. {LAYOUT}.")
    number = {name: i for i, name in enumerate(classes)}
    paths = [path for path, *_ in examples]
    nested = any(folder != name for _, _, name, folder in examples)
    assert config.kind.files is not None
    return Raw(
        blocks=config.kind.files(str(root), paths, config, None),
        channels=None,
        labels=np.array([number[name] for _, _, name, _ in examples], np.int64),
        classes=[printable(name) for name in classes],
        own_split=own_parts(np.array([part for _, part, _, _ in examples]), f"data.root={config.root}"),
        columns={"folder": [printable(folder) for *_, folder in examples]} if nested else {},
        paths=paths,
        quarantined=quarantined,
    )


def _top(path: str) -> str:
    return path.split(os.sep)[0].lower()


def _looks_like_splits(paths: Iterable[str]) -> tuple[str, str] | None:
    """A folder that is called like a split, and one beside it: the classes lie below both, and not in them."""
    below: dict[str, Counter[str]] = {}  # top: by folder in it, how many files; "": in no folder
    for top, *rest in (path.split(os.sep) for path in paths if os.sep in path):
        below.setdefault(top, Counter())[rest[0] if len(rest) > 1 else ""] += 1
    nested = {top: found for top, found in below.items() if found.total() > 2 * found[""]}  # but for stray files
    for top, found in nested.items():
        if not NAMED_LIKE_SPLIT.search(top):
            continue
        for other, theirs in nested.items():
            shared = (found.keys() & theirs.keys()) - {""}
            if other != top and (len(shared) > 1 or (shared and _top(top) in PART_NAMES)):
                return top, other
    return None
