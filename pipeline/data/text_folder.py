"""Texts in UTF-8: a file each in a folder for each class, or a line each in a file for each class.

    ROOT/good/*.txt            documents; or ROOT/train/good/*.txt: as image_folder.py has it
    ROOT/good.txt              one text a line; or ROOT/train/good.txt, ROOT/test/good.txt

A file called README, LICENSE and the like, or .something, is put aside. Classes in files are called by the files' names
without their endings, or, where only the endings tell them apart (rt-polarity.pos, rt-polarity.neg), by these. Where
there is a folder of a class, files beside it are put aside.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data import image_folder
from pipeline.data.config import Data
from pipeline.data.files import UnusableError
from pipeline.data.raw import PART_NAMES, TRAIN, Photo, Raw, Refused, own_parts, printable
from pipeline.data.roots import required_root
from pipeline.data.texts import Numbers, documents, example, lines
from pipeline.errors import InputError

find = image_folder.find

# A file so called is about the set: as a class it would also hide that two others differ in their endings alone.
ABOUT = re.compile(r"^\.|(?<![a-z])(readme|licen[sc]e|notice|changelog)(?![a-z])", re.I)


def read(config: Data, files: list[Path]) -> Raw:
    """The texts one by one. InputError where neither folders nor files show classes."""
    root = required_root(config)
    places = {path: path.relative_to(root).parts for path in files}
    by_line = {
        path: (PART_NAMES[parts[0].lower()] if len(parts) == 2 else TRAIN)
        for path, parts in places.items()
        if len(parts) == 1 or (len(parts) == 2 and parts[0].lower() in PART_NAMES)
    }
    if files and len(by_line) == len(files):
        return _of_lines(config, root, by_line)
    raw = image_folder.read(config, files)
    numbers = Numbers()
    assert raw.paths is not None
    raw.blocks, raw.words, raw.channels = documents(str(root), raw.paths, config, numbers), numbers.words, 1
    return raw


def _of_lines(config: Data, root: Path, part_of: dict[Path, int]) -> Raw:
    about = [path for path in part_of if ABOUT.search(path.name)]
    part_of = {path: part for path, part in part_of.items() if path not in about}
    if not part_of:
        raise InputError(f"data.root={config.root}: has no file of texts, but {printable(about[0].name)}.")
    stems = {path.stem for path in part_of}
    named = {path: path.stem if len(stems) > 1 else path.suffix.lstrip(".") for path in part_of}
    classes = sorted(set(named.values()))
    if len(classes) < 2:
        raise InputError(
            f"data.root={config.root}: has one file, {printable(next(iter(part_of)).name)}. Texts belong in a file or "
            "a folder for each class, ROOT/good.txt and ROOT/bad.txt, or ROOT/good/1.txt."
        )
    labels, parts, paths = [], [], []
    quarantined = [
        {"path": printable(str(path.relative_to(root))), "reason": "its name is that of no class"} for path in about
    ]
    for path, part in part_of.items():
        shown = printable(str(path.relative_to(root)))
        try:
            for number, text in lines(path, root):
                if isinstance(text, Refused):
                    quarantined.append({"path": f"{shown}:{number}", "reason": text.reason})
                    continue
                labels.append(classes.index(named[path]))
                parts.append(part)
                paths.append(f"{shown}:{number}")
        except UnusableError as error:
            quarantined.append({"path": shown, "reason": str(error)})
    used = sorted(set(labels))
    if len(used) < 2:
        first = "; ".join(f"{one['path']}: {one['reason']}" for one in quarantined[:3])
        few = f"only {printable(classes[used[0]])} has lines that can be used" if used else "not one line can be used"
        raise InputError(f"data.root={config.root}: {few} ({first}).")
    numbers = Numbers()
    return Raw(
        blocks=_blocks(config, root, list(part_of), numbers),
        channels=1,
        labels=np.searchsorted(used, labels).astype(np.int64),
        classes=[printable(classes[k]) for k in used],
        own_split=own_parts(np.array(parts), f"data.root={config.root}"),
        paths=paths,
        quarantined=quarantined,
        words=numbers.words,
    )


def _blocks(config: Data, root: Path, files: list[Path], numbers: Numbers) -> Iterator[Photo | Refused]:
    """The usable lines again: they are not kept in memory between."""
    for path in files:
        try:
            for _, text in lines(path, root):
                if not isinstance(text, Refused):
                    yield example(text, config, numbers)
        except UnusableError:
            continue
