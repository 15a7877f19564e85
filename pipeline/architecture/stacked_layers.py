"""The layers of a stack that torch lacks: each for S members at once, see stacked.py for how their tensors lie."""

import torch
from torch import Tensor, nn

LANES = 16
"""Float32 numbers of the widest vector register: channels beyond the last full one are summed in another order."""


class StackedFirstConv2d(nn.Conv2d):
    """A convolution of all members' images at once, in as many groups: [B, S*C, H, W] -> [S * filters maps].

    In float32 on a CPU, also where bfloat16 is asked for, which has slow kernels for groups of 1 or 3 channels: forward
    and back 0.45 to 0.66 of the time at 8 and 16 pixels, batch 32, 8 or 16 filters, of grey images, 0.63 to 0.86 of
    colour ones. Larger ones too, where it may take 1.5 times as long: by its size, arms of a sweep would differ in it.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images in, maps out."""
        if not (x_BCHW.is_cpu and torch.is_autocast_enabled("cpu")):
            return super().forward(x_BCHW)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_BCHW.float()).to(torch.get_autocast_dtype("cpu"))


class StackedLinear(nn.Module):
    """Dense layers as one batched product: [S, B, inputs] -> [S, B, units]."""

    def __init__(self, members: int, inputs: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, units, inputs))
        self.bias = nn.Parameter(torch.empty(members, units))
        self.more = -inputs % LANES, -units % LANES

    def forward(self, x_SBF: Tensor) -> Tensor:
        """Vectors in, vectors out."""
        inputs, units = self.more
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        # With zeros up to whole cache lines, so that each member's numbers lie in them alike: a product's last bits
        # depend on where they begin.
        if inputs:
            x_SBF = nn.functional.pad(x_SBF, (0, inputs))
        if inputs or units:
            weight, bias = nn.functional.pad(weight, (0, inputs, 0, units)), nn.functional.pad(bias, (0, units))
        out_SBF = torch.baddbmm(bias.unsqueeze(1), x_SBF, weight.transpose(1, 2))
        return out_SBF[..., : out_SBF.shape[-1] - units]


class StackedFlatten(nn.Module):
    """Maps [B, S*C, H, W] to vectors [S, B, C*H*W], by one copy."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """Maps or vectors in, vectors out."""
        return x if x.dim() == 3 else x.unflatten(1, (self.members, -1)).transpose(0, 1).flatten(2)


class StackedDropout(nn.Module):
    """Dropout with draws of each member's own: `name` them before each step."""

    def __init__(self, members: int, rate: float) -> None:
        super().__init__()
        self.members, self.rate = members, rate
        self.generators: list[torch.Generator] = []

    def forward(self, x: Tensor) -> Tensor:
        """Maps or vectors."""
        if not self.training or not self.rate:
            return x
        vectors = x.dim() == 3
        shape = x.shape[1:] if vectors else (x.shape[0], x.shape[1] // self.members, *x.shape[2:])
        kept = [torch.rand(shape, generator=one, device=one.device) >= self.rate for one in self.generators]
        mask = torch.stack(kept) if vectors else torch.cat(kept, 1)
        return x * mask / (1 - self.rate)
