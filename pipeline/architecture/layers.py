"""Layers that torch lacks: TensorFlow's uneven `same` pads, and filters that are not shared between
positions.

Tensors are [N, C, H, W]; pads are ((top, bottom), (left, right)) from `geometry.pads`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.architecture.geometry import Window, sides

Pads = tuple[tuple[int, int], tuple[int, int]]


def are_even(pads: Pads) -> bool:
    """Whether both ends of each axis get the same pad, which torch's layers do without a copy."""
    return all(before == after for before, after in pads)


def pad(x_NCHW: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    """The maps with `value` around them."""
    (top, bottom), (left, right) = pads
    return F.pad(x_NCHW, (left, right, top, bottom), value=value)


def convolution(
    depth_in: int,
    filters: int,
    kernel: Window,
    stride: Window,
    pads: Pads,
    groups: int = 1,
    even: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Conv2d:
    """A convolution with these zero pads, of the class `even` where they are the same at both ends of an axis."""
    if not are_even(pads):
        return UnevenConv2d(depth_in, filters, kernel, stride, pads, groups)
    (top, _), (left, _) = pads
    return even(depth_in, filters, kernel, stride, padding=(top, left), groups=groups)


class UnevenConv2d(nn.Conv2d):
    """A convolution whose zero pads differ between the ends of an axis."""

    def __init__(
        self, depth_in: int, filters: int, kernel: Window, stride: Window, pads: Pads, groups: int = 1
    ) -> None:
        super().__init__(depth_in, filters, kernel, stride, groups=groups)
        self.pads = pads

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, filters, H', W']."""
        return super().forward(pad(x_NCHW, self.pads))

    def extra_repr(self) -> str:
        """As shown by print(network)."""
        return f"{super().extra_repr()}, pads={self.pads}"


class UnevenMaxPool2d(nn.MaxPool2d):
    """Max pooling whose pads differ between the ends of an axis; they are -inf, so never the maximum."""

    def __init__(self, kernel: Window, stride: Window, pads: Pads) -> None:
        super().__init__(kernel, stride)
        self.pads = pads

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H', W']."""
        return super().forward(pad(x_NCHW, self.pads, -math.inf))


class UnevenAvgPool2d(nn.AvgPool2d):
    """Average pooling whose pads differ between the ends of an axis; pads are left out of the mean."""

    def __init__(self, kernel: Window, stride: Window, pads: Pads) -> None:
        # Sums of the zero-padded windows, divided by how many real pixels each of them holds.
        super().__init__(kernel, stride, divisor_override=1)
        self.pads = pads

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H', W']."""
        sums = super().forward(pad(x_NCHW, self.pads))
        counts = super().forward(pad(torch.ones_like(x_NCHW[:1, :1]), self.pads))
        return sums / counts


class Embedding(nn.Embedding):
    """For each number of a token the vector that is learned for it; that of 0, padding, stays zero.

    Vectors begin in U(-0.25, 0.25), as Kim's do (2014): from torch's N(0, 1), steps are too small to move them, and
    rt_polarity got 0.69 in place of 0.76.
    """

    def __init__(self, tokens: int, size: int) -> None:
        super().__init__(tokens, size, padding_idx=0)

    def reset_parameters(self) -> None:
        """Draw the vectors."""
        nn.init.uniform_(self.weight, -0.25, 0.25)
        self._fill_padding_idx_with_zero()

    def forward(self, x_N11T: Tensor) -> Tensor:
        """Whole numbers [N, 1, 1, T] -> [N, size, 1, T], whose channels lie last in memory."""
        return super().forward(x_N11T[:, 0]).permute(0, 3, 1, 2)


class Widths(nn.Module):
    """Filters of several widths side by side, and of each the most that it finds anywhere along the sequence."""

    def __init__(self, depth_in: int, filters: int, widths: list[tuple[int, Pads]], activation: nn.Module) -> None:
        super().__init__()
        self.of_width = nn.ModuleList(convolution(depth_in, filters, (1, width), 1, pads) for width, pads in widths)
        self.activation = activation

    def forward(self, x_NC1T: Tensor) -> Tensor:
        """[N, C, 1, T] -> [N, widths * filters]."""
        return torch.cat([self.activation(conv(x_NC1T)).amax(dim=(2, 3)) for conv in self.of_width], 1)


class GlobalAveragePool(nn.Module):
    """The mean of each map."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C]."""
        return x_NCHW.mean(dim=(2, 3))


class Grid(nn.Module):
    """The mean of each map in each of `squares` [rows, columns], as adaptive average pooling has them, in a vector.

    By two matrix products: torch's own has no deterministic gradient on a GPU.
    """

    def __init__(self, squares: tuple[int, int]) -> None:
        super().__init__()
        self.squares = squares

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C * rows * columns]."""
        rows, columns = (_means(n, parts, x_NCHW) for n, parts in zip(x_NCHW.shape[2:], self.squares, strict=True))
        return (rows @ x_NCHW @ columns.T).flatten(1)

    def extra_repr(self) -> str:
        """As shown by print(network)."""
        return f"squares={self.squares}"


def _means(n: int, parts: int, like: Tensor) -> Tensor:
    """[parts, n]: row i holds the weights of the mean over the i-th of so many nearly equal parts of n places."""
    rows = torch.zeros(parts, n, dtype=like.dtype, device=like.device)
    for i in range(parts):
        start, end = i * n // parts, -(-(i + 1) * n // parts)
        rows[i, start:end] = 1 / (end - start)
    return rows


class LocallyConnected2d(nn.Module):
    """A convolution without weight sharing: every output position has filters and biases of its own.

    `weight` is [L, K, filters] and `bias` [L, filters], for L = H' * W' positions in row order and windows of
    K = C * kernel * kernel values in the order of a convolution's weight. Windows are copied once and
    multiplied by one batched matrix product over the positions, so cost grows as the convolution's and a step
    is bound by reading the weights. Initial weights follow torch's rule for a convolution of the same fan-in,
    K.
    """

    def __init__(
        self, depth_in: int, filters: int, kernel: Window, stride: Window, pads: Pads, output_hw: tuple[int, int]
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.pads, self.output_hw = kernel, stride, pads, output_hw
        positions, fan_in = output_hw[0] * output_hw[1], depth_in * math.prod(sides(kernel))
        self.weight = nn.Parameter(torch.empty(positions, fan_in, filters))
        self.bias = nn.Parameter(torch.empty(positions, filters))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as nn.Conv2d does."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, filters, H', W'], a view whose positions come first in memory."""
        height, width = self.output_hw
        # Positions first, so that windows are copied once, in long runs, straight into the batched product's
        # layout: half the time of F.unfold with a transposed product, in float32 and in bfloat16.
        x_HWNC = pad(x_NCHW, self.pads).permute(2, 3, 0, 1).contiguous()
        (rows, columns), (by, across) = sides(self.kernel), sides(self.stride)
        down, right = by * (height - 1) + 1, across * (width - 1) + 1
        shifted = [x_HWNC[i : i + down : by, j : j + right : across] for i in range(rows) for j in range(columns)]
        windows_LNK = torch.stack(shifted, dim=-1).view(height * width, len(x_NCHW), -1)
        outputs_LNF = torch.baddbmm(self.bias.unsqueeze(1), windows_LNK, self.weight)
        return outputs_LNF.unflatten(0, (height, width)).permute(2, 3, 0, 1)

    def extra_repr(self) -> str:
        """As shown by print(network)."""
        positions, fan_in, filters = self.weight.shape
        return f"{positions} positions, {fan_in} -> {filters}, kernel={self.kernel}, stride={self.stride}"
