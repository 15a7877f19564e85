"""Networks that are built against the plans that foretold them."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from architecture_presets import FOR_IMAGES, preset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.architecture import Cnn, Plan, build, plan
from pipeline.architecture.network import example
from pipeline.errors import InputError

WINDOW = {"kernel_size": st.integers(1, 7), "stride": st.integers(1, 3), "padding": st.sampled_from(["same", "valid"])}
LAYER = st.one_of(
    st.fixed_dictionaries({"conv": st.fixed_dictionaries({"filters": st.integers(1, 4), **WINDOW})}),
    st.fixed_dictionaries({"depthwise": st.fixed_dictionaries(WINDOW)}),
    st.fixed_dictionaries({"locally_connected": st.fixed_dictionaries({"filters": st.integers(1, 3), **WINDOW})}),
    st.builds(
        lambda kind, size, stride, padding: {
            "pool": {"type": kind, "size": size, "stride": stride, "padding": padding}
        },
        st.sampled_from(["max", "avg"]),
        *WINDOW.values(),
    ),
    st.sampled_from(["relu", "leaky_relu", "gelu", "tanh", "sigmoid"]).map(lambda name: {"activation": name}),
    st.just({"norm": {}}),
    st.just({"dropout": 0.3}),
)
HEAD = st.sampled_from([[], [{"flatten": {}}], [{"gap": {}}], [{"flatten": {}}, {"dense": {"units": 3}}]])
LISTS = st.builds(lambda body, head: body + head, st.lists(LAYER, min_size=1, max_size=5), HEAD)
SECTIONS = st.fixed_dictionaries(
    {
        "block": st.text("CNAPDW", min_size=1, max_size=5),
        "filters": st.lists(st.integers(0, 4), max_size=3),
        "kernel_size": st.integers(0, 12),
        "stride": st.integers(1, 2),
        "padding": st.sampled_from(["same", "valid"]),
        "pool": st.sampled_from(["max", "avg", "conv", "none"]),
        "pool_size": st.integers(1, 3),
        "pool_stride": st.one_of(st.none(), st.integers(1, 3)),
        "pool_padding": st.sampled_from(["same", "valid"]),
        "head": st.sampled_from(["flatten", "gap"]),
        "dense": st.lists(st.integers(1, 5), max_size=2),
        "head_dropout": st.sampled_from([0.0, 0.2]),
        "weight_sharing": st.booleans(),
    }
)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))


def outputs_of(network: nn.Module, planned: Plan) -> list[tuple[int, ...]]:
    """The shape that every planned layer really gives for a batch of two, without the batch."""
    shapes = []
    handles = [
        network.get_submodule(layer.name).register_forward_hook(lambda m, x, y: shapes.append(tuple(y.shape[1:])))
        for layer in planned.layers
    ]
    with torch.no_grad():
        network.eval()(example(planned, batch=2))
    for handle in handles:
        handle.remove()
    return shapes


def plan_or_message(function: Callable, spec: object, shape: tuple[int, int, int]) -> object:
    """What `plan` or `build` gives, or the message with which it refuses."""
    try:
        return function(spec, shape, 4)
    except InputError as problem:
        return str(problem)


@settings(max_examples=150, deadline=None)
@given(spec=st.one_of(LISTS, SECTIONS), shape=SHAPES)
def test_plan_and_build_agree_or_refuse_alike(spec, shape):
    planned = plan_or_message(plan, spec, shape)
    if isinstance(planned, str):
        assert plan_or_message(build, spec, shape) == planned
        return
    network = build(spec, shape, 4)
    assert network.plan == planned
    assert [name for name, _ in network.named_children()] == [layer.name for layer in planned.layers]
    assert outputs_of(network, planned) == [layer.output_shape for layer in planned.layers]
    for layer, child in zip(planned.layers, network.children(), strict=True):
        assert sum(p.numel() for p in child.parameters()) == layer.params


@pytest.mark.parametrize("name", FOR_IMAGES)
def test_macs_are_half_of_what_torch_counts(name):
    section = preset(name)
    network = build(section, (3, 32, 32), 10).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = network(torch.zeros(1, 3, 32, 32))
    assert logits.shape == (1, 10)
    assert counter.get_total_flops() == 2 * network.plan.macs
    assert sum(p.numel() for p in network.parameters()) == network.plan.params


def footprint(network: nn.Sequential, layers: int, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of the pixels on which a unit amid the output of the first `layers` layers depends."""
    image = torch.rand(1, *shape, dtype=torch.float64, requires_grad=True)
    output = network[:layers](image)
    middle = (0, slice(None), *(size // 2 for size in output.shape[2:]))
    output[middle].sum().backward()
    seen = image.grad[0].abs().sum(0) > 0
    return int(seen.any(1).sum()), int(seen.any(0).sum())


def smooth(network: nn.Module) -> nn.Sequential:
    """The network with positive weights, averages for maxima and no activations: every path carries gradient."""
    layers = []
    for layer in network.double().children():
        if isinstance(layer, nn.MaxPool2d):
            layer = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
        elif isinstance(layer, nn.ReLU | nn.Tanh | nn.Dropout):
            layer = nn.Identity()
        for parameter in layer.parameters():
            nn.init.constant_(parameter, 0.01)
        layers.append(layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("name", ["cnn", "lenet5", "vgg_small", "all_conv", "locally_connected"])
def test_receptive_field_is_the_footprint_of_the_gradient(name):
    # Large enough for the field of a unit in the middle; unshared filters would hold too many weights there.
    side = 40 if name == "locally_connected" else 96
    narrow = {} if name == "all_conv" else {"filters": [2] * len(preset(name).filters)}
    network = build(preset(name, **narrow), (1, side, side), 10)
    planned, stack = network.plan, smooth(network)
    for count, layer in enumerate(planned.layers, start=1):
        if layer.type in ("conv", "locally_connected", "max_pool", "avg_pool", "gap", "dense"):
            assert footprint(stack, count, planned.input_shape) == (layer.receptive_field,) * 2, layer.name


def test_jump_is_the_shift_of_the_footprint():
    network = build(Cnn(filters=[1, 1], padding="valid", kernel_size=4), (1, 40, 40), 10)
    stack, layers = smooth(network), network.plan.layers
    for count, layer in enumerate(layers, start=1):
        if layer.jump is None:
            break
        starts = []
        for unit in (1, 2, 3):
            image = torch.rand(1, 1, 40, 40, dtype=torch.float64, requires_grad=True)
            stack[:count](image)[0, 0, unit, unit].backward()
            starts.append(int(image.grad[0, 0].abs().sum(1).nonzero()[0]))
        assert {after - before for before, after in pairwise(starts)} == {layer.jump}


@pytest.mark.parametrize("name", [name for name in FOR_IMAGES if name != "timm"])
def test_presets_learn_a_step(name):
    torch.manual_seed(0)
    network = build(preset(name), (1, 32, 32), 10).to(memory_format=torch.channels_last)
    images = torch.randn(4, 1, 32, 32).to(memory_format=torch.channels_last)
    loss = nn.functional.cross_entropy(network(images), torch.arange(4))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_weights_follow_the_seed():
    def weights() -> list[torch.Tensor]:
        torch.manual_seed(3)
        return list(build(Cnn(filters=[4], weight_sharing=False), (1, 8, 8), 10).parameters())

    assert all(torch.equal(one, two) for one, two in zip(weights(), weights(), strict=True))


def test_building_leaves_the_mode_and_the_statistics_alone():
    network = build(Cnn(block="CNAP", filters=[4]), (1, 8, 8), 10)
    assert network.training
    assert int(network.get_submodule("block1_norm1").num_batches_tracked) == 0
