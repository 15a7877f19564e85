"""Where a trained network is cut: its head, how many stages are kept, the plan of the first ones with a new head."""

from collections.abc import Iterable
from dataclasses import replace
from math import prod

from pipeline.architecture import Layer, Plan, geometry
from pipeline.errors import InputError
from pipeline.transfer.strategies import HEADS, names_of


def head_of(planned: Plan) -> tuple[str, ...]:
    """The class layer of one of our own stacks, with the dropout before it."""
    names: list[str] = []
    for layer in reversed(planned.layers):
        if names and layer.type != "dropout":
            break
        names.append(layer.name)
    return tuple(reversed(names))


def kept(planned: Plan, depth: int | None) -> int:
    """How many stages early_layers keeps of `planned`. Raises InputError where it has not so many."""
    trunk = planned.layers[-1].stage
    if depth is None:
        return (trunk + 1) // 2
    if not 1 <= depth <= trunk:
        raise InputError(
            f"transfer.depth={depth}: the source has {trunk} stages before its head; keep 1 to {trunk} of them."
        )
    return depth


def cut(planned: Plan, depth: int, classes: int, head: str, prefix: str = "", channels_last: bool = False) -> Plan:
    """The first `depth` stages, their maps as `head` has them (strategies.HEADS), and a new class layer.

    Early filters say what is there, and of that many classes have the same: where it is tells them apart. On MNIST, of
    the first block alone, a single mean of each map gets 0.13 to 0.32, a grid of 4x4 means 0.73 to 0.93, all positions
    0.85 to 0.96 (docs/lab-notes.md). `prefix` stands before the names of what is kept.
    """
    layers = [replace(x, name=_prefixed(x, prefix)) for x in planned.layers if x.stage < depth]
    last = next(x for x in reversed(layers) if x.output_shape)
    shape = last.output_shape
    seen = _extent(planned, layers) if last.receptive_field is not None else None
    if len(shape) > 1:
        # A map is [C, H, W], or [H, W, C] in some transformers; tokens, which lie on no map, are [N, C].
        channels, *positions = (shape[-1], *shape[:-1]) if channels_last or len(shape) == 2 else shape
        side = HEADS[head]
        squares = [min(side or n, n) for n in positions] if len(positions) == 2 or side is None else [1]
        kind = {1: "gap", None: "flatten"}.get(side, "grid" if len(positions) == 2 else "gap")
        units, options = channels * prod(squares), {"squares": tuple(squares)} if kind == "grid" else {}
        layers.append(Layer(f"head_{head}", kind, (units,), 0, 0, seen, None, "", depth, options, units))
    else:
        units = shape[0]
    layers.append(
        Layer(
            name="head_classes",
            type="dense",
            output_shape=(classes,),
            params=geometry.dense_params(classes, units),
            macs=classes * units,
            receptive_field=seen,
            jump=None,
            formula=f"{classes}*({units}+1)",
            stage=depth,
            options={"units": classes},
            values=classes,
        )
    )
    return Plan(planned.input_shape, tuple(layers))


def _prefixed(layer: Layer, prefix: str) -> str:
    return " ".join(prefix + name for name in names_of(layer))


def _extent(planned: Plan, layers: Iterable[Layer]) -> int:
    """Pixels that all units of the last map see together."""
    seen, map_hw = geometry.ReceptiveField(), planned.input_shape[1:]
    last = 0
    for layer in layers:
        if len(layer.output_shape) != 3:
            return layer.receptive_field or last
        seen = layer.field_behind(seen)
        map_hw, last = (layer.output_shape[1], layer.output_shape[2]), layer.receptive_field or 0
    return seen.extent(map_hw, planned.input_shape[1:])
