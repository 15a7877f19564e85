"""Builds the torch module that a plan describes."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipeline.architecture.config import Timm, section
from pipeline.architecture.layers import (
    GlobalAveragePool,
    LocallyConnected2d,
    UnevenAvgPool2d,
    UnevenConv2d,
    UnevenMaxPool2d,
    are_even,
)
from pipeline.architecture.planning import Layer, Plan, Spec, plan

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Network(nn.Sequential):
    """The layers of a plan, under their planned names: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, planned: Plan) -> None:
        super().__init__(OrderedDict(_modules(planned)))
        self.plan = planned


def construct(spec: Spec, input_shape: Sequence[int], classes: int | None) -> nn.Module:
    """See `pipeline.architecture.build`."""
    if isinstance(spec, Mapping):
        spec = section(spec)
    planned = plan(spec, input_shape, classes)
    if isinstance(spec, Timm):
        from pipeline.architecture.backbone import build_backbone  # timm takes seconds to import

        return build_backbone(spec, planned, classes)
    network = Network(planned)
    assert_as_planned(network, planned)
    return network


def _modules(planned: Plan) -> list[tuple[str, nn.Module]]:
    modules = []
    shape: tuple[int, ...] = planned.input_shape
    for layer in planned.layers:
        modules.append((layer.name, _module(layer, shape)))
        shape = layer.output_shape
    return modules


def _module(layer: Layer, input_shape: tuple[int, ...]) -> nn.Module:
    """The torch module of one planned layer, for an input of shape (C, H, W) or (N,)."""
    options, depth = layer.options, input_shape[0]
    if layer.type in ("conv", "locally_connected", "max_pool", "avg_pool"):
        return _window(layer, depth)
    if layer.type == "batch_norm":
        return nn.BatchNorm2d(depth) if len(input_shape) == 3 else nn.BatchNorm1d(depth)
    if layer.type == "dropout":
        return nn.Dropout(options["rate"])
    if layer.type == "flatten":
        return nn.Flatten()
    if layer.type == "gap":
        return GlobalAveragePool()
    if layer.type == "dense":
        return nn.Linear(depth, options["units"])
    return ACTIVATIONS[layer.type]()


def _window(layer: Layer, depth: int) -> nn.Module:
    """A layer that slides a window; torch's own wherever its even pads will do."""
    kernel, stride, pads = (layer.options[key] for key in ("kernel_size", "stride", "pads"))
    (top, _), (left, _) = pads
    if layer.type == "locally_connected":
        _, height, width = layer.output_shape
        return LocallyConnected2d(depth, layer.options["filters"], kernel, stride, pads, (height, width))
    if layer.type == "conv":
        filters = layer.options["filters"]
        if are_even(pads):
            return nn.Conv2d(depth, filters, kernel, stride, padding=(top, left))
        return UnevenConv2d(depth, filters, kernel, stride, pads)
    if layer.type == "max_pool":
        if are_even(pads):
            return nn.MaxPool2d(kernel, stride, padding=(top, left))
        return UnevenMaxPool2d(kernel, stride, pads)
    if are_even(pads):
        return nn.AvgPool2d(kernel, stride, padding=(top, left), count_include_pad=False)
    return UnevenAvgPool2d(kernel, stride, pads)


def assert_as_planned(network: nn.Module, planned: Plan) -> None:
    """Assert that every layer holds and gives what was planned, by one forward pass on the meta device."""
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = tuple(output.shape[1:])

        return network.get_submodule(name).register_forward_hook(hook)

    handles = [note(layer.name) for layer in planned.layers]
    was_training = network.training
    network.eval()
    state = {name: tensor.detach().to("meta") for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        torch.func.functional_call(network, state, torch.empty(1, *planned.input_shape, device="meta"))
    network.train(was_training)
    for handle in handles:
        handle.remove()
    for layer in planned.layers:
        params = sum(p.numel() for p in network.get_submodule(layer.name).parameters())
        assert params == layer.params, f"{layer.name} holds {params} parameters; planned were {layer.params}"
        shape = seen[layer.name]
        assert shape == layer.output_shape, f"{layer.name} gives {shape}; planned was {layer.output_shape}"
    total = sum(p.numel() for p in network.parameters())
    assert total == planned.params, f"the network holds {total} parameters; planned were {planned.params}"
