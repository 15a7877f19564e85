"""The table of formats: what reads the raw files of a set. A newcomer is a line here and its module: see reading.py."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """How raw files lie, as data.source names it."""

    module: str  # by name, so that its own imports wait until it is used
    grouped: bool = False  # it may know more of an example than its label: what data.group may name


FORMATS = {
    "digits": Format("pipeline.data.digits"),
    "photo_patches": Format("pipeline.data.photo_patches"),
    "placed_digits": Format("pipeline.data.placed_digits"),
    "idx": Format("pipeline.data.idx"),
    "image_folder": Format("pipeline.data.image_folder", grouped=True),
    "manifest": Format("pipeline.data.manifest", grouped=True),
    "npz": Format("pipeline.data.npz", grouped=True),
    "cifar": Format("pipeline.data.cifar"),
}
