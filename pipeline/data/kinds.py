"""The table of kinds of input: what is asked of examples, whatever they are.

Every prepared set is one array [N, H, W, C]. What its numbers mean, how one is shown, what may be changed about it at
random: that is a kind, a module like images.py and an entry here. A format says by its kind what it reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data import images, situations, sounds, texts, vocabulary
from pipeline.data.raw import Photo, Refused

Shape = tuple[int, int, int]
Data = Any  # data.config.Data and prepared.Prepared, which look their kind up here
Prepared = Any


def _nothing_more(module: Any, prepared: Prepared, config: Data, seed: int) -> dict[str, float]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of input; what an entry leaves out is as for squares of bytes. A shape is (C, H, W), as in a plan."""

    name: str
    noun: str  # what one example is called; several, with an s
    own_keys: tuple[str, ...]  # of `data`, keys that other kinds do not know
    prepared_by: tuple[str, ...] = ()  # of these, the ones that decide what is written
    dtype: type[np.generic] = np.uint8
    example_shape: Callable[[int], tuple[int, int]] = images.example_shape  # (H, W) of one, by data.size
    declared_shape: Callable[[Data, int], Shape] = images.declared_shape  # of so many channels, before a set is read
    input_shape: Callable[[Prepared], Shape] = images.input_shape  # the same of a set that is open
    # mean and std [C] over some
    normalisation: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] = images.normalisation
    noise: Callable[[np.random.Generator, int, Shape], np.ndarray] = images.noise  # so many examples, to try with
    fit: Callable[[np.ndarray, Data], np.ndarray]  # a block that a format gives, as it is written
    # below a root; None where examples are not in files
    files: Callable[[str, list[str], Data, list[str] | None], Iterator[Photo | Refused]] | None
    sheet: Callable[[Prepared], str]  # HTML: some examples of each class
    one: Callable[[Prepared, int], str] = images.one  # HTML: an example
    shape_in_words: Callable[[Shape], str]
    size_in_words: Callable[[Sequence[int]], str] = images.size_in_words  # of what a Photo says of its file
    augmentations: tuple[str, ...] = ()  # the words of augmentation.transforms that leave its class as it is
    pictured: bool = False  # it is a picture to the eye: turned, sized and moved ones mean the same; maps lie on it
    spelled: bool = False  # albumentations' own transforms are for it
    worded: bool = False  # its numbers are those of the run's own vocabulary, and mean something else in another run
    opened: Callable[[Prepared, Data, np.ndarray], Prepared] | None = None  # as who trains on these indices sees it
    scores: Callable[[Any, Prepared, Data, int], dict[str, float]] = _nothing_more  # what else a network is judged by


KINDS: dict[str, Kind] = {
    "image": Kind(
        name="image",
        noun="image",
        own_keys=("resize", "max_pixels", "messy", "messy_seed"),
        fit=images.fitted,
        files=images.files,
        sheet=images.sheet,
        shape_in_words=images.shape_in_words,
        augmentations=("rotate", "scale", "translate", "flip", "colour", "cutout"),
        pictured=True,
        spelled=True,
    ),
    "text": Kind(
        name="text",
        noun="text",
        own_keys=("tokens", "vocabulary"),
        prepared_by=("tokens",),
        dtype=np.int32,
        example_shape=texts.example_shape,
        declared_shape=texts.declared_shape,
        input_shape=texts.input_shape,
        normalisation=texts.normalisation,
        noise=texts.noise,
        fit=texts.fitted,
        files=texts.files,
        sheet=texts.sheet,
        one=texts.one,
        shape_in_words=texts.shape_in_words,
        size_in_words=texts.size_in_words,
        augmentations=("word_dropout", "swap"),
        worded=True,
        opened=vocabulary.opened,
    ),
    "sound": Kind(
        name="sound",
        noun="sound",
        own_keys=("rate", "seconds"),
        prepared_by=("rate", "seconds"),
        fit=sounds.fitted,
        files=sounds.files,
        sheet=sounds.sheet,
        shape_in_words=sounds.shape_in_words,
        size_in_words=sounds.size_in_words,
        augmentations=("stretch", "time_shift", "frequency_shift", "gain", "noise", "time_mask", "frequency_mask"),
    ),
    "game": Kind(
        name="game",
        noun="situation",
        own_keys=("frames", "episodes"),
        prepared_by=("frames", "episodes"),
        declared_shape=situations.declared_shape,
        fit=situations.fitted,
        files=None,
        sheet=situations.sheet,
        one=situations.one,
        shape_in_words=situations.shape_in_words,
        scores=situations.scores,
    ),
}
