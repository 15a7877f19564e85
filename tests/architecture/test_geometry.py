"""Formulas against numbers worked by hand."""

import pytest

from pipeline.architecture import geometry


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "output", "pads"),
    [
        (28, 3, 1, "same", 28, (1, 1)),
        (28, 2, 1, "same", 28, (0, 1)),  # the odd pixel goes after
        (28, 3, 2, "same", 14, (0, 1)),
        (7, 3, 2, "same", 4, (1, 1)),
        (5, 1, 3, "same", 2, (0, 0)),  # a stride beyond the kernel needs no pad
        (28, 5, 1, "valid", 24, (0, 0)),
        (7, 2, 2, "valid", 3, (0, 0)),  # the last row is dropped
        (4, 7, 1, "valid", -2, (0, 0)),  # does not fit
    ],
)
def test_size_and_pads_along_an_axis(size, kernel, stride, padding, output, pads):
    assert geometry.output_size(size, kernel, stride, padding) == output
    assert geometry.pads(size, kernel, stride, padding) == pads


def test_counts_of_parameters():
    assert geometry.conv_params(filters=32, kernel=3, depth_in=1) == 320
    assert geometry.locally_connected_params(positions=4, filters=32, kernel=3, depth_in=1) == 1280
    assert geometry.dense_params(units=10, inputs=84) == 850


def test_receptive_field_of_two_convs_and_a_pool():
    """3x3 conv, 2x2/2 pool, 3x3 conv: 3, then 4 at jump 2, then 4 + 2 * 2 = 8."""
    field = geometry.ReceptiveField()
    sizes = []
    for kernel, stride in [(3, 1), (2, 2), (3, 1)]:
        field = field.through(kernel, stride, ((0, 0), (0, 0)))
        sizes.append((field.size, field.jump))
    assert sizes == [(3, 1), (4, 2), (8, 2)]


def test_extent_stops_at_the_border_of_the_image():
    field = geometry.ReceptiveField(size=5, jump=2, starts=(-2, 0))
    assert field.extent(map_hw=(4, 4), image_hw=(8, 8)) == 8
    assert field.extent(map_hw=(1, 1), image_hw=(8, 8)) == 5
