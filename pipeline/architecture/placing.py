"""From a flat list of layers to their plan: each is placed behind those before it."""

from pipeline.architecture.geometry import ReceptiveField
from pipeline.architecture.kinds import KINDS
from pipeline.architecture.kinds.kind import Before, Entry
from pipeline.architecture.plans import Layer
from pipeline.errors import InputError

MAX_LAYERS = 10_000


def place(entries: list[Entry], input_shape: tuple[int, int, int]) -> tuple[Layer, ...]:
    """Every entry's layer, in order, for an input of shape (C, H, W).

    Raises:
        DoesNotFitError: a valid window larger than its input.
        InputError: a layer that needs a map behind a layer that gives a vector, or the other way round.
    """
    if len(entries) > MAX_LAYERS:
        raise InputError(f"architecture: {len(entries)} layers are more than {MAX_LAYERS}.")
    layers: list[Layer] = []
    seen = ReceptiveField()
    for entry in entries:
        layers.append(KINDS[entry.kind].place(entry, Before(input_shape, layers, seen)))
        seen = layers[-1].field_behind(seen)
    return tuple(layers)
