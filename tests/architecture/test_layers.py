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


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 5), (3, 9), (1, 1)])
def test_a_grid_is_adaptive_average_pooling(height: int, width: int):
    x = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    squares = (min(4, height), min(4, width))
    network = build([{"grid": {}}], (3, height, width), None).double()
    expected = F.adaptive_avg_pool2d(x, squares).flatten(1)
    assert torch.allclose(network(x), expected)
    weights = torch.randn_like(expected)
    [ours] = torch.autograd.grad((network(x) * weights).sum(), x)
    [theirs] = torch.autograd.grad((expected * weights).sum(), x)
    assert torch.allclose(ours, theirs)


@pytest.mark.parametrize("pool", [{}, {"size": 3, "stride": 2}, {"size": 3, "stride": 2, "padding": "same"}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_max_pool_may_go_before_its_relu(pool: dict, dtype: torch.dtype):
    """In training it does, which is as good to the last bit; in evaluation each layer is where it was planned."""
    torch.manual_seed(0)
    layers = [
        {"conv": {"filters": 4}},
        {"activation": "relu"},
        {"pool": pool},
        {"flatten": {}},
        {"dense": {"units": 5}},
    ]
    network = build(layers, (1, 9, 9), None).to(dtype)
    x = torch.randn(6, 1, 9, 9, dtype=dtype)
    x[0], x[1, 0, 2, 3] = 0, float("nan")  # ties at 0, and what is no number
    found = []
    for in_order in (True, False):
        network.zero_grad()
        network.train()
        y = x
        for layer in network if in_order else [network]:
            y = layer(y)
        y.nan_to_num().square().sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in network.parameters())])
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(*found, strict=True))
    seen = []
    network.eval()
    for name in ("activation1", "pool1"):
        network.get_submodule(name).register_forward_hook(lambda m, i, o: seen.append(tuple(o.shape)))
    network(x)
    assert seen[0] == (6, 4, 9, 9)
