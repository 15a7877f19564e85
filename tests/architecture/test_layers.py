"""Layers that torch lacks, against those that it has."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.architecture import build

ACTIVATIONS = {
    "relu": lambda x: x.clamp(min=0),
    "leaky_relu": lambda x: torch.where(x < 0, 0.01 * x, x),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
}


def pair(kernel: int, stride: int, padding: str) -> tuple[nn.Module, nn.Module]:
    """A convolution of 3 maps to 5 and a locally connected layer with the same weights at every position."""
    options = {"filters": 5, "kernel_size": kernel, "stride": stride, "padding": padding}
    conv = build([{"conv": options}], (3, 9, 7), None)
    local = build([{"locally_connected": options}], (3, 9, 7), None)
    weight_FK = conv.conv1.weight.flatten(1)
    with torch.no_grad():
        local.locally_connected1.weight.copy_(weight_FK.T)
        local.locally_connected1.bias.copy_(conv.conv1.bias)
    return conv, local


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_tied_locally_connected_filters_are_a_convolution(kernel, stride, padding):
    conv, local = pair(kernel, stride, padding)
    images = torch.randn(4, 3, 9, 7)
    torch.testing.assert_close(local(images), conv(images), atol=1e-5, rtol=1e-5)


def test_locally_connected_gradients_sum_to_the_convolution_s():
    conv, local = pair(3, 1, "same")
    images = torch.randn(4, 3, 9, 7)
    conv(images).square().sum().backward()
    local(images).square().sum().backward()
    summed = local.locally_connected1.weight.grad.sum(0).T.view_as(conv.conv1.weight)
    torch.testing.assert_close(summed, conv.conv1.weight.grad, atol=1e-3, rtol=1e-4)


def test_locally_connected_reads_any_memory_format_and_runs_in_bfloat16():
    _, local = pair(3, 2, "same")
    images = torch.randn(4, 3, 9, 7)
    expected = local(images)
    torch.testing.assert_close(local(images.to(memory_format=torch.channels_last)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        half = local(images.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)


def test_locally_connected_weights_start_as_a_convolution_s():
    torch.manual_seed(0)
    options = {"filters": 64, "kernel_size": 3}
    conv = build([{"conv": options}], (16, 8, 8), None).conv1
    local = build([{"locally_connected": options}], (16, 8, 8), None).locally_connected1
    for shared, own in zip(conv.parameters(), local.parameters(), strict=True):
        assert float(own.detach().std()) == pytest.approx(float(shared.detach().std()), rel=0.15)
        assert float(own.detach().abs().max()) <= 1 / (16 * 9) ** 0.5


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_what_their_names_say(name):
    values = torch.linspace(-3, 3, 50).view(1, 2, 5, 5)
    torch.testing.assert_close(build([{"activation": name}], (2, 5, 5), None)(values), ACTIVATIONS[name](values))


def test_uneven_max_pool_never_takes_a_pad():
    pool = build([{"pool": {"type": "max", "size": 2, "stride": 1, "padding": "same"}}], (1, 4, 4), None)
    images = -torch.rand(1, 1, 4, 4) - 1
    assert float(pool(images).detach().max()) < 0
    assert torch.equal(pool(images)[..., -1, -1], images[..., -1, -1])


def test_uneven_avg_pool_leaves_pads_out_of_the_mean_in_bfloat16_too():
    pool = build([{"pool": {"type": "avg", "size": 2, "stride": 1, "padding": "same"}}], (1, 4, 4), None)
    for dtype in (torch.float32, torch.bfloat16):
        images = torch.full((1, 1, 4, 4), 3.0, dtype=dtype)
        assert torch.equal(pool(images), images)


def test_gap_is_the_mean_of_each_map():
    images = torch.randn(2, 3, 4, 5)
    gap = build([{"gap": {}}], (3, 4, 5), None)
    torch.testing.assert_close(gap(images), F.adaptive_avg_pool2d(images, 1).flatten(1))


def test_even_pads_take_torch_s_own_layers():
    """A copy of the maps for padding would cost what the convolution of a thin layer does."""
    options = {"filters": 2, "kernel_size": 3, "padding": "same"}
    assert type(build([{"conv": options}], (1, 8, 8), None).conv1) is nn.Conv2d
