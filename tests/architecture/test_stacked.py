"""Networks side by side: each computes what it computes alone, whoever else is there."""

from typing import Any

import pytest
import torch
from architecture_presets import CONV_STACKS, preset
from torch.nn import functional as F

from pipeline.architecture import build, plan, stackable, stacked
from pipeline.architecture.stacked_layers import StackedDropout, StackedFirstConv2d, StackedFlatten

CLASSES, BATCH, MEMBERS = 10, 13, 8
BASE: dict[str, Any] = {"type": "cnn", "filters": [8, 16]}
LAYERS = [
    {"conv": {"filters": 16}},
    {"norm": {}},
    {"activation": "leaky_relu"},
    {"depthwise": {"kernel_size": 3}},
    {"gap": {}},
    {"norm": {}},
    {"dense": 20},
    {"dropout": 0.2},
    {"dense": {}},
]
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "notes": (BASE, (1, 16, 16)),
    "odd channels, batch norm": ({**BASE, "filters": [6, 11], "block": "CNAP"}, (3, 12, 12)),
    "batch norm over all": ({**BASE, "filters": [16, 32], "block": "CNAP"}, (3, 12, 12)),
    "valid": ({**BASE, "kernel_size": 5, "padding": "valid", "block": "CACAP"}, (1, 32, 32)),
    "stride": ({**BASE, "stride": 2, "pool": "none"}, (1, 16, 16)),
    "average, gap": ({**BASE, "pool": "avg", "activation": "gelu", "head": "gap"}, (1, 15, 15)),
    "pool by convolution": ({**BASE, "pool": "conv", "activation": "tanh"}, (1, 16, 16)),
    "dropout": ({**BASE, "dropout": 0.3, "block": "CAPD", "dense": [32]}, (1, 16, 16)),
    "weights not shared": ({**BASE, "weight_sharing": False}, (1, 8, 8)),
    "mlp": ({"type": "mlp", "hidden": [64, 33]}, (1, 8, 8)),
    "layers": ({"type": "cnn", "layers": LAYERS}, (3, 16, 16)),
    "text": ({**BASE, "embedding": 8, "block": "CNAWP"}, (40, 1, 24)),
    "text, several widths": ({"type": "text_cnn", "embedding": 8, "filters": 6, "dropout": 0.0}, (40, 1, 24)),
}
State = dict[str, torch.Tensor]


def fresh(spec: dict[str, Any], shape: tuple[int, int, int], seed: int) -> State:
    torch.manual_seed(seed)
    return {name: value.clone() for name, value in build(spec, shape, CLASSES).state_dict().items()}


def batch(shape: tuple[int, int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    if shape[1] == 1:
        images = torch.randint(0, shape[0], (BATCH, 1, *shape[1:]), generator=drawn, dtype=torch.int32)
    else:
        images = torch.randn(BATCH, *shape, generator=drawn)
    return images, torch.randint(0, CLASSES, (BATCH,), generator=drawn)


def results(
    spec: dict[str, Any], shape: tuple[int, int, int], seeds: list[int], states: list[State], bf16: bool
) -> list[State]:
    """Of each member: the loss, its gradients, the statistics after a step in training, logits in evaluation."""
    network = stacked.Stacked(plan(spec, shape, CLASSES), len(seeds))
    stacked.fill(network, [states[seed] for seed in seeds])
    stacked.name_draws(network, [torch.Generator().manual_seed(seed) for seed in seeds])
    batches = [batch(shape, seed) for seed in seeds]
    x = torch.cat([images for images, _ in batches], 1).contiguous(memory_format=torch.channels_last)
    y = torch.cat([labels for _, labels in batches])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = network(x)
    losses = F.cross_entropy(logits.float().flatten(0, 1), y, reduction="none").view(len(seeds), -1).mean(1)
    losses.sum().backward()
    network.eval()
    with torch.no_grad():
        logits = network(x)
    found = []
    for i, seed in enumerate(seeds):
        sizes = {name: value.shape for name, value in states[seed].items()}
        gradients = {
            f"{name}.grad": stacked.share(weights.grad, i, sizes[name])  # type: ignore[arg-type]
            for name, weights in network.named_parameters()
        }
        kept = stacked.state_of(network, i, sizes)
        found.append({**gradients, **kept, "loss": losses[i].detach(), "logits": logits[i]})
    return found


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_member_computes_depends_on_no_other_to_the_bit(name: str, bf16: bool) -> None:
    spec, shape = NETWORKS[name]
    states = [fresh(spec, shape, seed) for seed in range(MEMBERS)]
    everyone = results(spec, shape, list(range(MEMBERS)), states, bf16)
    for seeds in ([0, 1], [3, 1], [5, 6, 7], [7, 6, 5, 4, 3], [2, 2]):
        for seed, found in zip(seeds, results(spec, shape, seeds, states, bf16), strict=True):
            for what, value in found.items():
                assert torch.equal(value, everyone[seed][what]), (what, seeds, seed)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("dropout", "layers")])
def test_a_member_is_the_network_alone_but_for_rounding(name: str) -> None:
    spec, shape = NETWORKS[name]
    states = [fresh(spec, shape, seed) for seed in range(2)]
    found = results(spec, shape, [0, 1], states, bf16=False)[1]
    alone = build(spec, shape, CLASSES)
    alone.load_state_dict(states[1])
    images, labels = batch(shape, 1)
    loss = F.cross_entropy(alone(images), labels)
    loss.backward()
    torch.testing.assert_close(found["loss"], loss.detach())
    for part, weights in alone.named_parameters():
        assert weights.grad is not None
        torch.testing.assert_close(found[f"{part}.grad"], weights.grad, rtol=1e-4, atol=1e-5)
    for part, value in alone.state_dict().items():
        torch.testing.assert_close(found[part], value)
    with torch.no_grad():
        torch.testing.assert_close(found["logits"], alone.eval()(images), rtol=1e-4, atol=1e-5)


def test_a_first_convolution_is_in_full_precision_whatever_its_size() -> None:
    torch.manual_seed(0)
    module = StackedFirstConv2d(2, 16, 3, padding=1, groups=2)
    for side in (16, 128):
        images = torch.randn(20, 2, side, side)
        with torch.autocast("cpu", torch.bfloat16):
            found = module(images)
        wanted = F.conv2d(images, module.weight, module.bias, padding=1, groups=2).bfloat16()
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, wanted)
    assert module(images).dtype == torch.float32


def test_vectors_are_the_members_maps_one_after_the_other() -> None:
    maps = torch.arange(2 * 6 * 2 * 2.0).reshape(2, 6, 2, 2).contiguous(memory_format=torch.channels_last)
    found = StackedFlatten(3)(maps)
    assert found.shape == (3, 2, 8)
    for member in range(3):
        assert torch.equal(found[member], maps[:, 2 * member : 2 * member + 2].flatten(1))
    assert StackedFlatten(3)(found) is found


def test_dropout_drops_as_many_as_it_says_and_keeps_the_mean() -> None:
    module = StackedDropout(3, 0.25)
    module.generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    out = module(torch.ones(64, 3 * 4, 16, 16))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert not torch.equal(out[:, :4], out[:, 4:8])
    assert torch.equal(module.eval()(out), out)


@pytest.mark.parametrize("name", CONV_STACKS)
def test_every_preset_of_our_own_layers_can_be_stacked(name: str) -> None:
    planned = plan(preset(name), (3, 32, 32), CLASSES)
    assert stackable(planned)
    network = stacked.Stacked(planned, 2)
    stacked.name_draws(network, [torch.Generator()] * 2)
    assert network(torch.zeros(2, 2 * 3, 32, 32)).shape == (2, 2, CLASSES)


def test_a_model_of_timm_cannot_be_stacked() -> None:
    assert not stackable(plan({**preset("timm").__dict__, "name": "mobilenetv2_035"}, (3, 32, 32), CLASSES))
