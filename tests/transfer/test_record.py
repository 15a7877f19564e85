"""The transfer part of run.json: its keys, and what is read from them."""

import json

from pipeline.architecture import Cnn
from pipeline.transfer import Source, Transfer, numbers, outline, sentences
from pipeline.transfer.record import Advice, Probe, Similarity, Size, SourceRecord, record_from_json

SOURCE = Source("x", Cnn(filters=[4, 8], head="gap"), channels=1, size=(16, 16), classes=5)


def test_what_is_read_is_what_was_written():
    made = outline(Cnn(), Transfer("early_layers", source="x", depth=1), (3, 20, 20), 3, SOURCE)
    taken = SourceRecord("x", True, "w.ckpt", "d1", "k1", (0.5,), (0.2,), 7, ("network.head_classes.bias",))
    document = made.record() | {"source": taken.to_json()}
    assert list(document) == [
        "strategy", "network", "head", "tuning", "loaded", "frozen", "new", "parameters", "source"
    ]  # fmt: skip
    assert list(document["source"]) == [
        "named", "run", "file", "digest", "key", "mean", "std", "tensors_loaded", "tensors_left_out"
    ]  # fmt: skip
    written = json.loads(json.dumps(document))
    written["source"]["metrics"] = {"test/acc": 0.5}  # of a source trained for the run
    found = record_from_json(written)
    assert (found.strategy, found.channels, found.depth) == ("early_layers", 1, 1)
    assert (found.head, found.tuning, found.source) == (("head_classes",), made.tuning, taken)


def test_of_a_source_whose_weights_are_not_taken_its_name_is_written():
    assert SourceRecord("x", False).to_json() == {"named": "x", "run": False, "file": None, "digest": None}
    assert record_from_json({}) is None


def test_an_advice_is_shown_from_its_document():
    stages = (Probe(0.8, 0.3), Probe(0.9, 0.5))
    advice = Advice(
        size=Size(100, 2, 50.0, 50, 10**6, 1000, 0.1),
        similarity=Similarity(100, 0.9, 0.8, 0.1, 0.05, None, stages),
        limit=0.25,
        domain="dissimilar",
        strategy="early_layers",
        depth=2,
        reasons=("small: few",),
        near=("size: 0.9",),
    )
    document = json.loads(json.dumps(advice.to_json()))
    assert document["size"]["word"] == "small"
    assert (document["similarity"]["limit"], document["similarity"]["word"]) == (0.25, "dissimilar")
    assert sentences(document) == [
        "transfer=auto: small, dissimilar: transfer=early_layers transfer.depth=2",
        "small: few",
        "near the threshold of size: 0.9",
    ]
    assert numbers(document)["advice/probe_acc_depth_2"] == 0.9
