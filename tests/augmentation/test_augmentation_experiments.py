"""The experiments about augmentation and training data, from the command line to the page."""

import pytest
from running import TINY

from pipeline import rundir
from pipeline.augmentation import Augment

pytestmark = pytest.mark.slow  # whole sweeps

SMALL = f"{TINY} data.size=8 optimizer.lr=0.01"


def test_an_epoch_draws_what_is_its_own(command, monkeypatch):
    """Lightning tells the sampler the epoch, and the sampler the images."""
    seen = []
    plain = Augment.__call__

    def noted(self, x_BHWC, epoch, indices):
        seen.append(epoch)
        return plain(self, x_BHWC, epoch, indices)

    monkeypatch.setattr(Augment, "__call__", noted)
    line = SMALL.replace("max_epochs=1", "max_epochs=3")
    assert command("train", f"{line} augmentation=rotate dir=run").code == 0
    assert seen == [0, 0, 1, 1, 2, 2]  # 64 examples are two batches; validation and evaluation draw nothing


def test_the_augmentation_experiment_ends_in_a_matrix(command, workdir):
    line = (
        f"-m {SMALL} experiment=augmentation optimizer.lr=0.001 augmentation=none,rotate seed=0,1 dir=sweep output=json"
    )
    done = command("train", line)
    assert done.code == 0, done.err
    found = rundir.read_json(workdir / "sweep/verdict.json")["matrix"]["augmentation"]
    assert found["reference"] == "none"
    assert found["columns"] == ["test/acc", "invariance/rotation", "invariance/scale", "invariance/shift", "gap/acc"]
    runs = {run["run"].rpartition("/")[2]: run["metrics"] for run in done.document["runs"]}
    rotate = found["levels"][1]["cells"][1]
    values = [runs[f"00{2 + seed}_augmentation-rotate_seed-{seed}"]["invariance/rotation"] for seed in (0, 1)]
    assert rotate["mean"] == pytest.approx(sum(values) / 2)
    assert "What each level buys" in (workdir / "sweep/report.html").read_text()
    plots = {path.name for path in (workdir / "sweep/plots").iterdir()}
    assert {f"augmentation.invariance_{kind}.png" for kind in ("rotation", "scale", "shift")} <= plots


@pytest.mark.parametrize(("name", "arms"), [("augmentation", 5), ("input_size", 4), ("learning_curve", 5)])
def test_the_experiments_are_fair_as_they_stand(command, name, arms):
    done = command("plan", f"-m experiment={name} seed=0 tracking=none output=json")
    assert done.code == 0, done.err
    assert len(done.document["arms"]) == arms
    assert done.document["duplicates"] == []
    assert all(one["meant"] for one in done.document["confounds"])


@pytest.mark.slow
def test_a_network_trained_on_turns_stands_them_clearly_better(process, workdir):
    line = "-m experiment=augmentation augmentation=none,rotate seed=0,1,2 data=digits optimizer.lr=0.001"
    more = "trainer.max_epochs=10 trainer.threads=1 architecture.filters=[16,32] tracking=none"
    done = process("train", f"{line} {more} dir=sweep output=json")
    assert done.code == 0, done.err
    rotate = done.document["verdict"]["matrix"]["augmentation"]["levels"][1]["cells"][1]
    assert rotate["difference_low"] > 0.05
    curves = [rundir.read_json(workdir / run["run"] / "invariance.json")["rotation"] for run in done.document["runs"]]
    none, turned = ([sum(run[i][1] for run in some) / 3 for i in range(13)] for some in (curves[:3], curves[3:]))
    assert all(b > a + 0.1 for a, b in zip(none[2:5], turned[2:5], strict=True))  # -60, -45 and -30 degrees
