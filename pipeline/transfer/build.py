"""Networks by the plans that transfer makes: whole ones, and a timm model's first stages with a head of their own."""

from typing import Any

from torch import Tensor, nn

from pipeline import architecture
from pipeline.architecture import Plan, Section, Timm
from pipeline.architecture.layers import Grid
from pipeline.architecture.network import Network, assert_as_planned


class Stop(Exception):  # noqa: N818 - no error: it ends a forward pass early
    """Carries what a module was given or gave, out of the models around it."""

    def __init__(self, value: Tensor) -> None:
        self.value = value


class TruncatedBackbone(nn.Module):
    """The first stages of a timm model, their map as early_layers pools it, and a class layer.

    A model's forward pass cannot be cut in general, so it is left at the end of the last stage kept; what would
    have come behind is gone.
    """

    def __init__(self, section: Timm, planned: Plan, classes: int) -> None:
        super().__init__()
        from pipeline.architecture.backbone import build_backbone, channels_last, stage_ends  # timm takes seconds

        *kept, last = planned.layers
        depth = last.stage
        shape = planned.input_shape
        whole = architecture.plan(section, shape, classes)
        self.trunk = build_backbone(section, whole, classes)
        for layer in whole.layers:
            if layer.stage >= depth and layer.type != "parameter":
                self.trunk.set_submodule(layer.name, nn.Identity())
        self.end = stage_ends(section, shape)[depth - 1]
        pool = kept[-1] if kept[-1].type in ("gap", "grid", "flatten") else None
        self.pool = pool.name if pool else "head_gap"
        moved = pool is not None and channels_last(section, shape)
        squares = pool.options.get("squares") if pool else None
        self.add_module(self.pool, Pooled(pool.type if pool else "gap", squares, moved))
        self.head_classes = nn.Linear(kept[-1].output_shape[0], classes)
        self.plan = planned

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, classes]."""
        return self.head_classes(self.get_submodule(self.pool)(at_end(self.trunk, self.end, x_BCHW)))


class Pooled(nn.Module):
    """What is told of a map [B, C, H, W], of tokens [B, N, C] or, `channels_last`, of [B, H, W, C]: a vector each.

    kind: gap, the mean over positions; grid, the means over `squares`; flatten, all of it.
    """

    def __init__(self, kind: str, squares: tuple[int, int] | None, channels_last: bool = False) -> None:
        super().__init__()
        self.kind, self.channels_last = kind, channels_last
        self.grid = Grid(squares) if squares is not None and len(squares) == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """Any of these -> [B, values]."""
        if x.ndim == 4 and self.channels_last:
            x = x.permute(0, 3, 1, 2)
        if x.ndim == 4 and self.grid is not None:
            return self.grid(x)
        if self.kind == "flatten":
            return x.flatten(1)
        return x.mean(dim=(2, 3)) if x.ndim == 4 else x.mean(dim=1) if x.ndim == 3 else x


def at_end(network: nn.Module, name: str, x: Tensor) -> Tensor:
    """What the module `name` of a network gives when the network sees `x`; nothing behind it is run."""

    def leave(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        raise Stop(output[-1] if isinstance(output, list | tuple) else output)

    handle = network.get_submodule(name).register_forward_hook(leave)
    return _until_stop(network, x, handle)


def before(network: nn.Module, name: str, x: Tensor) -> Tensor:
    """What the module `name` of a network is given when the network sees `x`; it is not run any more."""

    def leave(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise Stop(inputs[0])

    handle = network.get_submodule(name).register_forward_pre_hook(leave)
    return _until_stop(network, x, handle)


def _until_stop(network: nn.Module, x: Tensor, handle: Any) -> Tensor:
    try:
        network(x)
    except Stop as stop:
        return stop.value
    finally:
        handle.remove()
    raise AssertionError("the module never ran")


def construct(section: Section, planned: Plan, classes: int) -> nn.Module:
    """The network of a plan that `outline` made, with fresh weights from torch's global generator."""
    if not isinstance(section, Timm):
        network = Network(planned)
        assert_as_planned(network, planned)
        return network
    if planned.layers[-1].name == "head_classes":
        cut = TruncatedBackbone(section, planned, classes)
        params = sum(p.numel() for p in cut.parameters())
        assert params == planned.params, f"the network holds {params} parameters; planned were {planned.params}"
        return cut
    from pipeline.architecture.backbone import build_backbone

    return build_backbone(section, planned, classes)
