"""Builds the torch module that a plan describes."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipeline.architecture.config import Timm, section
from pipeline.architecture.kinds import kind_of
from pipeline.architecture.planning import Spec, plan
from pipeline.architecture.plans import Plan


class InOrder(nn.Sequential):
    """Layers one after the other. In training, where a max pool follows a ReLU, the pool goes first.

    Numbers and gradients are the same to the bit, as what is below 0 has no part in either; the ReLU has a quarter of
    the numbers to write, and to read again on the way back: 7 % of the time of the notes' CNN on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        layers = list(self)
        if self.training:
            for i in range(len(layers) - 1):
                if type(layers[i]) is nn.ReLU and isinstance(layers[i + 1], nn.MaxPool2d):
                    layers[i : i + 2] = layers[i + 1], layers[i]
        for layer in layers:
            x = layer(x)
        return x


class Network(InOrder):
    """The layers of a plan, under their planned names: images [N, C, H, W] -> logits [N, classes].

    Text comes as whole numbers of tokens [N, 1, 1, T].
    """

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
        kind = kind_of(layer.type)
        assert kind is not None, f"{layer.name}: nothing builds a layer of type {layer.type}"
        modules.append((layer.name, kind.module(layer, shape)))
        shape = layer.output_shape
    return modules


def example(planned: Plan, batch: int = 1, device: str = "cpu") -> Tensor:
    """What the planned network takes, of zeros: float images [batch, C, H, W], or int32 tokens [batch, 1, 1, T]."""
    dtype = torch.int32 if planned.takes_tokens else torch.float32
    return torch.zeros(batch, *planned.given_shape, dtype=dtype, device=device)


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
        torch.func.functional_call(network, state, example(planned, device="meta"))
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
