"""Files to batches, decoded on all cores while the network is at work on those before, in bounded memory.

Each file goes the way that it would go in `prepare`: `data.photos` decodes and resizes, refuses and limits.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.config import Config
from pipeline.data.images import LUMINANCE
from pipeline.data.raw import Photo, Refused
from pipeline.data.texts import Known, example
from pipeline.serving.inputs import Input
from pipeline.serving.opened import Opened

T = TypeVar("T")

MOST = 512  # images of a batch
BYTES = 4 << 20  # of its pixels: a layer of a network for photos makes a hundred times as much of them
AHEAD = 2  # batches


@dataclass(frozen=True)
class Lot:
    """Inputs that follow each other, and those of them that are images."""

    inputs: list[Input]
    reasons: list[str]  # by input: why it is not among the images; "" where it is
    images: np.ndarray  # uint8 [n, size, size, C]
    greyed: int  # how many had colour, of which the set that was trained on has none


def lots(inputs: list[Input], opened: Opened) -> Iterator[Lot]:
    """All inputs in order, in lots of one batch each."""
    return _ahead(_gathered(inputs, opened))


def batch_size(places: int, channels: int) -> int:
    """How many images of so many pixels are one batch."""
    return max(1, min(MOST, BYTES // (places * channels)))


def _gathered(inputs: list[Input], opened: Opened) -> Iterator[Lot]:
    kind, settings = opened.settings.data.kind, opened.settings
    made = kind.noise(np.random.default_rng(0), 1, opened.input_shape)
    *shape, channels = made.shape[1:]
    most = batch_size(int(np.prod(shape)), channels)
    stream = zip(inputs, _decoded(inputs, settings, opened.words), strict=True)
    while some := list(itertools.islice(stream, most)):
        images = np.empty((len(some), *shape, channels), made.dtype)
        n = greyed = 0
        for _, one in some:
            if isinstance(one, Photo):
                greyed += one.image.shape[2] > channels
                images[n] = with_channels(one.image, channels)
                n += 1
        reasons = [_worded(one.reason) if isinstance(one, Refused) else "" for _, one in some]
        yield Lot([each for each, _ in some], reasons, images[:n], greyed)


def _decoded(inputs: list[Input], settings: Config, words: list[str] | None) -> Iterator[Photo | Refused]:
    """A Photo or Refused for each input."""
    images = settings.data
    assert images.kind.files is not None
    known = Known(words or [])
    for (root, refused, has_text), group in itertools.groupby(inputs, _way):
        some = list(group)
        if has_text and not refused:
            yield from (example(str(one.text), images, known) for one in some)
        elif refused:
            yield from (Refused(one.reason) for one in some)
        else:
            yield from images.kind.files(root, [one.path for one in some], images, words)


def _way(one: Input) -> tuple[str, bool, bool]:
    return one.root, bool(one.reason), one.text is not None


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [H, W, channels] of [H, W, 1 or 3]: grey is repeated, as in preparing; colour becomes its luminance."""
    if image.shape[2] <= channels:
        return image  # one grey value is as good as three: it is repeated where it is put
    return np.rint(image @ np.array(LUMINANCE)).astype(np.uint8)[:, :, None]


def _worded(reason: str) -> str:
    return reason.replace("data.root", "the folder that was named")


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, made in a thread of their own, some of them before they are asked for."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future] = deque(pool.submit(next, items, end) for _ in range(AHEAD))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, items, end))
                yield item
        finally:  # Ctrl-C, a full disk
            for future in waiting:
                future.cancel()
            pool.submit(items.close).result()  # type: ignore[attr-defined]
