"""A kind of layer from its entry in KINDS to what is said of it, by the example of one: depthwise."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.architecture import advice, build, plan
from pipeline.architecture.kinds import KINDS
from pipeline.errors import InputError


def test_a_kind_is_listed_planned_and_built_as_planned():
    spec = [{"conv": {"filters": 6}}, {"depthwise": {"kernel_size": 4, "stride": 2}}, {"gap": {}}, {"dense": {}}]
    planned = plan(spec, (3, 9, 7), 10)
    layer = planned.layers[1]
    assert (layer.name, layer.output_shape, layer.params, layer.macs) == ("depthwise1", (6, 5, 4), 102, 1920)
    assert (layer.receptive_field, layer.jump, layer.stage) == (6, 2, 1)
    network = build(spec, (3, 9, 7), 10)  # asserts parameters and shapes of every layer
    assert network(torch.rand(2, 3, 9, 7)).shape == (2, 10)


def test_its_letter_stands_in_blocks_and_its_refusals_say_what_would_fit():
    spec = {"block": "CWAP", "filters": [4, 8], "padding": "valid"}
    planned = plan(spec, (1, 28, 28), 10)
    assert [layer.name for layer in planned.layers if layer.stage == 1] == [
        "block2_conv1", "block2_depthwise1", "block2_activation1", "block2_pool1"
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"architecture\.kernel_size=3: layer block2_depthwise1 gets a 2x2 .* Use "):
        plan(spec, (1, 12, 12), 10)
    with pytest.raises(InputError, match="Letters are C conv, N norm, A activation, P pool, D dropout, W depthwise"):
        plan({"block": "CX"}, (1, 28, 28), 10)
    with pytest.raises(InputError, match=r"layers\[0\]\.depthwise\.filters=3: no such option.* are kernel_size"):
        plan([{"depthwise": {"filters": 3}}], (1, 28, 28), None)


def test_the_guidelines_know_it_by_its_family():
    said = advice(plan([{"depthwise": {"kernel_size": 7}}, {"conv": {"filters": 2}}], (1, 8, 8), None))
    assert ["depthwise1", "put a relu after it"] in [[one["layer"], one["advice"]] for one in said]
    assert ["depthwise1", "use a kernel of 2x2 to 5x5 in place of 7x7"] in [[x["layer"], x["advice"]] for x in said]


def test_no_guideline_asks_a_depthwise_layer_for_more_filters_or_says_that_it_mixes_channels():
    separable = [{"depthwise": {}}, {"activation": "relu"}, {"conv": {"filters": 8, "kernel_size": 3}}]
    stages = [{"conv": {"filters": 4}}, {"activation": "relu"}, {"pool": {}}, *separable, {"activation": "relu"}]
    head = [{"pool": {}}, {"gap": {}}, {"dense": {}}]
    assert advice(plan([*stages, *head], (1, 8, 8), 10)) == []
    (said,) = advice(plan([{"depthwise": {"kernel_size": 1}}, {"pool": {}}], (2, 8, 8), None))
    assert said["reason"] == "a 1x1 kernel scales each channel and sees no pattern in space"


def test_a_block_without_shared_weights_has_no_depthwise_layer():
    for do in (plan, build):
        with pytest.raises(InputError, match=r"architecture\.weight_sharing=false: .* W \(depthwise\)"):
            do({"block": "CWA", "weight_sharing": False}, (1, 8, 8), 10)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_each_channel_is_a_convolution_of_its_own(kernel, stride, padding):
    options = {"kernel_size": kernel, "stride": stride, "padding": padding}
    depthwise = build([{"depthwise": options}], (3, 9, 7), None)
    conv = build([{"conv": {"filters": 1, **options}}], (1, 9, 7), None)
    images = torch.randn(4, 3, 9, 7)
    outputs = depthwise(images)
    for channel in range(3):
        with torch.no_grad():
            conv.conv1.weight.copy_(depthwise.depthwise1.weight[channel : channel + 1])
            conv.conv1.bias.copy_(depthwise.depthwise1.bias[channel : channel + 1])
        alone = conv(images[:, channel : channel + 1])
        torch.testing.assert_close(outputs[:, channel : channel + 1], alone, atol=1e-5, rtol=1e-5)


def test_parameters_and_multiply_accumulates_by_hand():
    """6 channels of 5x4 outputs, 4x4 weights and a bias each."""
    network = build([{"conv": {"filters": 6}}, {"depthwise": {"kernel_size": 4, "stride": 2}}], (3, 9, 7), None)
    layer = network.plan.layers[1]
    assert (layer.formula, layer.params, layer.macs) == ("6*(4*4+1)", 6 * 17, 6 * 20 * 16)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 9, 7))
    assert counter.get_total_flops() == 2 * network.plan.macs


def test_what_a_kind_says_of_itself_holds():
    for name, kind in KINDS.items():
        assert not kind.shorthand or kind.shorthand in kind.options, name
        assert bool(kind.letter) == (kind.spell is not None), name
    types = [layer_type for kind in KINDS.values() for layer_type in kind.types]
    assert len(types) == len(set(types))
    assert isinstance(build([{"activation": "gelu"}], (1, 2, 2), None)[0], nn.GELU)
