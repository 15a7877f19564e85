"""Plans against numbers worked by hand, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from architecture_presets import CONV_STACKS, preset

from pipeline.architecture import Cnn, Mlp, build, plan
from pipeline.errors import InputError

CONV = {"conv": {"filters": 8, "kernel_size": 3}}


@pytest.mark.parametrize(
    ("name", "shape", "params", "macs"),
    [
        ("lenet5", (1, 32, 32), 61_706, 416_520),
        ("lenet5", (1, 28, 28), 44_426, 281_640),
        ("cnn", (1, 28, 28), 104_202, 7_462_656),
        ("mlp", (1, 28, 28), 235_146, 234_752),
        ("locally_connected", (1, 28, 28), 7_506_570, 7_462_656),
        ("vgg_small", (1, 28, 28), 584_170, 29_424_640),
        ("all_conv", (1, 28, 28), 152_906, 23_909_504),
    ],
)
def test_presets_cost_what_their_headers_say(name, shape, params, macs):
    planned = plan(preset(name), shape, 10)
    assert (planned.params, planned.macs) == (params, macs)


def test_lenet5_layer_by_layer():
    """The table of LeCun et al. 1998 with plain pooling and full connections."""
    layers = plan(preset("lenet5"), (1, 32, 32), 10).layers
    weighted = [(layer.name, layer.output_shape, layer.formula, layer.params) for layer in layers if layer.params]
    assert weighted == [
        ("block1_conv1", (6, 28, 28), "6*(5*5*1+1)", 156),
        ("block2_conv1", (16, 10, 10), "16*(5*5*6+1)", 2416),
        ("head_dense1", (120,), "120*(400+1)", 48_120),
        ("head_dense2", (84,), "84*(120+1)", 10_164),
        ("head_classes", (10,), "10*(84+1)", 850),
    ]


@pytest.mark.parametrize("name", [*CONV_STACKS, "mlp"])
def test_formulas_are_the_parameters(name):
    for layer in plan(preset(name), (3, 32, 32), 7).layers:
        assert eval(layer.formula or "0") == layer.params


def test_a_block_string_is_read_letter_by_letter():
    cnn = Cnn(block="CNAPDCPA", filters=[4, 8], dropout=0.1, dense=[16], head="gap", head_dropout=0.2)
    planned = plan(cnn, (3, 32, 32), 5)
    assert [layer.name for layer in planned.layers if layer.stage == 0] == [
        "block1_conv1",
        "block1_norm1",
        "block1_activation1",
        "block1_pool1",
        "block1_dropout1",
        "block1_conv2",
        "block1_pool2",
        "block1_activation2",
    ]
    assert planned.stages[2] == (
        "head_gap",
        "head_dropout1",
        "head_dense1",
        "head_activation1",
        "head_dropout2",
        "head_classes",
    )
    assert planned.output_shape == (5,)


def test_left_out_activation_pool_and_class_layer():
    planned = plan(Cnn(activation="none", pool="none", filters=[4]), (1, 8, 8), None)
    assert [layer.type for layer in planned.layers] == ["conv", "flatten"]


def test_a_strided_conv_in_place_of_a_pool():
    planned = plan(Cnn(pool="conv", filters=[4]), (1, 8, 8), 10)
    assert [layer.type for layer in planned.layers] == ["conv", "relu", "conv", "relu", "flatten", "dense"]
    assert planned.layers[2].output_shape == (4, 4, 4)


def test_stages_of_a_list_open_at_each_conv_and_at_the_head():
    pool = {"pool": {"type": "max", "size": 2}}
    planned = plan(
        [{"norm": None}, CONV, {"activation": "relu"}, CONV, pool, {"flatten": {}}, {"dense": {}}], (1, 8, 8), 3
    )
    assert [layer.stage for layer in planned.layers] == [0, 0, 0, 1, 1, 2, 2]
    assert planned.layers[-1].output_shape == (3,)


def test_the_document_is_json():
    document = plan(Cnn(), (1, 28, 28), 10).to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["total"] == {"params": 104_202, "macs": 7_462_656}
    first = document["layers"][0]
    assert (first["name"], first["output_shape"], first["params"]) == ("block1_conv1", [32, 28, 28], 320)


def test_activation_memory_of_one_layer():
    planned = plan([{"conv": {"filters": 2, "kernel_size": 1}}], (1, 4, 4), None)
    assert planned.activation_bytes(batch_size=10, bytes_per_value=2) == 10 * 2 * (16 + 32)


def test_a_section_is_a_dict_or_a_dataclass():
    assert plan({"filters": [4]}, (1, 8, 8), 10) == plan(Cnn(filters=[4]), [1, 8, 8], 10)
    assert plan({"type": "mlp"}, (1, 8, 8), 10) == plan(Mlp(), (1, 8, 8), 10)


def test_planning_imports_no_torch():
    code = (
        "import sys, pipeline.architecture as a; "
        "a.plan({'match': 'params', 'match_reference': {'kernel_size': 5}}, (1, 28, 28), 10); "
        "a.advice(a.plan({'type': 'mlp'}, (1, 28, 28), 10)); "
        "assert not {'torch', 'numpy', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


VALID = {"kernel_size": 7, "padding": "valid"}
REFUSED = [
    # what is asked for, the input, and the message in full or in part
    ({"kernel_size": 0}, (1, 8, 8), "architecture.kernel_size=0: must lie between 1 and 11."),
    ({"kernel_sise": 3}, (1, 8, 8), "architecture.kernel_sise=3: no such key. Did you mean 'kernel_size'?"),
    ({"padding": "sane"}, (1, 8, 8), "architecture.padding=sane: must be one of same, valid. Did you mean 'same'?"),
    ({"block": "CXP"}, (1, 8, 8), "architecture.block=CXP: unknown letter 'X'. Letters are C conv, N norm"),
    ({"block": "cap"}, (1, 8, 8), "Did you mean CAP?"),
    ({"block": "AP"}, (1, 8, 8), "must have at least one C"),
    ({"filters": []}, (1, 8, 8), "architecture.filters=[]"),
    ({"filters": [8, 0]}, (1, 8, 8), "architecture.filters[1]=0: must be at least 1."),
    ({"filters": "8"}, (1, 8, 8), "architecture.filters=8: must be a list of whole numbers"),
    ({"stride": 1.5}, (1, 8, 8), "architecture.stride=1.5: must be a whole number."),
    ({"dropout": 0.5}, (1, 8, 8), "architecture.dropout=0.5: has no effect"),
    ({"head_dropout": 1.0}, (1, 8, 8), "architecture.head_dropout=1.0: must be a number of at least 0 and below 1."),
    ({"weight_sharing": "no"}, (1, 8, 8), "architecture.weight_sharing=no: must be true or false."),
    ({"type": "cmn"}, (1, 8, 8), "architecture.type=cmn: must be one of cnn, mlp, text_cnn, timm. Did you mean 'cnn'?"),
    ({"match": "params"}, (1, 8, 8), "architecture.match=params needs the keys"),
    ({"layers": [CONV], "kernel_size": 5}, (1, 8, 8), "architecture.kernel_size=5: has no effect beside"),
    ({"layers": [CONV]}, (1, 8, 8), "architecture.layers[0]: the last layer gives 8x8x8, and the data has 10 classes."),
    (
        {"filters": [8, 8, 8], **VALID},
        (1, 28, 28),
        "architecture.kernel_size=7: layer block3_conv1 gets a 2x2 input, and a valid 7x7 kernel needs at least 7x7. "
        "Use architecture.padding=same, a kernel_size of at most 3, at most 2 blocks in architecture.filters, or "
        "data.size=64.",
    ),
    ({}, (1, 4, 4), "architecture.pool_size=2: layer block3_pool1 gets a 1x1 input, and a valid 2x2 pool needs"),
    ({"filters": [10**9]}, (1, 8, 8), "parameters are more than 2,000,000,000."),
    ({"weight_sharing": False}, (3, 4096, 4096), "are in layer block2_locally_connected1."),
    ([], (1, 8, 8), "must be a list of layers"),
    ([{"convv": {}}], (1, 8, 8), "architecture.layers[0].convv: no such layer. Did you mean 'conv'?"),
    ([{"conv": {}}], (1, 8, 8), "architecture.layers[0].conv.filters: must be given."),
    ([{"conv": 8}], (1, 8, 8), "architecture.layers[0].conv=8: must be a dict of options."),
    ([{"conv": {"filters": 8, "kernel": 3}}], (1, 8, 8), "architecture.layers[0].conv.kernel=3: no such option."),
    ([{"pool": {"type": "mux"}}], (1, 8, 8), "architecture.layers[0].pool.type=mux: must be one of max, avg."),
    ([CONV, {"dense": {"units": 3}}], (1, 8, 8), "architecture.layers[1].dense: layer dense1 gets a 8x8x8 map"),
    ([{"gap": {}}, CONV], (1, 8, 8), "architecture.layers[1].conv: layer conv1 gets a vector of 1"),
    (
        [{"conv": {"filters": 8, **VALID}}],
        (1, 4, 4),
        "architecture.layers[0].conv.kernel_size=7: layer conv1 gets a 4x4 input, and a valid 7x7 kernel needs at "
        "least 7x7. Use padding: same, a kernel_size of at most 4, or a larger data.size.",
    ),
    ({}, (28, 28), "input_shape=(28, 28): must be (channels, height, width)."),
    ({}, (1, 0, 28), "input_shape[1]=0: must be at least 1."),
]


@pytest.mark.parametrize(("spec", "shape", "message"), REFUSED)
def test_refusals_name_the_key_and_are_the_same_for_plan_and_build(spec, shape, message):
    with pytest.raises(InputError) as planned:
        plan(spec, shape, 10)
    with pytest.raises(InputError) as built:
        build(spec, shape, 10)
    assert message in str(planned.value)
    assert str(built.value) == str(planned.value)


def test_what_a_refusal_proposes_does_fit():
    refused = Cnn(filters=[8, 8, 8], kernel_size=7, padding="valid")
    for fitting in (
        replace(refused, padding="same"),
        replace(refused, kernel_size=3),
        replace(refused, filters=[8, 8]),
    ):
        plan(fitting, (1, 28, 28), 10)
    plan(refused, (1, 64, 64), 10)
    with pytest.raises(InputError):
        plan(replace(refused, kernel_size=4), (1, 28, 28), 10)


def test_numpy_s_integers_are_integers():
    planned = plan(Cnn(filters=[4]), np.array([1, 8, 8]), np.int64(10))
    assert json.dumps(planned.to_dict()) == json.dumps(plan(Cnn(filters=[4]), (1, 8, 8), 10).to_dict())
