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
SEQUENCES = json.loads(gzip.decompress((HERE / "keras_sequences.json.gz").read_bytes()))
OUTPUTS = dict(np.load(HERE / "keras_outputs.npz"))
SEQUENCE_OUTPUTS = dict(np.load(HERE / "keras_sequence_outputs.npz"))
WINDOWS = sorted(name.removeprefix("conv_") for name in OUTPUTS if name.startswith("conv_"))


def test_there_is_enough_to_compare_with():
    assert len(STACKS) == len(SEQUENCES) == 300
    assert len(WINDOWS) == 90
    assert sum(name.startswith(("conv_", "max_", "avg_")) for name in SEQUENCE_OUTPUTS) == 3 * 90


@pytest.mark.parametrize("cases", [STACKS, SEQUENCES], ids=["images", "sequences"])
def test_300_stacks_have_keras_s_shapes_and_parameters(cases):
    for case in cases:
        planned = plan(case["layers"], case["input_shape"], None)
        assert [list(layer.output_shape) for layer in planned.layers] == case["output_shapes"]
        assert [layer.params for layer in planned.layers] == case["params"]
        assert planned.params == sum(case["params"])


@pytest.mark.parametrize("cases", [STACKS, SEQUENCES[:60]], ids=["images", "sequences"])
def test_stacks_are_built_as_keras_builds_them(cases):
    for case in cases:
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


def test_windows_along_a_sequence_give_what_tensorflow_s_give():
    """The vectors of SIZE tokens are those of x_SIZE: the embedding's table is set to them."""
    for window in WINDOWS:
        size, kernel, stride = (int(number) for number in window.split("_")[:3])
        options = {"stride": stride, "padding": window.split("_")[3]}
        for kind in ("conv", "max", "avg"):
            if kind == "conv":
                layer = {"conv": {"filters": 3, "kernel_size": kernel, **options}}
            else:
                layer = {"pool": {"type": kind, "size": kernel, **options}}
            network = build([{"embedding": 2}, layer], (size + 1, 1, size), None)
            with torch.no_grad():
                network.embedding1.weight[1:] = torch.from_numpy(SEQUENCE_OUTPUTS[f"x_{size}"][0])
                if kind == "conv":
                    weight = torch.from_numpy(SEQUENCE_OUTPUTS[f"w_{kernel}"]).permute(2, 1, 0)
                    network.conv1.weight.copy_(weight.unsqueeze(2))
                    network.conv1.bias.copy_(torch.from_numpy(SEQUENCE_OUTPUTS["b"]))
                found = network(torch.arange(1, size + 1, dtype=torch.int32).view(1, 1, 1, size))
            expected = torch.from_numpy(SEQUENCE_OUTPUTS[f"{kind}_{window}"]).permute(0, 2, 1).unsqueeze(2)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
