"""A prepared form by its folder, as a run sees it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.data.config import Data
from pipeline.data.halves import take_half
from pipeline.data.prepared import Prepared
from pipeline.data.soundness import is_sound, is_whole
from pipeline.data.splitting import split
from pipeline.errors import InputError


def open_prepared(directory: Path | str, config: Data, seed: int) -> Prepared:
    """Open a prepared form by its folder, as a run sees it. InputError where it is not there whole, as it was made."""
    directory = Path(directory)
    if not (is_whole(directory) and is_sound(directory)):
        raise InputError(f"{directory}: is not a whole prepared set; `python -m pipeline.prepare` makes it.")
    return read_prepared(directory, config, seed)


def read_prepared(directory: Path, config: Data, seed: int) -> Prepared:
    """The same without a look at its content: of what was written just now."""
    manifest = json.loads((directory / "manifest.json").read_text())

    def array(name: str) -> np.ndarray | None:
        return np.load(directory / name, allow_pickle=False) if name in manifest["files"] else None

    labels, groups = array("labels.npy"), array("groups.npy")
    assert labels is not None
    whole = Prepared(
        dir=directory,
        images=np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False),
        labels=labels,
        classes=manifest["classes"],
        digest=manifest["digest"],
        own_split=array("split.npy"),
        manifest=manifest,
        columns={} if groups is None else dict(zip(manifest["columns"], groups, strict=True)),
        boxes=array("boxes.npy"),
        hashes=array("hashes.npy"),
    )
    if "words.json" in manifest["files"]:
        whole = replace(whole, words=json.loads((directory / "words.json").read_text()))
    seen = take_half(whole, config, seed)
    opened = whole.kind.opened
    return opened(seen, config, split(seen, config, seed)["train"]) if opened else seen
