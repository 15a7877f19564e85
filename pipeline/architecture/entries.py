"""From what a user spells (block strings, lists of layers) to one flat list of layers, without shapes."""

from collections.abc import Mapping, Sequence

from pipeline.architecture.config import Cnn, Mlp, TextCnn
from pipeline.architecture.kinds import KINDS, activation, letters
from pipeline.architecture.kinds.kind import Entry, Kind, Options
from pipeline.errors import InputError, nearest


def cnn_entries(cnn: Cnn, classes: int | None, is_sequence: bool = False) -> list[Entry]:
    """The layers of a section of blocks; the class layer is left out where `classes` is None."""
    entries = _embedding(cnn.embedding) if is_sequence else []
    known = letters()
    for stage, filters in enumerate(cnn.filters):
        counts: dict[str, int] = {}
        for letter in cnn.block:
            spell = KINDS[known[letter]].spell
            assert spell is not None
            for kind, options in spell(cnn, filters):
                counts[kind] = counts.get(kind, 0) + 1
                entries.append(_entry(f"block{stage + 1}_{kind}{counts[kind]}", kind, stage, options))
    head = len(cnn.filters)
    entries.append(_entry(f"head_{cnn.head}", cnn.head, head, {}))
    for i, units in enumerate(cnn.dense, start=1):
        if cnn.head_dropout:
            entries.append(_entry(f"head_dropout{i}", "dropout", head, {"rate": cnn.head_dropout}))
        entries.append(_entry(f"head_dense{i}", "dense", head, {"units": units}))
        for kind, options in activation.spell(cnn.activation):
            entries.append(_entry(f"head_activation{i}", kind, head, options))
    if classes is not None:
        if cnn.head_dropout:
            name = f"head_dropout{len(cnn.dense) + 1}"
            entries.append(_entry(name, "dropout", head, {"rate": cnn.head_dropout}))
        entries.append(_entry("head_classes", "dense", head, {"units": classes}))
    return entries


def mlp_entries(mlp: Mlp, classes: int | None, is_sequence: bool = False) -> list[Entry]:
    """The layers of a multilayer perceptron; each hidden layer with what follows it is a stage of its own."""
    entries = _embedding(mlp.embedding) if is_sequence else []
    entries.append(_entry("flatten", "flatten", 0, {}))
    for stage, units in enumerate(mlp.hidden):
        prefix = f"block{stage + 1}"
        entries.append(_entry(f"{prefix}_dense1", "dense", stage, {"units": units}))
        if mlp.norm:
            entries.append(_entry(f"{prefix}_norm1", "norm", stage, {}))
        for kind, options in activation.spell(mlp.activation):
            entries.append(_entry(f"{prefix}_activation1", kind, stage, options))
        if mlp.dropout:
            entries.append(_entry(f"{prefix}_dropout1", "dropout", stage, {"rate": mlp.dropout}))
    if classes is not None:
        entries.append(_entry("head_classes", "dense", len(mlp.hidden), {"units": classes}))
    return entries


def text_cnn_entries(text_cnn: TextCnn, classes: int | None) -> list[Entry]:
    """The layers of a network of several widths: the embedding, the filters and the head are a stage each."""
    options = {
        "widths": text_cnn.widths,
        "filters": text_cnn.filters,
        "activation": text_cnn.activation,
        "padding": text_cnn.padding,
    }
    entries = [*_embedding(text_cnn.embedding), _entry("widths", "widths", 1, options)]
    if classes is not None:
        if text_cnn.dropout:
            entries.append(_entry("head_dropout", "dropout", 2, {"rate": text_cnn.dropout}))
        entries.append(_entry("head_classes", "dense", 2, {"units": classes}))
    return entries


def _embedding(size: int | None) -> list[Entry]:
    """What turns the tokens of a sequence into vectors; it belongs to the first stage."""
    default = KINDS["embedding"].options["size"].default
    return [_entry("embedding", "embedding", 0, {"size": default if size is None else size})]


def _entry(name: str, kind: str, stage: int, options: Options) -> Entry:
    keys = {option: f"architecture.{KINDS[kind].key_prefix}{option}" for option in KINDS[kind].options}
    return Entry(name, kind, stage, options, keys)


def list_entries(layers: object, classes: int | None) -> list[Entry]:
    """The layers of an explicit list. A stage opens at each conv and at widths; the head, at the first flatten,
    gap or dense.

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
        name, options = _one_layer(f"architecture.layers[{i}]", given, classes)
        kind = KINDS[name]
        counts[name] = counts.get(name, 0) + 1
        if kind.family == "conv":
            convs += 1
            stage += convs > 1
        elif kind.family == "widths":  # what is before it, an embedding, is a stage
            convs += 1
            stage += 1
        if kind.gives_vector and not in_head:
            in_head = True
            stage += convs > 0
        where = f"architecture.layers[{i}].{name}"
        keys = {"": where} | {option: f"{where}.{option}" for option in options}
        entries.append(Entry(f"{name}{counts[name]}", name, stage, options, keys))
    return entries


def _one_layer(where: str, given: object, classes: int | None) -> tuple[str, Options]:
    """The kind and the checked, complete options of one entry of a list."""
    if not isinstance(given, Mapping) or len(given) != 1:
        raise InputError(f"{where}={given}: must be one layer with its options, as {{conv: {{filters: 8}}}}.")
    name, options = next(iter(given.items()))
    if name not in KINDS:
        raise InputError(f"{where}.{name}: no such layer.{nearest(name, KINDS)} Layers are {', '.join(KINDS)}.")
    kind, where = KINDS[name], f"{where}.{name}"
    complete = _complete(where, kind, options)
    for option, value in complete.items():
        if value is ...:
            raise InputError(f"{where}.{option}: must be given.")
        kind.options[option].check(f"{where}.{option}", value)
    kind.complete(complete, where, classes)
    return name, complete


def _complete(where: str, kind: Kind, given: object) -> Options:
    """The options of a layer, with the defaults of those that are not given."""
    allowed = ", ".join(kind.options) or "none"
    if given is None:
        given = {}
    elif not isinstance(given, Mapping):
        if not kind.shorthand:
            raise InputError(f"{where}={given}: must be a dict of options. Options are {allowed}.")
        given = {kind.shorthand: given}
    for option, value in given.items():
        if option not in kind.options:
            raise InputError(
                f"{where}.{option}={value}: no such option.{nearest(option, kind.options)} Options are {allowed}."
            )
    return {**{option: one.default for option, one in kind.options.items()}, **given}
