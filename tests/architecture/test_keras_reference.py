"""Shapes, counts and outputs against Keras on TensorFlow (see make_keras_reference.py)."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_network import outputs_of

from pipeline.architecture import build, plan

HERE = Path(__file__).parent
STACKS = json.loads(gzip.decompress((HERE / "keras_reference.json.gz").read_bytes()))
OUTPUTS = dict(np.load(HERE / "keras_outputs.npz"))
WINDOWS = sorted(name.removeprefix("conv_") for name in OUTPUTS if name.startswith("conv_"))


def test_there_is_enough_to_compare_with():
    assert len(STACKS) == 300
    assert len(WINDOWS) == 90


def test_300_stacks_have_keras_s_shapes_and_parameters():
    for case in STACKS:
        planned = plan(case["layers"], case["input_shape"], None)
        assert [list(layer.output_shape) for layer in planned.layers] == case["output_shapes"]
        assert [layer.params for layer in planned.layers] == case["params"]
        assert planned.params == sum(case["params"])


def test_300_stacks_are_built_as_keras_builds_them():
    for case in STACKS:
        network = build(case["layers"], case["input_shape"], None)
        assert [list(shape) for shape in outputs_of(network, network.plan)] == case["output_shapes"]
        assert [sum(p.numel() for p in child.parameters()) for child in network.children()] == case["params"]


@pytest.mark.parametrize("kind", ["conv", "max", "avg"])
@pytest.mark.parametrize("window", WINDOWS)
def test_outputs_are_tensorflow_s(window, kind):
    size, kernel, stride = (int(number) for number in window.split("_")[:3])
    options = {"stride": stride, "padding": window.split("_")[3]}
    if kind == "conv":
        layer = {"conv": {"filters": 3, "kernel_size": kernel, **options}}
    else:
        layer = {"pool": {"type": kind, "size": kernel, **options}}
    network = build([layer], (2, size, size), None)
    if kind == "conv":
        with torch.no_grad():
            network.conv1.weight.copy_(torch.from_numpy(OUTPUTS[f"w_{kernel}"]).permute(3, 2, 0, 1))
            network.conv1.bias.copy_(torch.from_numpy(OUTPUTS["b"]))
    images = torch.from_numpy(OUTPUTS[f"x_{size}"]).permute(0, 3, 1, 2)
    expected = torch.from_numpy(OUTPUTS[f"{kind}_{window}"]).permute(0, 3, 1, 2)
    torch.testing.assert_close(network(images).detach(), expected, atol=1e-5, rtol=1e-5)
