"""From what a user spells (block strings, lists of layers) to one flat list of layers, without shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.architecture.config import (
    ACTIVATIONS,
    LETTERS,
    MAX_KERNEL,
    PADDINGS,
    POOLS,
    Cnn,
    Mlp,
    rate,
    whole,
)
from pipeline.errors import InputError, nearest, one_of

WINDOW = {"filters": ..., "kernel_size": 3, "stride": 1, "padding": "same"}
OPTIONS: dict[str, dict[str, Any]] = {
    "conv": WINDOW,
    "locally_connected": WINDOW,
    "pool": {"type": "max", "size": 2, "stride": None, "padding": "valid"},
    "activation": {"type": "relu"},
    "norm": {},
    "dropout": {"rate": ...},
    "flatten": {},
    "gap": {},
    "dense": {"units": None},
}
"""The layers of a `layers:` list, with their options and defaults; `...` must be given.

A pool's stride defaults to its size; a dense layer's units default to the number of classes.
"""

SHORTHAND = {"activation": "type", "dropout": "rate", "dense": "units"}
"""The option meant where a layer is given as {activation: relu} instead of {activation: {type: relu}}."""


@dataclass(frozen=True)
class Entry:
    """One layer as it was asked for.

    `keys` maps an option to the config key that a user would change, for messages; in a list of layers, "" maps to
    the layer's own key.
    """

    name: str
    kind: str
    stage: int
    options: dict[str, Any]
    keys: dict[str, str]


def cnn_entries(cnn: Cnn, classes: int | None) -> list[Entry]:
    """The layers of a section of blocks; the class layer is left out where `classes` is None."""
    entries = []
    for stage, filters in enumerate(cnn.filters):
        counts: dict[str, int] = {}
        for letter in cnn.block:
            for kind, options in _letter(cnn, LETTERS[letter], filters):
                counts[kind] = counts.get(kind, 0) + 1
                entries.append(_entry(f"block{stage + 1}_{kind}{counts[kind]}", kind, stage, options))
    head = len(cnn.filters)
    entries.append(_entry(f"head_{cnn.head}", cnn.head, head, {}))
    for i, units in enumerate(cnn.dense, start=1):
        if cnn.head_dropout:
            entries.append(_entry(f"head_dropout{i}", "dropout", head, {"rate": cnn.head_dropout}))
        entries.append(_entry(f"head_dense{i}", "dense", head, {"units": units}))
        if cnn.activation != "none":
            entries.append(_entry(f"head_activation{i}", "activation", head, {"type": cnn.activation}))
    if classes is not None:
        if cnn.head_dropout:
            name = f"head_dropout{len(cnn.dense) + 1}"
            entries.append(_entry(name, "dropout", head, {"rate": cnn.head_dropout}))
        entries.append(_entry("head_classes", "dense", head, {"units": classes}))
    return entries


def _letter(cnn: Cnn, kind: str, filters: int) -> list[tuple[str, dict[str, Any]]]:
    """What one letter of a block stands for: no layer, one or two."""
    conv = "conv" if cnn.weight_sharing else "locally_connected"
    window = {
        "filters": filters,
        "kernel_size": cnn.kernel_size,
        "stride": cnn.stride,
        "padding": cnn.padding,
    }
    activation = [] if cnn.activation == "none" else [("activation", {"type": cnn.activation})]
    pool_stride = cnn.pool_size if cnn.pool_stride is None else cnn.pool_stride
    if kind == "conv":
        return [(conv, window)]
    if kind == "activation":
        return activation
    if kind == "dropout":
        return [("dropout", {"rate": cnn.dropout})] if cnn.dropout else []
    if kind == "norm":
        return [("norm", {})]
    if cnn.pool == "none":
        return []
    if cnn.pool == "conv":
        return [(conv, {**window, "stride": pool_stride}), *activation]
    options = {"type": cnn.pool, "size": cnn.pool_size, "stride": pool_stride, "padding": cnn.pool_padding}
    return [("pool", options)]


def mlp_entries(mlp: Mlp, classes: int | None) -> list[Entry]:
    """The layers of a multilayer perceptron; each hidden layer with what follows it is a stage of its own."""
    entries = [_entry("flatten", "flatten", 0, {})]
    for stage, units in enumerate(mlp.hidden):
        prefix = f"block{stage + 1}"
        entries.append(_entry(f"{prefix}_dense1", "dense", stage, {"units": units}))
        if mlp.norm:
            entries.append(_entry(f"{prefix}_norm1", "norm", stage, {}))
        if mlp.activation != "none":
            entries.append(_entry(f"{prefix}_activation1", "activation", stage, {"type": mlp.activation}))
        if mlp.dropout:
            entries.append(_entry(f"{prefix}_dropout1", "dropout", stage, {"rate": mlp.dropout}))
    if classes is not None:
        entries.append(_entry("head_classes", "dense", len(mlp.hidden), {"units": classes}))
    return entries


def _entry(name: str, kind: str, stage: int, options: dict[str, Any]) -> Entry:
    prefix = "pool_" if kind == "pool" else ""
    keys = {option: f"architecture.{prefix}{option}" for option in ("size", "kernel_size", "padding")}
    return Entry(name, kind, stage, options, keys)


def list_entries(layers: object, classes: int | None) -> list[Entry]:
    """The layers of an explicit list. A stage opens at each conv; the head, at the first flatten, gap or
    dense.

    Raises:
        InputError: an unknown layer or option, or a value that is not allowed.
    """
    if isinstance(layers, str | Mapping) or not isinstance(layers, Sequence) or not layers:
        raise InputError(
            f"architecture.layers={layers}: must be a list of layers, as [{{conv: {{filters: 8}}}}, {{gap: {{}}}}]"
        )
    entries: list[Entry] = []
    counts: dict[str, int] = {}
    stage, convs, in_head = 0, 0, False
    for i, given in enumerate(layers):
        kind, options = _one_layer(f"architecture.layers[{i}]", given)
        counts[kind] = counts.get(kind, 0) + 1
        if kind in ("conv", "locally_connected"):
            convs += 1
            stage += convs > 1
        if kind in ("flatten", "gap", "dense") and not in_head:
            in_head = True
            stage += convs > 0
        if kind == "dense" and options["units"] is None:
            if classes is None:
                raise InputError(
                    f"architecture.layers[{i}].dense.units: must be given, as the number of classes is unknown."
                )
            options["units"] = classes
        where = f"architecture.layers[{i}].{kind}"
        keys = {"": where} | {option: f"{where}.{option}" for option in options}
        entries.append(Entry(f"{kind}{counts[kind]}", kind, stage, options, keys))
    return entries


def _one_layer(where: str, given: object) -> tuple[str, dict[str, Any]]:
    """The kind and the checked, complete options of one entry of a list."""
    if not isinstance(given, Mapping) or len(given) != 1:
        raise InputError(f"{where}={given}: must be one layer with its options, as {{conv: {{filters: 8}}}}.")
    kind, options = next(iter(given.items()))
    if kind not in OPTIONS:
        raise InputError(f"{where}.{kind}: no such layer.{nearest(kind, OPTIONS)} Layers are {', '.join(OPTIONS)}.")
    if options is None:
        options = {}
    elif not isinstance(options, Mapping):
        if kind not in SHORTHAND:
            allowed = ", ".join(OPTIONS[kind]) or "none"
            raise InputError(f"{where}.{kind}={options}: must be a dict of options. Options are {allowed}.")
        options = {SHORTHAND[kind]: options}
    for option, value in options.items():
        if option not in OPTIONS[kind]:
            allowed = ", ".join(OPTIONS[kind]) or "none"
            raise InputError(
                f"{where}.{kind}.{option}={value}: no such option.{nearest(option, OPTIONS[kind])} "
                f"Options are {allowed}."
            )
    complete = {**OPTIONS[kind], **options}
    for option, value in complete.items():
        if value is ...:
            raise InputError(f"{where}.{kind}.{option}: must be given.")
        _check_option(f"{where}.{kind}.{option}", kind, option, value)
    if kind == "pool" and complete["stride"] is None:
        complete["stride"] = complete["size"]
    return kind, complete


def _check_option(key: str, kind: str, option: str, value: object) -> None:
    if option == "kernel_size":
        whole(key, value, 1, MAX_KERNEL)
    elif option == "padding":
        one_of(key, value, PADDINGS)
    elif option == "type":
        one_of(key, value, POOLS if kind == "pool" else ACTIVATIONS)
    elif option == "rate":
        rate(key, value)
    elif value is not None or OPTIONS[kind][option] is not None:
        whole(key, value, 1)
