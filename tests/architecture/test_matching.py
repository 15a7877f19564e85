"""Arms scaled to the cost of a reference."""

import pytest

from pipeline.architecture import Cnn, build, plan
from pipeline.errors import InputError

SHAPE = (1, 28, 28)


@pytest.mark.parametrize("by", ["params", "macs"])
@pytest.mark.parametrize(
    ("arm", "reference"),
    [
        *(({"kernel_size": kernel}, {"kernel_size": 3}) for kernel in (1, 2, 3, 5, 7, 11)),
        ({"padding": "valid"}, {"padding": "same"}),
        ({"block": "CACAP"}, {"block": "CAP"}),
        ({"filters": [64, 64, 64]}, {"filters": [32, 64, 128]}),
        ({"head": "gap"}, {"head": "flatten"}),
        ({"weight_sharing": False}, {"weight_sharing": True}),
        ({}, {"type": "mlp", "hidden": [64]}),
        ({"type": "mlp"}, {"type": "cnn", "kernel_size": 5}),
    ],
)
def test_arms_cost_what_the_reference_does(arm, reference, by):
    kind = {"type": "cnn"} | {key: reference[key] for key in ("type",) if key in reference}
    base = {} if kind["type"] != arm.get("type", "cnn") else arm
    target = getattr(plan({**base, **reference}, SHAPE, 10), by)
    planned = plan({**arm, "match": by, "match_reference": reference}, SHAPE, 10)
    assert planned.match.matched
    assert planned.match.target == target
    assert getattr(planned, by) == planned.match.reached
    assert getattr(planned, by) == pytest.approx(target, rel=0.05)


def test_the_reference_itself_stays_as_it_is():
    planned = plan(Cnn(match="params", match_reference={"kernel_size": 3}), SHAPE, 10)
    assert planned.layers == plan(Cnn(), SHAPE, 10).layers
    assert (planned.match.factor, planned.match.widths) == (1.0, (32, 64, 128))


def test_widths_keep_their_proportions():
    planned = plan(Cnn(kernel_size=5, match="params", match_reference={"kernel_size": 3}), SHAPE, 10)
    first, second, third = planned.match.widths
    assert second / first == pytest.approx(2, rel=0.1)
    assert third / second == pytest.approx(2, rel=0.1)
    assert planned.to_dict()["match"]["widths"] == [first, second, third]
    assert planned.match.note.startswith(f"widths [{first},{second},{third}] in place of [32,64,128]")


def test_what_cannot_be_matched_is_said():
    """One filter per block of 11x11 costs more than a whole network of 1x1."""
    cnn = Cnn(kernel_size=11, filters=[2, 2], match="macs", match_reference={"kernel_size": 1, "filters": [1, 1]})
    planned = plan(cnn, SHAPE, 10)
    assert not planned.match.matched
    assert planned.match.widths == (1, 1)
    assert planned.match.note.startswith("not matched within 5 %")


def test_what_is_built_is_matched_too():
    network = build(Cnn(kernel_size=5, match="params", match_reference={"kernel_size": 3}), SHAPE, 10)
    assert sum(p.numel() for p in network.parameters()) == network.plan.match.reached


def test_a_misspelt_reference_is_refused():
    with pytest.raises(InputError, match=r"architecture\.match_reference\.kernel_sise=3: .*Did you mean 'kernel_size'"):
        Cnn(match="params", match_reference={"kernel_sise": 3})
