"""Shapes, pads, counts and receptive fields of layers, in whole-number arithmetic.

Everything that plans, builds or explains a network takes its geometry from here, so that a figure shown
before training is the figure of the network that is trained. Paddings are TensorFlow's:
https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
"""

from collections.abc import Sequence
from dataclasses import dataclass

Pads = tuple[int, int]
"""How many pixels are added (before, after) along one axis."""

Window = int | tuple[int, int]
"""The side of a square window, or (1, width) of one that slides along a sequence; strides alike."""


def is_sequence(input_shape: Sequence[int]) -> bool:
    """Whether an input (C, H, W) is a sequence: of token numbers, of which there are C, at W places."""
    _, height, width = input_shape
    return height == 1 and width > 1


def along(window: Window) -> int:
    """The side of a window, or its stride, along the axes on which it slides."""
    return window if isinstance(window, int) else window[1]


def sides(window: Window) -> tuple[int, int]:
    """The sides of a window, or its strides: (vertical, horizontal)."""
    return (window, window) if isinstance(window, int) else window


def window_text(window: Window) -> str:
    """A window in a message: 3x3, or 1x3 where it slides along a sequence."""
    return f"{window}x{window}" if isinstance(window, int) else f"1x{window[1]}"


def area_text(window: Window) -> str:
    """How many places a window has, as a formula has it: 3*3, or 3."""
    return f"{window}*{window}" if isinstance(window, int) else f"{window[1]}"


def _area(window: Window) -> int:
    return window * window if isinstance(window, int) else window[1]


def output_size(size: int, kernel: int, stride: int, padding: str) -> int:
    """Outputs along one axis of `size` inputs; 0 or less where a valid window does not fit.

    same: ceil(size / stride); valid: ceil((size - kernel + 1) / stride).
    """
    span = size if padding == "same" else size - kernel + 1
    return -(-span // stride)


def pads(size: int, kernel: int, stride: int, padding: str) -> Pads:
    """Pixels added (before, after) along one axis; the odd one goes after, at the bottom right."""
    if padding == "valid":
        return 0, 0
    total = max((output_size(size, kernel, stride, "same") - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def conv_params(filters: int, kernel: Window, depth_in: int) -> int:
    """Weights and biases of a convolution: per filter one weight per pixel and channel seen, and a bias."""
    return filters * (_area(kernel) * depth_in + 1)


def locally_connected_params(positions: int, filters: int, kernel: Window, depth_in: int) -> int:
    """Weights and biases of unshared filters: those of a convolution once more at every output position."""
    return positions * conv_params(filters, kernel, depth_in)


def conv_macs(positions: int, filters: int, kernel: Window, depth_in: int) -> int:
    """Multiply-accumulates of a convolution for one example, shared filters or not, without biases."""
    return positions * filters * _area(kernel) * depth_in


def dense_params(units: int, inputs: int) -> int:
    """Weights and biases of a dense layer."""
    return units * (inputs + 1)


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a feature map see of the input, in input pixels (Araujo et al. 2019, distill.pub).

    Unit i along an axis sees the pixels start + i * jump ... start + i * jump + size - 1, some of which may
    lie outside of the image. Windows are square, so `size` and `jump` hold for both axes; `starts` is
    (vertical, horizontal), as pads can differ where the input is not square. Of a sequence, they are places
    along it.
    """

    size: int = 1
    jump: int = 1
    starts: tuple[int, int] = (0, 0)

    def through(self, kernel: Window, stride: Window, pads_hw: tuple[Pads, Pads]) -> "ReceptiveField":
        """The field behind one more window of `kernel` pixels."""
        (top, _), (left, _) = pads_hw
        return ReceptiveField(
            size=self.size + (along(kernel) - 1) * self.jump,
            jump=self.jump * along(stride),
            starts=(self.starts[0] - top * self.jump, self.starts[1] - left * self.jump),
        )

    def extent(self, map_hw: tuple[int, int], image_hw: tuple[int, int]) -> int:
        """Pixels of the image seen by all units of a map together, along the axis where that is more."""
        return max(
            min(start + (units - 1) * self.jump + self.size, size) - max(start, 0)
            for start, units, size in zip(self.starts, map_hw, image_hw, strict=True)
        )
