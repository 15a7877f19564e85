"""timm's models beside our own."""

import pytest
import torch

from pipeline.architecture import Timm, advice, build, plan
from pipeline.errors import InputError


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224", "poolformer_s12"])
def test_plan_and_model_agree(name):
    planned = plan(Timm(name=name), (1, 32, 32), 7)
    network = build(Timm(name=name), (1, 32, 32), 7)
    assert network.plan == planned
    assert sum(p.numel() for p in network.parameters()) == planned.params
    assert network.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert planned.output_shape == (7,)
    assert advice(planned) == []


def test_a_stem_for_small_input_keeps_the_image_s_size_and_the_weights_shapes():
    plain = plan(Timm(name="resnet18"), (3, 32, 32), 10)
    small = plan(Timm(name="resnet18", small_input=True), (3, 32, 32), 10)
    assert small.layers[0].output_shape == (64, 32, 32)
    assert plain.layers[0].output_shape == (64, 16, 16)
    assert [x.name for x in small.layers] == [x.name for x in plain.layers if x.name != "maxpool"]
    assert small.params == plain.params == 11_181_642  # torchvision's 11,689,512 with 10 classes in place of 1000
    assert small.stages[1] == ("layer1",)


def test_patches_shrink_with_the_input():
    planned = plan(Timm(name="vit_tiny_patch16_224", small_input=True), (3, 32, 32), 10)
    assert next(x for x in planned.layers if x.name == "patch_embed").output_shape == (256, 192)


@pytest.mark.parametrize(
    ("timm", "message"),
    [
        (Timm(name="resnet81"), r"architecture\.name=resnet81: timm .* has no such model\. Did you mean 'resnet\d+'"),
        (Timm(name="hf-hub:who/what"), r"architecture\.name=hf-hub:who/what: timm .* has no such model"),
        (Timm(name="vgg11", small_input=True), r"does not take a 3x8x8 input: layer .* Use data\.size=32\."),
    ],
)
def test_refusals_are_the_same_for_plan_and_build(timm, message):
    with pytest.raises(InputError, match=message) as planned:
        plan(timm, (3, 8, 8), 10)
    with pytest.raises(InputError) as built:
        build(timm, (3, 8, 8), 10)
    assert str(built.value) == str(planned.value)
