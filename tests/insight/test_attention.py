"""Maps of what spoke for a class, against numbers worked by hand."""

import pytest
import torch
from insight.networks import FLAT, GAP, classifier
from torch.nn import functional as F

from pipeline.errors import InputError
from pipeline.insight import class_maps, last_map

# Pixels of 0, 1 and 2 (of 255, which the weights of 255 undo).
IMAGE = torch.tensor([[0, 1], [2, 1]], dtype=torch.uint8)[None, None]


def by_means():
    """Filters that double and negate a pixel; class 0 reads 1 and 1 of their means, class 1 reads -1 and 3."""
    return classifier(
        GAP, (1, 2, 2), conv1_weight=[510, -255], conv1_bias=[0, 1], dense1_weight=[1, 1, -1, 3], dense1_bias=[5, 7]
    )


def names(module):
    return {name for name, _ in module.network.named_parameters()}


def test_a_class_activation_map_is_the_class_layer_at_each_place():
    module = by_means()
    assert names(module) == {"conv1.weight", "conv1.bias", "dense1.weight", "dense1.bias"}
    # 2p and 1 - p: for class 0 their sum, 1 + p; for class 1 -2p + 3 - 3p.
    found = class_maps(module, IMAGE.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    assert (found.method, found.layer) == ("cam", "conv1")
    expected = torch.tensor([[[1.0, 2], [3, 2]], [[3, -2], [-7, -2]]])
    torch.testing.assert_close(found.values, expected)  # -2.0000002 on some CPUs


def test_its_mean_and_the_bias_are_the_logit():
    module = classifier({"block": "CAPCA", "filters": [5, 6], "head": "gap"}, (3, 12, 12), 4)
    x_BCHW = torch.randint(0, 256, (7, 3, 12, 12), dtype=torch.uint8)
    for kind in range(4):
        found = class_maps(module, x_BCHW, torch.full((7,), kind))
        assert found.method == "cam"
        bias = module.network[-1].bias[kind]
        assert torch.allclose(found.values.mean((1, 2)) + bias, module(x_BCHW)[:, kind], atol=1e-5)


def test_grad_cam_of_a_gap_head_is_what_of_its_map_is_above_0():
    module = by_means()
    found = class_maps(module, IMAGE, torch.tensor([1]), "grad_cam")
    assert found.method == "grad_cam"
    # Class 1 less the mean of both reads -1 and 1, so -2p + 1 - p; a fourth of it, as logits are means of 4.
    assert found.values.tolist() == [[[0.25, 0], [0, 0]]]


def test_grad_cam_behind_flatten_weighs_a_filter_by_its_mean_slope():
    module = classifier(FLAT, (1, 2, 2), conv1_weight=[255], conv1_bias=[0], dense1_weight=[1, 2, 3, 6, 0, 0, -4, 0])
    found = class_maps(module, IMAGE.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    assert found.method == "grad_cam"
    assert found.values[0].tolist() == [[0, 2], [4, 2]]  # mean slope 3, 1 above that of both classes, times the pixel
    assert found.values[1].tolist() == [[0, 0], [0, 0]]  # mean slope -1: nothing speaks for it
    assert found.silent().tolist() == [False, True]


def test_what_all_logits_have_in_common_changes_no_grad_cam():
    """The answers are the same, so the maps are: a network whose logits all fall is not silent about each."""
    maps = [
        class_maps(
            classifier(FLAT, (1, 2, 2), conv1_weight=[255], conv1_bias=[0], dense1_weight=weights),
            IMAGE.repeat(2, 1, 1, 1),
            torch.tensor([0, 1]),
        ).values
        for weights in ([1, 2, 3, 6, 0, 0, -4, 0], [one - 50 for one in [1, 2, 3, 6, 0, 0, -4, 0]])
    ]
    assert torch.equal(*maps)


def test_a_frozen_network_has_maps_as_well():
    module = by_means()
    free = class_maps(module, IMAGE, torch.tensor([0]), "grad_cam").values
    module.network.requires_grad_(False)
    assert torch.equal(class_maps(module, IMAGE, torch.tensor([0]), "grad_cam").values, free)


def test_no_map_no_gradient():
    module = classifier({"type": "mlp", "hidden": [5]}, (1, 4, 4))
    x_BCHW = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    assert last_map(module, x_BCHW) is None
    assert class_maps(module, x_BCHW, torch.tensor([0, 1])).method == "occlusion"
    with pytest.raises(InputError, match=r"method=grad_cam: no layer of this network has places.*occlusion"):
        class_maps(module, x_BCHW, torch.tensor([0, 1]), "grad_cam")


def test_a_method_that_does_not_fit_or_does_not_exist_is_told():
    module = classifier(FLAT, (1, 2, 2))
    with pytest.raises(InputError, match=r"method=cam: the class layer.*grad_cam or occlusion"):
        class_maps(module, IMAGE, torch.tensor([0]), "cam")
    with pytest.raises(InputError, match=r"gradcam.*grad_cam"):
        class_maps(module, IMAGE, torch.tensor([0]), "gradcam")


def test_covering_finds_the_pixel_that_is_read():
    """Class 0 reads the pixel at (1, 2) of 8x8 alone."""
    weights = torch.zeros(2, 64)
    weights[0, 8 + 2] = 1.0
    flat = {"layers": [{"flatten": {}}, {"dense": {}}]}
    module = classifier(flat, (1, 8, 8), dense1_weight=weights.tolist(), dense1_bias=[0, 0])
    x_BCHW = torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)
    found = class_maps(module, x_BCHW, torch.tensor([0]), "occlusion").values[0]
    # Squares of 2 pixels, by 1: those that cover it lie within a pixel of it.
    drop = F.softmax(torch.tensor([1.0, 0.0]), 0)[0] - 0.5
    assert found[1, 2] == pytest.approx(drop.item())
    assert (found[:3, 1:4] > 0).all()
    assert found[3:].abs().max() == 0
    assert found[:, 4:].abs().max() == 0


def test_a_map_lies_where_its_units_look():
    """Without padding, windows of 5 and of 3 leave a map of 6x6, whose middles are pixels 3 to 8 of 12."""
    spec = {"layers": [{"conv": {"filters": 1, "kernel_size": k, "padding": "valid"}} for k in (5, 3)]}
    spec["layers"] += [{"gap": {}}, {"dense": {}}]
    module = classifier(
        spec, (1, 12, 12), conv1_weight=[0] * 12 + [255] + [0] * 12, conv2_weight=[0] * 4 + [1] + [0] * 4,
        conv1_bias=[0], conv2_bias=[0], dense1_weight=[1, -1], dense1_bias=[0, 0],
    )  # fmt: skip
    image = torch.zeros(1, 1, 12, 12, dtype=torch.uint8)
    image[0, 0, 4, 7] = 1
    drawn = class_maps(module, image, torch.tensor([0])).upsampled(12)[0]
    expected = torch.zeros(12, 12)
    expected[4, 7] = 1
    assert torch.allclose(drawn, expected, atol=1e-6)
    image[0, 0, 4, 8] = 3  # the outermost unit's goes on to the edge
    drawn = class_maps(module, image, torch.tensor([0])).upsampled(12)[0]
    assert drawn[4].tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 3, 3], abs=1e-5)
    assert drawn[:4].abs().max() == drawn[5:].abs().max() == 0
    coarse = class_maps(module, image, torch.tensor([0])).upsampled(6)[0]  # pixels 0.5, 2.5, ... of 12
    assert coarse[2].tolist() == pytest.approx([0, 0, 0, 0.25, 1.5, 1.5], abs=1e-5)


def test_with_same_padding_units_look_at_even_shares_of_the_image():
    module = classifier({"block": "CAP", "filters": [3, 4], "head": "gap"}, (1, 16, 16))
    found = class_maps(module, torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8), torch.tensor([0, 1, 1]))
    evenly = F.interpolate(found.values[:, None], (16, 16), mode="bilinear", align_corners=False)[:, 0]
    assert found.values.shape == (3, 4, 4)
    assert torch.allclose(found.upsampled(16), evenly, atol=1e-6)


def test_covering_does_not_change_the_images():
    module = classifier(GAP, (1, 4, 4))
    x_BCHW = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    before = x_BCHW.clone()
    class_maps(module, x_BCHW, torch.tensor([0, 1]), "occlusion")
    assert torch.equal(x_BCHW, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side", "layer", "method"),
    [
        ("resnet18", 64, "layer4", "cam"),
        ("mobilenetv2_100", 64, "bn2", "cam"),
        ("vgg11", 64, "", "grad_cam"),
        ("swin_tiny_patch4_window7_224", 224, "", "cam"),
        ("vit_tiny_patch16_224", 64, "", "occlusion"),
    ],
)
def test_timms_models(name, side, layer, method):
    module = classifier({"type": "timm", "name": name}, (3, side, side), 3)
    x_BCHW = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    found = class_maps(module, x_BCHW, torch.tensor([0, 2]))
    assert found.method == method
    assert found.layer.startswith(layer)
    if method == "cam":
        bias = [one for one in module.network.modules() if isinstance(one, torch.nn.Linear)][-1].bias[[0, 2]]
        logits = module(x_BCHW).gather(1, torch.tensor([[0], [2]]))[:, 0]
        assert torch.allclose(found.values.mean((1, 2)) + bias, logits, atol=1e-3)
