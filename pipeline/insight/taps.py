"""What the layers of a network give, whichever way it was built: found by watching it run, not by its names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.training.module import Classifier

Watch = Callable[[str, Tensor], Tensor | None]


@contextmanager
def watched(network: nn.Module, watch: Watch, only: str | None = None) -> Iterator[None]:
    """Call watch(name, output) for each module as it has run; a tensor that it returns goes on in its place."""

    def hook(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        return lambda _module, _inputs, output: watch(name, output) if isinstance(output, Tensor) else None

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in network.named_modules()
        if name and only in (None, name)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def last_map(module: Classifier, x_BCHW: Tensor) -> str | None:
    """The name of the last module of a network whose output has places, more than one of them.

    None where there is none, as in an MLP, and where tokens come behind it, whose places a map would not be of.
    """
    ran: list[tuple[str, tuple[int, ...]]] = []
    with watched(module.network, lambda name, output: ran.append((name, tuple(output.shape)))):
        module(x_BCHW[:1])
    placed = [(name, shape) for name, shape in ran if len(shape) > 2 and shape[1:].count(1) < len(shape) - 2]
    if not placed or len(placed[-1][1]) != 4:
        return None
    return placed[-1][0]


def channels_last(network: nn.Module) -> bool:
    """Whether its maps are [B, H, W, C], as those of some of timm's transformers are."""
    return any(getattr(one, "output_fmt", "NCHW") == "NHWC" for one in (network, getattr(network, "trunk", None)))


def at(module: Classifier, name: str, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The map [B, C, H, W] that the module `name` gives, and the logits [B, classes], which can be led back to it."""
    moved = channels_last(module.network)
    kept: list[Tensor] = []

    def keep(_name: str, output: Tensor) -> Tensor:
        # Cut off here: what lies before needs no gradient, and of a frozen network nothing else would have one.
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    with torch.enable_grad(), watched(module.network, keep, only=name):
        logits_BK = module(x_BCHW)
    map_BCHW = kept[-1]
    return (map_BCHW.permute(0, 3, 1, 2) if moved else map_BCHW), logits_BK


@torch.no_grad()
def outputs(module: Classifier, x_BCHW: Tensor) -> dict[str, Tensor]:
    """The maps [B, C, H, W] of all modules without parts of their own, in the order in which they ran."""
    found: dict[str, Tensor] = {}
    leaves = {name for name, one in module.network.named_modules() if not list(one.children())}
    moved = channels_last(module.network)

    def keep(name: str, output: Tensor) -> None:
        if name in leaves and output.ndim == 4:
            found[name] = (output.permute(0, 3, 1, 2) if moved else output).detach().clone()

    with watched(module.network, keep):
        module(x_BCHW)
    return found
