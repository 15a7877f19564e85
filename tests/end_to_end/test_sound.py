"""Sound by the same commands: prepared, swept, evaluated, predicted, reported; stacked, resumed, by two processes."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from running import TINY, refused

from pipeline.data import Data, prepare, tones
from pipeline.data.splitting import split

LINE = (
    f"{TINY} data=tones data.size=16 data.batch_size=16 architecture.block=CNAP architecture.head_dropout=0.3 "
    "augmentation=sound trainer.max_epochs=2"
)


@pytest.mark.slow
def test_tones_are_the_same_everywhere(tmp_path):
    config = Data(source="tones", name="tones", size=16, prepared_dir=str(tmp_path))
    prepared = prepare(config, 0)
    assert prepared.images.shape == (1520, 16, 16, 1)
    assert np.bincount(prepared.labels).tolist() == [190] * 8
    assert prepared.same is not None
    assert (prepared.same == np.arange(1520)).all()
    assert prepared.digest == "a65ca57b77b9551fc0020e201e3902284e59420f4dee7c21a8c348ca2ded3b18"


def test_no_band_and_no_moment_tells_a_class():
    """Where a tone lies and when it begins is drawn alike for all of them: one beep more is what differs."""
    ends = {"rising": 1, "falling": -1, "steady": 0, "low_high": 1, "high_low": -1, "twice": 0}
    along = np.array([0.1, 0.9])
    for name, sign in ends.items():
        first, last = tones._contour(name, along)
        assert np.sign(round(last - first, 9)) == sign
    assert tones._contour("peak", np.array([0, 0.5, 1])).tolist() == [0, 1, 0]
    assert tones._contour("valley", np.array([0, 0.5, 1])).tolist() == [1, 0, 1]


@pytest.mark.slow
def test_a_sweep_its_evaluation_and_its_report(command, workdir):
    done = command("train", f"-m {LINE} architecture.kernel_size=1,3 seed=0,1 dir=sweep output=json")
    assert done.code == 0, done.err
    levels = done.document["verdict"]["factors"]["architecture.kernel_size"]["levels"]
    assert [one["n"] for one in levels] == [2, 2]
    assert (workdir / "sweep/report.html").is_file()
    run = Path(done.document["runs"][0]["run"])
    found = command("evaluate", f"run={run} output=json")
    assert found.document["metrics"]["test/acc"] == done.document["runs"][0]["metrics"]["test/acc"]
    page = (run / "diagnosis.html").read_text()
    assert page.count("<figure") > 0  # the maps of what was mistaken
    assert not (run / "invariance.json").exists()  # a map is not turned
    card = next(workdir.glob("prepared/*/card-*.html")).read_text()
    assert "1,520 sounds in 8 classes, 16 mel bands x 16 moments" in card
    assert "All 1 s." in card


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_predict_hears_what_the_run_heard(ending, command, workdir):
    assert command("train", f"{LINE} dir=run").code == 0
    settings = Data(source="tones", name="tones", size=16, limit_train=64, prepared_dir="prepared", test_fraction=0.4)
    prepared = prepare(settings, 0)
    tested = split(prepared, settings, 0)["test"][:20]
    assert np.array_equal(np.load("run/predictions.npz")["index"][:20], tested)
    Path("sounds").mkdir()
    for index in tested.tolist():
        samples = tones.samples(index, int(prepared.labels[index]))
        soundfile.write(f"sounds/{index:04}.{ending}", samples, tones.RATE)
    Path("sounds/9999.wav").write_bytes(b"RIFF, but no sound")
    done = command("predict", "run=run images=sounds out=out.csv output=json")
    assert done.code == 0, done.err
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["skipped"]) for row in rows] == [False] * 20 + [True]
    logits = np.load("run/predictions.npz")["logits"][:20]
    assert [row["class"] for row in rows[:20]] == [prepared.classes[i] for i in logits.argmax(1)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data=tones augmentation=rotate", ["augmentation.transforms=rotate", "sounds", "time_shift", "stretch"]),
        ("data=tones experiment.invariance=true", ["experiment.invariance=true", "sounds"]),
        ("data=tones data.root=.", ["data.root=.", "embedded"]),
        ("data=tones data.seconds=0.001", ["data.seconds=0.001", "data.size=32"]),
        ("data=audio_folder", ["data.root=null", "data.source=audio_folder"]),
        ("augmentation=time_mask", ["augmentation.transforms=time_mask", "images"]),
    ],
)
def test_what_cannot_be_asked_of_sounds(line, said, command, workdir):
    refused(command("train", line), *said)
    assert os.listdir() == []
