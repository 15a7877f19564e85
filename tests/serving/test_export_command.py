"""A file for other programs gives what PyTorch gives; what cannot be exported leaves nothing."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import left_in, refused

has_onnx = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not has_onnx, reason="onnx, onnxscript and onnxruntime come with convtrial[export]")


@pytest.fixture
def images():
    """uint8 [200, 8, 8, 1]: the first test images."""
    return np.stack([np.asarray(Image.open(f"photos/{n:04}.png")) for n in range(200)])[..., None]


@needs_onnx
@pytest.mark.slow
def test_onnxruntime_gives_what_the_run_stored(run, command, images, expected):
    import onnxruntime

    done = command("export", "run=run format=onnx out=digits.onnx output=json")
    assert done.code == 0, done.err
    assert done.document["off_by"] < 1e-5
    session = onnxruntime.InferenceSession("digits.onnx")
    for size in (1, 2, 7):
        lots = [session.run(None, {"images": images[i : i + size]})[0] for i in range(0, 200, size)]
        assert np.abs(np.concatenate(lots) - expected[:200]).max() < 1e-5
    assert session.get_modelmeta().custom_metadata_map["classes"] == str([str(k) for k in range(10)]).replace("'", '"')
    assert left_in(Path(".")).count("digits.onnx") == 1
    assert not [name for name in left_in(Path(".")) if name.endswith(".data")]


@pytest.mark.skipif(has_onnx, reason="onnx is installed")
def test_what_is_not_installed_is_named(run, command, workdir):
    before = left_in(workdir)
    refused(
        command("export", "run=run format=onnx out=digits.onnx"),
        "which is not installed: pip install 'convtrial[export]'",
    )
    assert left_in(workdir) == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", ["format=null: say format=onnx for a file, or register=NAME"]),
        ("format=onnx", ["run=null: name a run directory"] if has_onnx else ["format=onnx: needs"]),
        ("run=run format=onx", ["format=onx: must be one of onnx.", "Did you mean 'onnx'?"]),
        ("run=run sweep=latest format=onnx", ["sweep=latest: either that or run=run."]),
        ("run=run format=onnx alias=champion", ["alias=champion: is of a registered model; say register=NAME."]),
        ("run=run register=a/b", ["register='a/b': must be a name without '/'"]),
        ("run=run register=digits alias=v3", ["alias=v3: must be letters"]),
        ("run=run register=digits", ["run=run: is shown on no MLflow; uri=sqlite:///"]),
        ("register=digits", ["run=null: name a run directory"]),
        ("sweep=nowhere register=digits", ["sweep=nowhere: not a sweep directory"]),
        ("run=run format=onnx out=no/a.onnx", ["out=no/a.onnx: its folder does not exist."]),
        ("run=run format=onnx output=xml", ["output=xml: must be one of table, json."]),
    ],
)
def test_mistakes(line, said, run, command, workdir):
    before = left_in(workdir)
    refused(command("export", line), *said)
    assert left_in(workdir) == before
