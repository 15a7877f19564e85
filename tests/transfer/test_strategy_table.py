"""What a newcomer adds for a strategy: its entry in STRATEGIES (and a file in conf/transfer)."""

import pytest

from pipeline.architecture import Cnn
from pipeline.errors import InputError
from pipeline.transfer import Source, Transfer, outline
from pipeline.transfer.strategies import CHOICES, QUADRANTS, STRATEGIES, Strategy


@pytest.fixture
def graft(monkeypatch):
    """The first stages trained on with a decaying rate, the later ones new."""
    entry = Strategy(loads=True, frozen=False, options=("depth", "lr_decay"))
    for table in (STRATEGIES, CHOICES):
        monkeypatch.setitem(table, "graft", entry)


def test_a_new_strategy_is_configured_and_outlined(graft):
    source = Source("x", Cnn(filters=[4, 8], head="gap"), channels=1, size=(16, 16), classes=5)
    made = outline(Cnn(), Transfer("graft", source="x", depth=1, lr_decay=0.5), (1, 20, 20), 3, source)
    record = made.record()
    assert record["strategy"] == "graft"
    assert record["loaded"] == ["block1_conv1"]
    assert record["new"] == ["block2_conv1", "head_classes"]
    assert record["parameters"] == {"trained": made.plan.params, "frozen": 0}
    assert record["tuning"]["lr_decay"] == 0.5


def test_what_it_has_no_use_for_is_refused_and_left_out(graft):
    with pytest.raises(
        InputError, match=r"warmup_epochs=1: has no effect with transfer=graft, only with fine_tune, auto"
    ):
        Transfer("graft", source="x", warmup_epochs=1)
    with pytest.raises(InputError, match=r"transfer\.depth=1: .* only with early_layers, first_layers, auto, graft\."):
        Transfer("head_only", source="x", depth=1)
    with pytest.raises(InputError, match="transfer=graft needs a network to start from"):
        Transfer("graft")
    auto = Transfer("auto", source="x", lr_decay=0.5, warmup_epochs=1)
    assert auto.with_strategy("graft", 2) == Transfer("graft", source="x", depth=2, lr_decay=0.5)


def test_the_network_of_first_layers_is_no_option_of_auto():
    with pytest.raises(InputError, match=r"network=AnB: has no effect with transfer=auto, only with first_layers\."):
        Transfer("auto", source="x", network="AnB")


def test_the_quadrants_are_the_notes_table():
    assert QUADRANTS == {
        ("small", "similar"): "head_only",
        ("small", "dissimilar"): "early_layers",
        ("large", "similar"): "fine_tune",
        ("large", "dissimilar"): "retrain",
    }
