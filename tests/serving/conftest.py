"""A finished run on the digits, and its test images as files."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from running import TINY, hydra_reset, restored_torch

from pipeline import config, data, rundir, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with a run in `run` and, in `photos`, an image for each of its stored predictions, with a manifest."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch, hydra_reset(), restored_torch():
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py", *TINY.split(), "dir=run"])
        with pytest.raises(SystemExit) as ended:
            train.main()
    assert not ended.value.code
    run = folder / "run"
    settings, record = config.of_run(run), rundir.read_run(run)
    settings.data.prepared_dir = str(folder / "prepared")
    prepared, known = data.prepare(settings.data, settings.seed), rundir.read_predictions(run)
    (folder / "photos").mkdir()
    lines = ["path,label"]
    for n, (index, label) in enumerate(zip(known["index"], known["label"], strict=True)):
        Image.fromarray(np.asarray(prepared.images[index])[:, :, 0]).save(folder / "photos" / f"{n:04}.png")
        lines.append(f"{n:04}.png,{record.dataset.classes[label]}")
    (folder / "photos" / "list.csv").write_text("\n".join(lines) + "\n")
    shutil.rmtree(folder / "prepared")  # nothing of what it was trained on is left
    return folder


@pytest.fixture
def run(trained, workdir):
    """A copy of all that in the working folder."""
    shutil.copytree(trained, workdir, dirs_exist_ok=True)
    return Path("run")


@pytest.fixture
def expected(trained):
    """Softmax of the logits that the run stored, float64 [test images, classes]."""
    logits = rundir.read_predictions(trained / "run")["logits"].astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)
