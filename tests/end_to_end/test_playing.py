"""A network that learns to play: asked, trained, judged and put away by the same commands as one that sees images."""

from pathlib import Path

import pytest
from running import TINY, refused

from pipeline import rundir

GAME = f"{TINY.replace('data.limit_train=64 ', '')} data=game data.episodes=60 data.frames=2"


def test_a_sweep_is_judged_by_what_its_networks_gain(command, workdir):
    line = f"-m {GAME} experiment.metric=test/return architecture.kernel_size=1,3 seed=0,1 dir=sweep output=json"
    done = command("train", line)
    assert done.code == 0, done.err
    verdict = done.document["verdict"]
    assert (verdict["metric"], verdict["mode"], verdict["n_test"]) == ("test/return", "max", None)
    assert "test/return" in (workdir / "sweep/report.html").read_text()
    run = Path(done.document["runs"][0]["run"])
    kept = rundir.get_status(run).metrics
    assert kept["test/return_share"] == pytest.approx(kept["test/return"] / 9.91)
    again = command("evaluate", f"run={run} output=json")
    assert again.code == 0, again.err
    assert {name: again.document["metrics"][name] for name in kept} == kept
    assert "left" in (run / "diagnosis.html").read_text()
    refused(command("predict", f"run={run} images=photos"), "images=photos: ", "situations, which are no files")
    assert not (run / "invariance.json").exists()


@pytest.mark.slow
def test_a_network_plays_an_emulated_machine_and_gains_the_same_when_asked_again(command, workdir):
    done = command("train", f"{TINY} data=breakout data.size=40 data.frames=2 data.episodes=6 dir=run output=json")
    assert done.code == 0, done.err
    kept = rundir.get_status(workdir / "run").metrics
    assert kept["test/return"] >= 0
    again = command("evaluate", "run=run output=json")
    assert again.code == 0, again.err
    assert {name: again.document["metrics"][name] for name in kept} == kept


@pytest.mark.parametrize("module", ["plan", "train"])
def test_images_are_not_judged_by_it(module, command):
    said = "experiment.metric=test/return: data.source=digits gives images, of which no run has it. Allowed: test/acc, "
    refused(command(module, "experiment.metric=test/return"), said)
    refused(command(module, "data=game augmentation=flip"), "augmentation.transforms=flip: ", "none")
