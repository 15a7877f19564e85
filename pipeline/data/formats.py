"""The table of formats: what reads the raw files of a set. A newcomer is a line here and its module: see reading.py."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """How raw files lie, as data.source names it."""

    module: str  # by name, so that its own imports wait until it is used
    grouped: bool = False  # it may know more of an example than its label: what data.group may name
    listed: bool = False  # by data.manifest, a CSV file
    kind: str = "image"  # of kinds.KINDS: what it reads
    multiple: int = 1  # data.size is one of it


FORMATS = {
    "digits": Format("pipeline.data.digits"),
    "photo_patches": Format("pipeline.data.photo_patches"),
    "placed_digits": Format("pipeline.data.placed_digits"),
    "idx": Format("pipeline.data.idx"),
    "image_folder": Format("pipeline.data.image_folder", grouped=True),
    "manifest": Format("pipeline.data.manifest", grouped=True, listed=True),
    "audio_folder": Format("pipeline.data.image_folder", grouped=True, kind="sound"),
    "audio_manifest": Format("pipeline.data.manifest", grouped=True, listed=True, kind="sound"),
    "tones": Format("pipeline.data.tones", kind="sound"),
    "npz": Format("pipeline.data.npz", grouped=True),
    "text_folder": Format("pipeline.data.text_folder", grouped=True, kind="text"),
    "text_manifest": Format("pipeline.data.text_manifest", grouped=True, listed=True, kind="text"),
    "sentences": Format("pipeline.data.sentences", kind="text"),
    "cifar": Format("pipeline.data.cifar"),
    "game": Format("pipeline.data.game", grouped=True, kind="game", multiple=8),
    "atari": Format("pipeline.data.atari", grouped=True, kind="game"),
}
