"""timm's models as architectures: planned on torch's meta device, where a network has shapes but no data.

No network is used here: fresh weights only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.architecture.config import Timm
from pipeline.architecture.plans import LARGEST_SIDE, Layer, Plan
from pipeline.errors import InputError, nearest

STAGE_LISTS = ("stages", "blocks", "layers", "features")
"""Children whose own children are the stages of a model."""

STAGE_NAME = re.compile(r"(layer|stage|s)\d+")
STEM_CONVS = 3
"""A max pool behind at most as many convolutions belongs to the stem (resnet-d's deep stem has three)."""

REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, ZeroDivisionError)
"""What timm's models raise, at construction or in the forward pass, for an input that they do not take."""


@dataclass
class Trace:
    """What one forward pass showed of the modules, by name: outputs [C, H, W], values written, FLOPs."""

    shapes: dict[str, tuple[int, ...]]
    values: dict[str, int]
    order: list[str]
    flops: dict[str, int]


class RefusedError(Exception):
    """A model does not take an input; the message says where it stopped."""


def plan_backbone(spec: Timm, shape: tuple[int, int, int], classes: int | None) -> Plan:
    """One row per stage of the model, with its true parameters and MACs.

    Raises:
        InputError: an unknown name, or a model that does not take the input, with what it would take.
    """
    try:
        with torch.device("meta"):
            model = _create(spec, shape, classes)
        trace = _trace(model, shape)
    except RefusedError as problem:
        raise InputError(
            f"architecture.name={spec.name}: does not take a {'x'.join(map(str, shape))} input: {problem}."
            f"{_remedy(spec, shape, classes)}"
        ) from None
    return Plan(shape, tuple(_rows(model, trace)))


def build_backbone(spec: Timm, planned: Plan, classes: int | None) -> nn.Module:
    """The model of a plan, with fresh weights; its submodules bear the rows' names; `plan` is the plan."""
    model = _create(spec, planned.input_shape, classes)
    for layer in planned.layers:
        if layer.type != "parameter":
            params = _count(model.get_submodule(layer.name))
            assert params == layer.params, f"{layer.name} holds {params} parameters; planned were {layer.params}"
    total = _count(model)
    assert total == planned.params, f"the network holds {total} parameters; planned were {planned.params}"
    model.plan = planned  # type: ignore[assignment]  # nn.Module's stub knows tensors and modules alone
    return model


def classifier(model: nn.Module) -> tuple[str, ...]:
    """The names of the model's class layers, of which distilled transformers have two."""
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def channels_last(spec: Timm, shape: tuple[int, int, int]) -> bool:
    """Whether the model's maps are [H, W, C], as those of some transformers are."""
    with torch.device("meta"):
        return getattr(_create(spec, shape, None), "output_fmt", "NCHW") == "NHWC"


def stage_ends(spec: Timm, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """For each stage, the module that runs last in it: its output is the stage's."""
    with torch.device("meta"):
        model = _create(spec, shape, None)
    trace = _trace(model, shape)
    ends: dict[int, str] = {}
    for row in _rows(model, trace):
        ran = [name for name in trace.order if f"{name}.".startswith(f"{row.name}.")]
        if ran:
            ends[row.stage] = ran[-1]
    return tuple(ends[stage] for stage in sorted(ends))


def _create(spec: Timm, shape: tuple[int, int, int], classes: int | None) -> nn.Module:
    """The model, fitted to its input, on torch's current default device."""
    name = spec.name.split(".")[0]
    # A name with a colon would make timm look on the network.
    if ":" in spec.name or not timm.is_model(name):
        raise InputError(
            f"architecture.name={spec.name}: timm {timm.__version__} has no such model."
            f"{nearest(name, timm.list_models())} List them with timm.list_models('*')."
        )
    config = timm.get_pretrained_cfg(spec.name)
    options: dict[str, Any] = {"in_chans": shape[0], "num_classes": classes or 0}
    if config is not None and config.fixed_input_size:
        options["img_size"] = shape[1:]
    if not spec.small_input:
        return _created(spec, options)
    with torch.device("meta"):
        draft = _created(spec, options)
    stems = _stem_convs(draft)
    if stems and all(conv.kernel_size == conv.stride and conv.stride[0] > 1 for conv in stems):
        # A stem of patches: as many patches as there are at the size the model was made for.
        native = config.input_size[-1] if config is not None else 224
        patch = round(stems[0].kernel_size[0] * min(shape[1:]) / native)
        return _created(spec, {**options, "patch_size": max(1, patch)})
    return _with_small_stem(_created(spec, options))


def _created(spec: Timm, options: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(spec.name, pretrained=False, **options)
    except REFUSALS as problem:
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        raise RefusedError(f"with {given}, timm says: {_first_line(problem)}") from problem


def _stem_convs(model: nn.Module) -> list[nn.Conv2d]:
    """The convolutions that see the image: as timm lists them, or the first one."""
    names = getattr(model, "pretrained_cfg", {}).get("first_conv")
    if names:
        listed = [model.get_submodule(name) for name in ([names] if isinstance(names, str) else names)]
        return [conv for conv in listed if isinstance(conv, nn.Conv2d)]
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)][:1]


def _with_small_stem(model: nn.Module) -> nn.Module:
    """The model with its first convolution at stride 1 and without the stem's max pool; no weight changes
    shape.

    A stem that does not reduce the image (VGG) stays as it is.
    """
    stems = _stem_convs(model)
    if all(conv.stride == (1, 1) for conv in stems):
        return model
    for conv in stems:
        conv.stride = (1, 1)
    convs = 0
    for name, module in model.named_modules():
        convs += isinstance(module, nn.Conv2d)
        if convs > STEM_CONVS:
            break
        if isinstance(module, nn.MaxPool2d):
            model.set_submodule(name, nn.Identity())
            break
    return model


def _trace(model: nn.Module, shape: tuple[int, int, int]) -> Trace:
    """One forward pass of one example on the meta device, watched."""
    trace = Trace({}, {}, [], {})
    running: list[str] = []

    def enter(name: str) -> Any:
        return lambda module, inputs: running.append(name)

    def leave(name: str, is_leaf: bool) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            running.pop()
            tensor = _last_tensor(output)
            if tensor is not None:
                trace.order.append(name)
                trace.shapes[name] = tuple(tensor.shape[1:])
                trace.values[name] = trace.values.get(name, 0) + (tensor.numel() if is_leaf else 0)

        return hook

    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(enter(name)))
        handles.append(module.register_forward_hook(leave(name, not list(module.children()))))
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.empty(1, *shape, device="meta"))
    except REFUSALS as problem:
        where = f"layer {running[-1]}" if running and running[-1] else "the model"
        raise RefusedError(f"{where} says: {_first_line(problem)}") from problem
    finally:
        for handle in handles:
            handle.remove()
    root = type(model).__name__
    for name, flops in counter.get_flop_counts().items():
        trace.flops[name.removeprefix(root).removeprefix(".") if name != "Global" else name] = sum(flops.values())
    return trace


def _last_tensor(output: Any) -> Tensor | None:
    """A module's output, or the last of several."""
    if isinstance(output, list | tuple):
        output = output[-1] if output else None
    return output if isinstance(output, Tensor) else None


def _rows(model: nn.Module, trace: Trace) -> list[Layer]:
    """The model's stages and what lies between them, in the order in which they run.

    Stages are numbered from the stem (0) to the head. In a model without named stages each row is one. What
    belongs to no part (class tokens, position embeddings, products outside of any module) comes first, as a
    row of type `parameter`.
    """
    parts = [part for part in _children(model) if not isinstance(part[1], nn.Identity)]
    ran = {name: [n for n in trace.order if f"{n}.".startswith(f"{name}.")] for name, _, _ in parts}
    parts = sorted((p for p in parts if ran[p[0]]), key=lambda part: trace.order.index(ran[part[0]][0]))
    stages = [i for i, (_, _, is_stage) in enumerate(parts) if is_stage]
    rows = []
    for i, (name, module, _) in enumerate(parts):
        stage = i
        if stages:
            stage = sum(begin <= i for begin in stages) + (i > stages[-1]) - (stages[0] == 0)
        # A part may be called by its own parts alone; then those at the top of it are what ran.
        inside = set(ran[name])
        tops = [n for n in inside if n == name or (name not in inside and n.rpartition(".")[0] not in inside)]
        macs = sum(trace.flops.get(top, 0) for top in tops) // 2
        values = sum(trace.values[n] for n in inside)
        shape = trace.shapes[ran[name][-1]]
        rows.append(_row(name, type(module).__name__, shape, _count(module), macs, stage, values))
    params = _count(model) - sum(row.params for row in rows)
    macs = trace.flops.get("Global", 0) // 2 - sum(row.macs for row in rows)
    if params or macs:
        name = " ".join(dict(model.named_parameters(recurse=False))) or "rest"
        rows.insert(0, _row(name, "parameter", (), params, macs, 0, 0))
    return rows


def _children(model: nn.Module) -> Iterator[tuple[str, nn.Module, bool]]:
    """(name, module, whether it is a stage) of the model's parts: its children, lists of stages opened."""
    for name, child in model.named_children():
        is_list = isinstance(child, nn.ModuleList) or (
            name in STAGE_LISTS and isinstance(child, nn.Sequential) and len(child) > 0
        )
        if is_list:
            for part, module in child.named_children():
                yield f"{name}.{part}", module, name in STAGE_LISTS
        else:
            yield name, child, bool(STAGE_NAME.fullmatch(name))


def _row(name: str, kind: str, shape: tuple[int, ...], params: int, macs: int, stage: int, values: int) -> Layer:
    return Layer(name, kind, shape, params, macs, None, None, "", stage, {}, values)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _remedy(spec: Timm, shape: tuple[int, int, int], classes: int | None) -> str:
    """The first single change of the section or the data that the model takes, each of them tried."""

    def takes(candidate: Timm, shape: tuple[int, int, int]) -> bool:
        try:
            with torch.device("meta"):
                model = _create(candidate, shape, classes)
            _trace(model, shape)
        except RefusedError:
            return False
        return True

    if takes(replace(spec, small_input=not spec.small_input), shape):
        return f" Use architecture.small_input={str(not spec.small_input).lower()}."
    config = timm.get_pretrained_cfg(spec.name)
    native = config.input_size[-1] if config is not None else LARGEST_SIDE
    sides = sorted({native} | {2**n for n in range(native.bit_length())})
    larger = (side for side in sides if side > min(shape[1:]))
    side = next((side for side in larger if takes(spec, (shape[0], side, side))), None)
    return f" Use data.size={side}." if side else " Use another architecture.name."


def _first_line(problem: Exception) -> str:
    return (str(problem) or type(problem).__name__).splitlines()[0].rstrip(".")
