"""experiment=layer_transfer and experiment=transfer from the command line to the page, on few images."""

from pathlib import Path

import pytest

from pipeline import rundir
from pipeline.evidence.analyses.quadrants import TABLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHORT = "trainer.max_epochs=1 trainer.threads=1 tracking=none dir=sweep output=json"


def test_layer_transfer(command):
    line = f"-m experiment=layer_transfer data.limit_train=64 transfer.depth=1,6 seed=0,1 {SHORT}"
    done = command("train", line)
    assert done.code == 0, done.err
    assert len(done.document["runs"]) == 16
    found = done.document["verdict"]["layers"]
    assert found["depths"] == [1, 6]
    assert list(found["networks"]) == ["AnB", "AnB+", "BnB", "BnB+"]
    assert found["base"]["n"] == 2
    assert len(found["sentences"]) == 3
    page = Path("sweep/report.html").read_text()
    assert "How transferable each layer is" in page
    assert 'aria-label="layer_transfer"' in page
    assert Path("sweep/plots/layer_transfer.png").exists()
    # said again from the run directories alone, wherever the sources are
    again = command("compare", "sweep=sweep output=json").document
    assert again["layers"] == found


def test_transfer(command):
    line = f"-m experiment=transfer data.limit_train=32,64 transfer.pretrain.limit_train=64 seed=0 {SHORT}"
    done = command("train", line)
    assert done.code == 0, done.err
    assert len(done.document["runs"]) == 24
    found = done.document["verdict"]["quadrants"]
    assert [(cell["size"], cell["source"], cell["table"]) for cell in found["cells"]] == [
        ("small", "similar", "head_only"),
        ("small", "dissimilar", "early_layers"),
        ("large", "similar", "fine_tune"),
        ("large", "dissimilar", "retrain"),
    ]
    assert found["cells"][1]["levels"] == {"data.limit_train": 32, "data@transfer.pretrain": "photo_patches"}
    assert {"table", "auto", "always fine_tune"} <= found["regret"].keys()
    # the advisor does what its choice does
    for cell, run in zip(found["cells"], done.document["runs"][-4:], strict=True):
        chosen = rundir.read_json(Path(run["run"]) / "run.json")["transfer"]["strategy"]
        assert chosen in TABLE.values()
        if chosen != "early_layers":  # of which the advisor also chooses the depth
            means = {one["level"]: one["mean"] for one in cell["strategies"]}
            assert means["auto"] == means[chosen]
    assert "Which strategy in which quadrant" in Path("sweep/report.html").read_text()
    assert Path("sweep/plots/quadrants.png").exists()
    assert len(list(Path("runs/transfer/sources").iterdir())) == 2
