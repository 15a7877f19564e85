"""The kinds of layers: the table that lists, blocks, plans, networks and guidelines loop over. No torch.

A new kind is a module here with a `KIND`, and its entry in KINDS.
"""

from pipeline.architecture.kinds import (
    activation,
    conv,
    dense,
    depthwise,
    dropout,
    embedding,
    flatten,
    gap,
    grid,
    locally_connected,
    norm,
    pool,
    widths,
)
from pipeline.architecture.kinds.kind import Kind

KINDS: dict[str, Kind] = {
    "conv": conv.KIND,
    "locally_connected": locally_connected.KIND,
    "norm": norm.KIND,
    "activation": activation.KIND,
    "pool": pool.KIND,
    "dropout": dropout.KIND,
    "flatten": flatten.KIND,
    "gap": gap.KIND,
    "grid": grid.KIND,
    "dense": dense.KIND,
    "depthwise": depthwise.KIND,
    "embedding": embedding.KIND,
    "widths": widths.KIND,
}
"""By the name that a `layers:` list has for it."""


def kind_of(layer_type: str) -> Kind | None:
    """The kind that a planned layer's type belongs to; None of a timm model's rows."""
    return next((kind for kind in KINDS.values() if layer_type in kind.types), None)


def letters() -> dict[str, str]:
    """{letter of a block: the kind it stands for}."""
    return {kind.letter: name for name, kind in KINDS.items() if kind.letter}
