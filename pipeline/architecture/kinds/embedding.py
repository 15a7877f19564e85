"""An embedding: for each token of a sequence the vector that is learned for it. That of padding (0) stays zero."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.architecture import checks
from pipeline.architecture.kinds.kind import Before, Entry, Kind, Option, pointwise
from pipeline.architecture.plans import Layer, shape_text
from pipeline.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def _place(entry: Entry, before: Before) -> Layer:
    if not before.is_sequence:
        raise InputError(
            f"{entry.keys['']}: layer {entry.name} takes a sequence of tokens, and the input is a "
            f"{shape_text(before.image_shape)} image. Leave it out."
        )
    if before.layers:
        raise InputError(f"{entry.keys['']}: an embedding takes tokens, so it has to be the first layer. Put it there.")
    (tokens, _, places), size = before.image_shape, entry.options["size"]
    return replace(
        pointwise(entry, before, "embedding"),
        output_shape=(size, 1, places),
        params=tokens * size,
        formula=f"{tokens}*{size}",
        options={"size": size},
        values=size * places,
    )


def _module(layer: Layer, input_shape: tuple[int, ...]) -> "nn.Module":
    from pipeline.architecture.layers import Embedding

    return Embedding(input_shape[0], layer.options["size"])


KIND = Kind(
    types=("embedding",),
    options={"size": Option(64, checks.count)},
    place=_place,
    module=_module,
    shorthand="size",
)
