"""Where a planned network leaves the rules of thumb of the course notes, and why the notes hold them."""

import itertools

from pipeline.architecture.geometry import along, is_sequence, window_text
from pipeline.architecture.kinds import kind_of
from pipeline.architecture.plans import Layer, Plan

Advice = dict[str, str]
"""{"layer", "advice", "reason"}; `layer` is a planned layer's name, or "input"."""


def advice(planned: Plan) -> list[Advice]:
    """What the notes would change, in the order of the layers; empty where a network keeps to them.

    They are rules of thumb: an experiment may well leave one on purpose, to measure what it is worth.
    """
    rules = {"conv": _conv, "pool": _pool, "activation": _activation}
    of_layers = [one for layer in planned.layers if (rule := rules.get(_family(layer))) for one in rule(layer)]
    found = [
        *_input(planned),
        *of_layers,
        *_linear(planned.layers),
        *_widths(planned.layers),
        *_pooling(planned.layers),
        *_funnel(planned),
    ]
    order = {"input": -1} | {layer.name: i for i, layer in enumerate(planned.layers)}
    return sorted(found, key=lambda one: order[one["layer"]])


def _family(layer: Layer) -> str:
    """The family of the layer's kind; of a timm model's rows, none."""
    kind = kind_of(layer.type)
    return kind.family if kind else ""


def _say(layer: str, text: str, reason: str) -> Advice:
    return {"layer": layer, "advice": text, "reason": reason}


def _input(planned: Plan) -> list[Advice]:
    _, height, width = planned.input_shape
    if is_sequence(planned.input_shape):
        if not width & (width - 1) or not any(_family(layer) == "pool" for layer in planned.layers):
            return []
        reason = "a power of two can be halved by every pool without dropping a token"
        return [_say("input", f"use a power of two in place of {width} tokens", reason)]
    found = []
    if height != width:
        found.append(
            _say("input", f"make the {height}x{width} input square", "square maps halve alike along both axes")
        )
    if any(side & (side - 1) for side in (height, width)):
        reason = "a power of two can be halved by every pool without dropping a row of pixels"
        found.append(_say("input", f"use a power of two in place of {height}x{width}", reason))
    return found


def _conv(layer: Layer) -> list[Advice]:
    window, padding = layer.options["kernel_size"], layer.options["padding"]
    kernel, stride = along(window), along(layer.options["stride"])
    space, advised = ("space", "2x2 to 5x5") if isinstance(window, int) else ("time", "1x2 to 1x5")
    found = []
    if kernel == 1:
        mixes = "mixes channels" if "filters" in layer.options else "scales each channel"
        reason = f"a 1x1 kernel {mixes} and sees no pattern in {space}"
        found.append(_say(layer.name, f"use a kernel of {advised} in place of 1x1", reason))
    if kernel > 5:
        reason = "stacked small kernels see as much with fewer parameters and more non-linearity between them"
        found.append(_say(layer.name, f"use a kernel of {advised} in place of {window_text(window)}", reason))
    if stride > 1:
        reason = "a stride skips positions before anything was found there; pooling halves what was found"
        found.append(_say(layer.name, f"use stride 1 in place of {stride}, and pool afterwards", reason))
    if padding == "valid" and kernel > 1:
        reason = "without pads the border is seen less often and maps shrink with every layer"
        found.append(_say(layer.name, "use padding same in place of valid", reason))
    return found


def _pool(layer: Layer) -> list[Advice]:
    window = layer.options["kernel_size"]
    size, stride = along(window), along(layer.options["stride"])
    two = "2x2" if isinstance(window, int) else "1x2"
    found = []
    if layer.type == "avg_pool":
        reason = "the maximum keeps that a pattern was found; the mean thins it out"
        found.append(_say(layer.name, "use max pooling in place of average", reason))
    if (size, stride) != (2, 2):
        reason = f"{two} at stride 2 halves the map and reads every value once; more throws away much at a time"
        text = f"pool {two} at stride 2 in place of {window_text(window)} at {stride}"
        found.append(_say(layer.name, text, reason))
    return found


def _activation(layer: Layer) -> list[Advice]:
    if layer.type == "relu":
        return []
    saturates = "it saturates, so that gradients fade with depth" if layer.type in ("tanh", "sigmoid") else ""
    return [_say(layer.name, f"use relu in place of {layer.type}", saturates or "relu is cheaper, and does as well")]


def _linear(layers: tuple[Layer, ...]) -> list[Advice]:
    """Layers with weights that lead into the next one with no activation between: two linear maps are one."""
    found = []
    weighted = [i for i, layer in enumerate(layers) if _family(layer) in ("conv", "dense")]
    for here, after in itertools.pairwise(weighted):
        # A maximum is not linear, so a max pool separates two convolutions as an activation does.
        if not any(_family(layer) == "activation" or layer.type == "max_pool" for layer in layers[here + 1 : after]):
            reason = f"without one, {layers[here].name} and {layers[after].name} together are one linear layer"
            found.append(_say(layers[here].name, "put a relu after it", reason))
    if (
        weighted
        and any(_family(layer) == "activation" for layer in layers[weighted[-1] :])
        and len(layers[-1].output_shape) == 1
    ):
        reason = "the loss takes logits, and an activation cuts off part of their range"
        found.append(_say(layers[-1].name, "leave the output without an activation", reason))
    return found


def _widths(layers: tuple[Layer, ...]) -> list[Advice]:
    found = []
    # A depthwise convolution has no filters to choose: it keeps the channels that it gets.
    convs = [layer for layer in layers if _family(layer) == "conv" and "filters" in layer.options]
    for before, here in itertools.pairwise(convs):
        filters, previous = here.output_shape[0], before.output_shape[0]
        if filters < previous or (filters == previous and here.stage > before.stage and _halved(before, here, layers)):
            reason = "deeper layers combine patterns, of which there are more kinds, on maps that cost less"
            found.append(_say(here.name, f"use more than the {previous} filters of {before.name}", reason))
    return found


def _halved(before: Layer, here: Layer, layers: tuple[Layer, ...]) -> bool:
    """Whether the second of two convs gets a smaller map, by a pool between them or by the first's stride."""
    between = layers[layers.index(before) : layers.index(here)]
    return any(along(layer.options.get("stride", 1)) > 1 for layer in between)


def _pooling(layers: tuple[Layer, ...]) -> list[Advice]:
    """Runs of more than two convs without a pool. A strided conv halves as well: it has its own advice."""
    found = []
    run = 0
    for layer in layers:
        if _family(layer) == "pool" or along(layer.options.get("stride", 1)) > 1:
            run = 0
        elif _family(layer) == "conv":
            run += 1
            if run == 3:
                reason = "pooling widens what later layers see, cuts their cost, and forgives small shifts"
                found.append(_say(layer.name, "pool after every one or two convolutions", reason))
    return found


def _funnel(planned: Plan) -> list[Advice]:
    convs = [layer for layer in planned.layers if _family(layer) == "conv"]
    maps = [layer for layer in planned.layers if len(layer.output_shape) == 3]
    if not convs or maps[-1].output_shape[1:] < planned.input_shape[1:]:
        return []
    sides = "length" if is_sequence(planned.input_shape) else "height and width"
    reason = f"a network should trade {sides} for depth: from where things are to what they are"
    return [_say(maps[-1].name, f"reduce {sides} on the way to the head", reason)]
