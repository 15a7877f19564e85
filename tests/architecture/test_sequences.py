"""Networks on sequences of tokens: embedded, with windows that slide along them, in one dimension."""

from itertools import pairwise
from math import prod

import pytest
import torch
from architecture_presets import preset
from hypothesis import given, settings
from hypothesis import strategies as st
from test_network import LISTS, SECTIONS, outputs_of, plan_or_message
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from pipeline import key
from pipeline.architecture import Cnn, Mlp, TextCnn, advice, build, plan
from pipeline.architecture.network import example
from pipeline.errors import InputError
from pipeline.plan import layers_table

SHAPES = st.tuples(st.integers(1, 30), st.just(1), st.integers(2, 40))
MLPS = st.fixed_dictionaries(
    {
        "type": st.just("mlp"),
        "hidden": st.lists(st.integers(1, 5), max_size=2),
        "norm": st.booleans(),
        "embedding": st.one_of(st.none(), st.integers(1, 9)),
    }
)
TEXT_CNNS = st.fixed_dictionaries(
    {
        "type": st.just("text_cnn"),
        "embedding": st.integers(1, 9),
        "widths": st.lists(st.integers(1, 11), min_size=1, max_size=4),
        "filters": st.integers(1, 5),
        "activation": st.sampled_from(["relu", "gelu", "tanh", "none"]),
        "padding": st.sampled_from(["same", "valid"]),
        "dropout": st.sampled_from([0.0, 0.5]),
    }
)
EMBEDDED = LISTS.map(lambda layers: [{"embedding": {"size": 3}}, *layers])


def tokens(shape: tuple[int, int, int], batch: int = 4) -> Tensor:
    return torch.randint(0, shape[0], (batch, 1, *shape[1:]), dtype=torch.int32)


@settings(max_examples=60, deadline=None)
@given(spec=st.one_of(EMBEDDED, SECTIONS, MLPS, TEXT_CNNS), shape=SHAPES)
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
        assert sum(p.numel() for p in child.parameters()) == layer.params == eval(layer.formula or "0")
        assert len(layer.output_shape) == 1 or layer.output_shape[1] == 1
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(example(planned))
    if not any(layer.type == "locally_connected" for layer in planned.layers):  # whose products count their biases
        assert counter.get_total_flops() == 2 * planned.macs


def test_a_cnn_by_hand():
    """20 tokens of 50, embedded in 64 numbers: 3*64 and 3*4 weights to a filter, and half the places after a pool."""
    planned = plan({"filters": [4, 8]}, (50, 1, 20), 3)
    found = [(x.name, x.output_shape, x.formula, x.params, x.macs, x.receptive_field, x.jump) for x in planned.layers]
    assert found == [
        ("embedding", (64, 1, 20), "50*64", 3200, 0, 1, 1),
        ("block1_conv1", (4, 1, 20), "4*(3*64+1)", 772, 20 * 4 * 192, 3, 1),
        ("block1_activation1", (4, 1, 20), "", 0, 0, 3, 1),
        ("block1_pool1", (4, 1, 10), "", 0, 0, 4, 2),
        ("block2_conv1", (8, 1, 10), "8*(3*4+1)", 104, 10 * 8 * 12, 8, 2),
        ("block2_activation1", (8, 1, 10), "", 0, 0, 8, 2),
        ("block2_pool1", (8, 1, 5), "", 0, 0, 10, 4),
        ("head_flatten", (40,), "", 0, 0, 10, None),
        ("head_classes", (3,), "3*(40+1)", 123, 120, 20, None),
    ]
    assert planned.stages[0] == ("embedding", "block1_conv1", "block1_activation1", "block1_pool1")
    assert planned.layers[1].to_dict()["options"] == {
        "filters": 4, "kernel_size": [1, 3], "stride": [1, 1], "padding": "same", "pads": [[0, 0], [1, 1]]
    }  # fmt: skip


def test_filters_that_are_not_shared_and_those_of_one_channel_by_hand():
    layers = [{"embedding": 2}, {"locally_connected": {"filters": 3, "padding": "valid"}}, {"depthwise": {}}]
    _, local, depthwise = plan(layers, (9, 1, 6), None).layers
    assert (local.formula, local.params, local.macs) == ("4*3*(3*2+1)", 84, 72)
    assert (depthwise.formula, depthwise.params, depthwise.macs) == ("3*(3+1)", 12, 36)


def test_kim_s_network_by_hand():
    planned = plan(preset("text_cnn"), (10_000, 1, 200), 2)
    found = [(layer.name, layer.output_shape, layer.params, layer.macs, layer.stage) for layer in planned.layers]
    assert found == [
        ("embedding", (128, 1, 200), 1_280_000, 0, 0),
        ("widths", (300,), 38_500 + 51_300 + 64_100, 100 * 128 * (3 * 198 + 4 * 197 + 5 * 196), 1),
        ("head_dropout", (300,), 0, 0, 2),
        ("head_classes", (2,), 602, 600, 2),
    ]
    assert planned.params == 1_434_502  # as its header says
    assert planned.layers[1].formula == "100*((3+4+5)*128+3)"
    assert planned.layers[1].receptive_field == 200


def test_a_list_can_say_the_same():
    widths = {"widths": [3, 4, 5], "filters": 100}
    layers = [{"embedding": 128}, {"widths": widths}, {"flatten": {}}, {"dropout": 0.5}, {"dense": {}}]
    listed, section = plan(layers, (50, 1, 20), 2), plan(TextCnn(), (50, 1, 20), 2)
    assert (listed.params, listed.macs) == (section.params, section.macs)
    assert [layer.stage for layer in listed.layers] == [0, 1, 2, 2, 2]


def test_memory_counts_tokens_and_not_what_they_stand_for():
    planned = plan([{"embedding": 4}, {"conv": {"filters": 2}}], (1000, 1, 8), None)
    assert planned.activation_bytes(batch_size=10) == 10 * 4 * (8 + 4 * 8 + 2 * 8)
    # 6 and 5 places of each of 3 filters, once more behind their activation, and what is kept of each
    layers = [{"embedding": 4}, {"widths": {"widths": [3, 4], "filters": 3}}]
    assert plan(layers, (1000, 1, 8), None).activation_bytes(1) == 4 * (8 + 32 + 2 * 3 * 11 + 6)


def test_padding_is_zero_and_learns_nothing():
    torch.manual_seed(0)
    network = build({"filters": [4], "embedding": 3}, (7, 1, 6), 2)
    table = network.embedding.weight
    assert not table[0].any()
    sequence = torch.tensor([[[[5, 2, 2, 0, 0, 0]]]], dtype=torch.int32)
    vectors = network.embedding(sequence)
    assert vectors.shape == (1, 3, 1, 6)
    assert torch.equal(vectors[0, :, 0].T, table[[5, 2, 2, 0, 0, 0]])
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    before = table.detach().clone()
    F.cross_entropy(network(sequence), torch.tensor([1])).backward()
    optimizer.step()
    assert not table[0].any()
    assert [bool((table[i] != before[i]).any()) for i in (2, 5)] == [True, True]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (2, 1), (3, 1), (3, 2), (4, 3), (5, 2)])
def test_numbers_are_those_of_torch_s_layers_in_one_dimension(kernel, stride, padding):
    window = {"kernel_size": kernel, "stride": stride, "padding": padding}
    pool = {"size": 2, "stride": 2, "padding": padding}
    layers = [
        {"embedding": 5},
        {"conv": {"filters": 6, **window}},
        {"norm": {}},
        {"activation": "relu"},
        {"pool": pool},
        {"conv": {"filters": 4, **window}},
        {"pool": {"type": "avg", "size": 2, "stride": 1}},
        {"flatten": {}},
        {"dense": {"units": 3}},
    ]
    shape = (11, 1, 61)
    network = build(layers, shape, None)
    given_ = tokens(shape)

    def padded(x_NCT: Tensor, size: int, by: int, value: float = 0.0) -> Tensor:
        """TensorFlow's: so many that ceil(T / by) windows fit, the odd one after."""
        places = x_NCT.shape[2]
        total = max((-(-places // by) - 1) * by + size - places, 0) if padding == "same" else 0
        return F.pad(x_NCT, (total // 2, total - total // 2), value=value)

    def conv(x_NCT: Tensor, of: nn.Module) -> Tensor:
        one = nn.Conv1d(x_NCT.shape[1], len(of.weight), kernel, stride)
        one.load_state_dict({"weight": of.weight.squeeze(2), "bias": of.bias})
        return one(padded(x_NCT, kernel, stride))

    x_NCT = network.embedding1.weight[given_[:, 0, 0].long()].transpose(1, 2)
    x_NCT = conv(x_NCT, network.conv1)
    x_NCT = nn.BatchNorm1d(6)(x_NCT).relu()
    x_NCT = nn.MaxPool1d(2, 2)(padded(x_NCT, 2, 2, float("-inf")))
    x_NCT = nn.AvgPool1d(2, 1)(conv(x_NCT, network.conv2))
    expected = F.linear(x_NCT.flatten(1), network.dense1.weight, network.dense1.bias)
    torch.testing.assert_close(network(given_), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_kim_s_network_is_what_the_paper_says(activation):
    """c = f(w x + b) at each place, the most of it for each filter, all of them into the class layer."""
    shape = (11, 1, 9)
    network = build(TextCnn(embedding=6, widths=[2, 3, 2], filters=4, activation=activation), shape, 3).eval()
    given_ = tokens(shape)
    x_NCT = network.embedding.weight[given_[:, 0, 0].long()].transpose(1, 2)
    found = []
    for width, conv in zip([2, 3, 2], network.widths.of_width, strict=True):
        windows = x_NCT.unfold(2, width, 1)  # [N, C, places, width]
        c = torch.einsum("ncpw,fcw->nfp", windows, conv.weight.squeeze(2)) + conv.bias[:, None]
        found.append(getattr(F, activation)(c).max(2).values)
    expected = network.head_classes(torch.cat(found, 1))
    torch.testing.assert_close(network(given_), expected, atol=1e-5, rtol=1e-5)


def test_receptive_field_and_jump_are_those_of_the_gradient():
    network = build(
        Cnn(filters=[2, 2], kernel_size=4, padding="valid", pool="avg", activation="none"), (9, 1, 60), 2
    ).double()
    layers, layers_of = network.plan.layers, list(network.eval())
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.01)
    for count, layer in enumerate(layers, start=1):
        if layer.jump is None:
            break
        seen = []
        for unit in (3, 4):
            vectors = torch.rand(1, 64, 1, 60, dtype=torch.float64, requires_grad=True)
            nn.Sequential(*layers_of[1:count])(vectors)[0, :, 0, unit].sum().backward()
            seen.append(vectors.grad[0, :, 0].abs().sum(0).nonzero().flatten().tolist())
        assert [len(places) for places in seen] == [layer.receptive_field] * 2, layer.name
        assert {after[0] - before[0] for before, after in pairwise(seen)} == {layer.jump}


def test_a_map_of_an_image_that_shrank_to_height_1_is_no_sequence():
    planned = plan([{"pool": {}}, {"conv": {"filters": 3}}], (2, 2, 16), None)
    assert planned.layers[0].output_shape == (2, 1, 8)
    assert (planned.layers[1].formula, planned.layers[1].options["kernel_size"]) == ("3*(3*3*2+1)", 3)


def test_a_size_of_embedding_that_is_not_given_leaves_keys_as_they_were():
    for section in (Cnn(), Mlp()):
        assert "embedding" not in key.deciding(section)
        assert key.deciding(type(section)(embedding=64))["embedding"] == 64
    assert plan(Cnn(), (50, 1, 20), 3) == plan(Cnn(embedding=64), (50, 1, 20), 3)


def test_widths_are_matched_to_the_cost_of_another_network_on_the_same_text():
    spec = {"type": "mlp", "hidden": [8], "match": "params", "match_reference": {"type": "text_cnn"}}
    match = plan(spec, (50, 1, 20), 3).match
    assert match is not None
    assert match.matched
    assert match.target == 50 * 128 + 100 * (12 * 128 + 3) + 3 * 301


def test_guidelines_are_told_in_one_dimension():
    def told(spec: object, shape: tuple[int, int, int] = (50, 1, 32)) -> list[tuple[str, str]]:
        return [(one["layer"], one["advice"]) for one in advice(plan(spec, shape, 10))]

    assert told(Cnn()) == told(preset("text_cnn"), (50, 1, 200)) == told(Mlp(), (50, 1, 200)) == []
    assert told(Cnn(filters=[8]), (50, 1, 200)) == [("input", "use a power of two in place of 200 tokens")]
    assert told(Cnn(filters=[8], kernel_size=7)) == [("block1_conv1", "use a kernel of 1x2 to 1x5 in place of 1x7")]
    assert told(Cnn(filters=[8], pool_size=3)) == [("block1_pool1", "pool 1x2 at stride 2 in place of 1x3 at 2")]
    assert told(Cnn(filters=[8, 8])) == [("block2_conv1", "use more than the 8 filters of block1_conv1")]
    assert told(Cnn(filters=[8], pool="none")) == [("block1_activation1", "reduce length on the way to the head")]


def test_the_table_says_what_the_input_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    planned = plan(preset("text_cnn"), (10_000, 1, 200), 2)
    memory = {"batch_size": 32, "activation_bytes": planned.activation_bytes(32)}
    layers_table({**planned.to_dict(), "memory": memory, "advice": []})
    out = capsys.readouterr().out
    assert "input 200 tokens of a vocabulary of 10,000\n" in out
    assert "1,434,502 parameters, 30,234,200 MACs for one text" in out
    assert "100*((3+4+5)*128+3)" in out


VALID = {"padding": "valid", "kernel_size": 6}
TEXT = (9, 1, 10)
REFUSED = [
    # what is asked for, the input, and the message in full or in part
    ({"kernel_size": 11}, TEXT, "architecture.kernel_size=11: is larger than the 1x10 input. Use a kernel_size of at "
                                "most 10, or a larger data.size."),
    (VALID, (9, 1, 20), "architecture.kernel_size=6: layer block3_conv1 gets a 1x1 input, and a valid 1x6 kernel needs "
                        "at least 1x6. Use architecture.padding=same, a kernel_size of at most 2, at most 2 blocks in "
                        "architecture.filters, or data.size=64."),
    ({}, (9, 1, 4), "architecture.pool_size=2: layer block3_pool1 gets a 1x1 input, and a valid 1x2 pool needs"),
    ([{"embedding": 3}, {"conv": {"filters": 3, "kernel_size": 11, "padding": "valid"}}], TEXT,
     "needs at least 1x11. Use padding: same, a kernel_size of at most 10, or a larger data.size."),
    ({"type": "text_cnn"}, (9, 1, 4), "architecture.widths[2]=5: layer widths gets a 1x4 input, and a valid 1x5 kernel "
                                      "needs at least 1x5. Use widths of at most 4 or data.size=8."),
    ({"type": "text_cnn", "widths": [3, 11], "padding": "same"}, TEXT,
     "architecture.widths[1]=11: is larger than the 1x10 input. Use widths of at most 10, or data.size=16."),
    ({"type": "text_cnn"}, (1, 28, 28), "architecture.type=text_cnn: is for text, and the input is a 1x28x28 image. "
                                        "Use architecture=cnn."),
    ({"type": "text_cnn", "widths": []}, TEXT, "architecture.widths=[]: must be a list of whole numbers, as [3,4,5]."),
    ({"type": "text_cnn", "widths": [3, 12]}, TEXT, "architecture.widths[1]=12: must lie between 1 and 11."),
    ({"type": "text_cnn", "filters": [100]}, TEXT, "architecture.filters=[100]: must be a whole number."),
    ({"type": "text_cnn", "embedding": 0}, TEXT, "architecture.embedding=0: must be at least 1."),
    ({"type": "text_cnn", "padding": "sane"}, TEXT, "architecture.padding=sane: must be one of same, valid."),
    ({"type": "text_cnn", "activation": "rely"}, TEXT, "Did you mean 'relu'?"),
    ({"type": "text_cnn", "dropout": 1}, TEXT, "architecture.dropout=1: must be a number of at least 0 and below 1."),
    ({"type": "text_cnn", "kernel_size": 3}, TEXT, "architecture.kernel_size=3: no such key."),
    ({"type": "timm"}, TEXT, "architecture.name=resnet18: timm's models are for images, and the input is text: "
                             "10 tokens of 9. Use architecture=text_cnn, cnn or mlp."),
    ({"embedding": 3}, (1, 28, 28), "architecture.embedding=3: has no effect on a 1x28x28 image"),
    ({"type": "mlp", "embedding": 3}, (1, 28, 28), "architecture.embedding=3: has no effect on a 1x28x28 image"),
    ({"embedding": 0}, TEXT, "architecture.embedding=0: must be at least 1."),
    ({"embedding": 3, "layers": [{"gap": {}}]}, TEXT, "architecture.embedding=3: has no effect beside"),
    ([{"conv": {"filters": 3}}], TEXT, "architecture.layers[0].conv: gets 10 tokens of 9, and takes a map. Put "
                                       "{embedding: {size: 64}} before it."),
    ([{"embedding": 3}, {"embedding": 3}], TEXT, "architecture.layers[1].embedding: an embedding takes tokens, so it"),
    ([{"embedding": 3}], (1, 8, 8), "architecture.layers[0].embedding: layer embedding1 takes a sequence of tokens"),
    ([{"widths": {"filters": 3}}], (1, 8, 8), "architecture.layers[0].widths: layer widths1 goes along a sequence"),
    ([{"embedding": 3}, {"widths": {"filters": 3, "widths": [2, 11]}}], TEXT,
     "architecture.layers[1].widths.widths[1]=11: layer widths1 gets a 1x10 input"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "shape", "message"), REFUSED)
def test_refusals_name_the_key_and_are_the_same_for_plan_and_build(spec, shape, message):
    with pytest.raises(InputError) as planned:
        plan(spec, shape, 10)
    with pytest.raises(InputError) as built:
        build(spec, shape, 10)
    assert message in str(planned.value)
    assert str(built.value) == str(planned.value)


def test_what_a_refusal_proposes_does_fit():
    for changes in ({"padding": "same"}, {"kernel_size": 2}, {"filters": [8, 8]}):
        plan({**VALID, **changes}, (9, 1, 20), 10)
    plan(VALID, (9, 1, 64), 10)
    plan({"type": "text_cnn", "widths": [3, 4]}, (9, 1, 4), 10)
    plan({"type": "text_cnn"}, (9, 1, 8), 10)
    plan({"type": "text_cnn", "padding": "same"}, (9, 1, 5), 10)


def test_an_example_is_what_the_network_takes():
    network = build({"filters": [4]}, TEXT, 3)
    given_ = example(network.plan, batch=2)
    assert (given_.dtype, tuple(given_.shape)) == (torch.int32, (2, *network.plan.given_shape))
    assert prod(network.plan.given_shape) == 10
    assert network(given_).shape == (2, 3)
