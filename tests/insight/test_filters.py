"""The first filters, and the images that excite the last ones."""

import numpy as np
import torch
from insight.networks import GAP, classifier

from pipeline.insight import figures, outputs
from pipeline.insight.filters import exciting, first_filters


def test_filters_are_shown_on_one_scale_about_grey():
    module = classifier(GAP, (1, 4, 4), conv1_weight=[2, -1])
    assert first_filters(module)[:, 0, 0, 0].tolist() == [1, 0.25]
    assert first_filters(classifier({"type": "mlp"}, (1, 4, 4))) is None


def test_the_images_that_excite_a_filter_and_where():
    """Filter 0 answers to light, filter 1 to dark."""
    module = classifier(GAP, (1, 2, 2), conv1_weight=[1, -1], conv1_bias=[0, 0])
    images = np.array([[[10, 0], [0, 0]], [[200, 200], [50, 200]], [[90, 90], [90, 255]]], np.uint8)[..., None]
    found = exciting(module, images, most=2)
    assert found.images.tolist() == [[2, 1], [0, 1]]
    assert found.peaks[0].tolist() == [[0.75, 0.75], [0.25, 0.25]]
    assert found.peaks[1, 1].tolist() == [0.75, 0.25]


def test_maps_layer_by_layer_in_the_order_they_ran():
    module = classifier({"block": "CAP", "filters": [3, 4]}, (1, 8, 8))
    found = outputs(module, torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    assert [(name, tuple(one.shape[1:])) for name, one in found.items()] == [
        ("block1_conv1", (3, 8, 8)),
        ("block1_activation1", (3, 8, 8)),
        ("block1_pool1", (3, 4, 4)),
        ("block2_conv1", (4, 4, 4)),
        ("block2_activation1", (4, 4, 4)),
        ("block2_pool1", (4, 2, 2)),
    ]


def test_figures_of_each_kind_of_network():
    """That there is something on them is looked at; here, that every network has its own, or none."""
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    x_BCHW = torch.from_numpy(images).permute(0, 3, 1, 2)
    for spec in ({"block": "CAP", "filters": [4], "head": "gap"}, {"block": "CAP", "filters": [4]}, {"type": "mlp"}):
        module = classifier(spec, (3, 8, 8))
        figure, said = figures.maps(module, x_BCHW[:2], torch.tensor([0, 1]), ["a", "$b_"], ["one", "two"])
        assert len(figure.axes) == 10
        assert all("nan" not in one for one in said)
        has_maps = spec.get("type") != "mlp"
        for drawn in (
            figures.exciting(module, images),
            figures.layers(module, x_BCHW[0]),
            figures.first_filters(module),
        ):
            assert (drawn is not None) == has_maps
