"""What a newcomer adds for a kind of layer: its own module, here this one, and its entry in KINDS."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pipeline.architecture import advice, build, plan
from pipeline.architecture.kinds import KINDS
from pipeline.architecture.kinds.kind import Kind
from pipeline.architecture.kinds.window import CONV_OPTIONS, slide
from pipeline.architecture.layers import UnevenConv2d
from pipeline.errors import InputError

WINDOW = ("kernel_size", "stride", "padding")


def place(entry, before):
    channels, _, _ = before.map_for(entry)
    layer = slide(entry, before, "depthwise_conv", "kernel_size", channels)
    weights = layer.options["kernel_size"] ** 2
    macs = weights * layer.values
    return replace(layer, params=channels * (weights + 1), macs=macs, formula=f"{channels}*({weights}+1)")


def module(layer, input_shape):
    kernel, stride, pads = (layer.options[key] for key in ("kernel_size", "stride", "pads"))
    return UnevenConv2d(input_shape[0], input_shape[0], kernel, stride, pads, groups=input_shape[0])


DEPTHWISE = Kind(
    types=("depthwise_conv",),
    options={name: CONV_OPTIONS[name] for name in WINDOW},
    place=place,
    module=module,
    letter="W",
    spell=lambda section, filters: [("depthwise", {name: getattr(section, name) for name in WINDOW})],
    family="conv",
)


@pytest.fixture(autouse=True)
def depthwise(monkeypatch):
    monkeypatch.setitem(KINDS, "depthwise", DEPTHWISE)


def test_a_new_kind_is_listed_planned_and_built_as_planned():
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


def test_what_a_kind_says_of_itself_holds():
    for name, kind in KINDS.items():
        assert not kind.shorthand or kind.shorthand in kind.options, name
        assert bool(kind.letter) == (kind.spell is not None), name
    types = [layer_type for kind in KINDS.values() for layer_type in kind.types]
    assert len(types) == len(set(types))
    assert isinstance(build([{"activation": "gelu"}], (1, 2, 2), None)[0], nn.GELU)
