"""Networks of one plan side by side as one: the layers of S members in the place of each layer.

Maps of all members are one tensor [B, S*C, H, W], vectors one [S, B, F]; each member has its own images, its own
weights, and no part in another's gradients. A layer's weights are those of the members one after the other, so what a
member holds is a view (`share`). The idea is HFTA's (Wang et al., MLSys 2021): explicit folding, not vmap, whose batch
norm and whose backward pass of grouped convolutions are those of a loop.

What a member computes does not depend on who else is there, to the bit, from two members on; a stack of one would take
other kernels (tests/architecture/test_stacked.py). Where a kernel does not promise that, members go one by one: Each.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.architecture.kinds import kind_of
from pipeline.architecture.network import InOrder
from pipeline.architecture.plans import Layer, Plan
from pipeline.architecture.stacked_layers import StackedDropout


class Stacked(InOrder):
    """The networks of `members` seeds: images [B, S*C, H, W] -> logits [S, B, classes]. Layers are named as planned.

    Of text, tokens [B, S, 1, T].
    """

    def __init__(self, planned: Plan, members: int) -> None:
        super().__init__(OrderedDict(_modules(planned, members)))
        self.members = members
        for weights in self.parameters():
            if weights.dim() == 4:
                weights.data = weights.data.contiguous(memory_format=torch.channels_last)


def _modules(planned: Plan, members: int) -> list[tuple[str, nn.Module]]:
    modules = []
    shape: tuple[int, ...] = planned.input_shape
    for layer in planned.layers:
        kind = kind_of(layer.type)
        assert kind is not None
        made = kind.stacked and kind.stacked(layer, shape, members)
        modules.append((layer.name, made or Each(layer, shape, members)))
        shape = layer.output_shape
    return modules


def share(stacked: Tensor, member: int, shape: torch.Size) -> Tensor:
    """What `member` has of a stacked tensor, a view of its own `shape`; a scalar is everyone's."""
    if not shape:
        return stacked if not stacked.shape else stacked[member]
    return stacked.unflatten(0, (-1, shape[0]))[member] if stacked.dim() == len(shape) else stacked[member]


def joined(single: Sequence[Tensor], like: Tensor) -> Tensor:
    """The members' tensors as the stacked one that is shaped `like` this: the inverse of `share`."""
    if like.dim() == single[0].dim():
        return torch.cat(list(single)) if like.dim() else single[0]
    return torch.stack(list(single))


class Each(nn.Module):
    """Any layer, once for each member: no faster than a loop, and the same whoever else is there."""

    def __init__(self, layer: Layer, input_shape: tuple[int, ...], members: int) -> None:
        super().__init__()
        kind = kind_of(layer.type)
        assert kind is not None
        one = kind.module(layer, input_shape)
        self.members = members
        for name, weights in one.named_parameters():
            self._part(name).register_parameter(_last(name), nn.Parameter(torch.stack([weights.detach()] * members)))
        for name, values in one.named_buffers():
            self._part(name).register_buffer(_last(name), torch.stack([values] * members))
        self._one = [one.to("meta")]  # in a list: it is no part of this module

    def _part(self, name: str) -> nn.Module:
        """The module, in this one, that holds what is called `name`; made where there is none."""
        part: nn.Module = self
        for step in name.split(".")[:-1]:
            if step not in part._modules:
                part.add_module(step, nn.Module())
            part = part.get_submodule(step)
        return part

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, S*C, H, W] or vectors [S, B, F] to either."""
        [one] = self._one
        one.train(self.training)
        inputs = x.chunk(self.members, 1) if x.dim() == 4 else x.unbind(0)
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        outputs = [
            torch.func.functional_call(one, {name: value[member] for name, value in own.items()}, (_copied(given),))
            for member, given in enumerate(inputs)
        ]
        return torch.cat(outputs, 1) if outputs[0].dim() == 4 else torch.stack(outputs)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _copied(x: Tensor) -> Tensor:
    """In memory of its own: a product's last bits depend on where in a cache line its numbers begin."""
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.contiguous_format).clone()


def name_draws(network: nn.Module, generators: Sequence[torch.Generator]) -> None:
    """Have the dropouts of a stacked network draw for each member from its generator."""
    for module in network.modules():
        if isinstance(module, StackedDropout):
            module.generators = list(generators)


def state_of(network: Stacked, member: int, shapes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """A copy of what `member` holds of the weights and statistics, under the names that its own network has."""
    return {name: share(value, member, shapes[name]).clone() for name, value in network.state_dict().items()}


def fill(network: Stacked, states: Sequence[Mapping[str, Tensor]]) -> None:
    """Give the stacked network its members' weights and statistics."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            value.copy_(joined([state[name] for state in states], value))
