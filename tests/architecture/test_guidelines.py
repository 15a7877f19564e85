"""Advice where a network leaves the notes' rules, and none where it keeps to them."""

import pytest
from architecture_presets import preset

from pipeline.architecture import Cnn, advice, plan

SHAPE = (3, 32, 32)


def told(cnn: Cnn, shape: tuple[int, int, int] = SHAPE) -> list[tuple[str, str]]:
    return [(one["layer"], one["advice"]) for one in advice(plan(cnn, shape, 10))]


@pytest.mark.parametrize("cnn", [Cnn(), preset("vgg_small"), Cnn(kernel_size=2), Cnn(kernel_size=5, head="gap")])
def test_networks_within_the_rules_get_no_advice(cnn):
    assert told(cnn) == []


@pytest.mark.parametrize(
    ("cnn", "expected"),
    [
        (Cnn(filters=[8], kernel_size=7), ("block1_conv1", "use a kernel of 2x2 to 5x5 in place of 7x7")),
        (Cnn(filters=[8], kernel_size=1), ("block1_conv1", "use a kernel of 2x2 to 5x5 in place of 1x1")),
        (Cnn(filters=[8], stride=2), ("block1_conv1", "use stride 1 in place of 2, and pool afterwards")),
        (Cnn(filters=[8], padding="valid"), ("block1_conv1", "use padding same in place of valid")),
        (Cnn(filters=[8], activation="tanh"), ("block1_activation1", "use relu in place of tanh")),
        (Cnn(filters=[8], pool="avg"), ("block1_pool1", "use max pooling in place of average")),
        (Cnn(filters=[8], pool_size=3), ("block1_pool1", "pool 2x2 at stride 2 in place of 3x3 at 2")),
        (Cnn(filters=[8, 8]), ("block2_conv1", "use more than the 8 filters of block1_conv1")),
        (Cnn(filters=[8, 4]), ("block2_conv1", "use more than the 8 filters of block1_conv1")),
        (Cnn(block="CACACAP", filters=[8]), ("block1_conv3", "pool after every one or two convolutions")),
        (Cnn(block="CCAP", filters=[8]), ("block1_conv1", "put a relu after it")),
    ],
)
def test_each_rule_that_is_left_is_named_alone(cnn, expected):
    assert told(cnn) == [expected]


def test_a_network_that_keeps_height_and_width():
    layer, text = told(Cnn(filters=[8], pool="none"))[0]
    assert (layer, text) == ("block1_activation1", "reduce height and width on the way to the head")


def test_input_that_is_not_square_or_no_power_of_two():
    assert told(Cnn(filters=[8]), (1, 28, 32)) == [
        ("input", "make the 28x32 input square"),
        ("input", "use a power of two in place of 28x32"),
    ]


def test_an_activation_on_the_logits():
    layers = [{"conv": {"filters": 4}}, {"pool": {}}, {"gap": {}}, {"dense": {}}, {"activation": "relu"}]
    found = advice(plan(layers, SHAPE, 10))
    assert {"layer": "activation1", "advice": "leave the output without an activation"}.items() <= found[-1].items()
    assert all(one["reason"] for one in found)
