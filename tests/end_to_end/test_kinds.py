"""What holds of a run on images holds of one on sound, text and a game: to the bit where it is resumed or stacked."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from run_state import state, states
from running import TINY

from pipeline import rundir
from pipeline.training import guard

FEW = TINY.replace("data.limit_train=64", "data.limit_train=96 data.batch_size=16")
LINES = {
    "sound": f"{FEW} data=tones data.size=16 augmentation=sound",
    "text": f"{FEW} data=sentences augmentation=word_dropout architecture.embedding=8 architecture.head=gap",
    "game": f"{FEW} data=game data.episodes=60 data.frames=2",
}
HARD = "architecture.block=CNAP architecture.head_dropout=0.3 trainer.max_epochs=2"
pytestmark = pytest.mark.slow


@pytest.fixture(params=LINES)
def line(request):
    return f"{LINES[request.param]} {HARD}"


def test_it_is_resumed_to_the_bit(line, command, workdir, monkeypatch):
    assert command("train", f"{line} dir=undisturbed").code == 0
    original, signals = guard.Guard.on_before_backward, [signal.SIGTERM]

    def before(self, trainer, pl_module, loss):
        if trainer.global_step == 5 and signals:
            os.kill(os.getpid(), signals.pop())
        original(self, trainer, pl_module, loss)

    monkeypatch.setattr(guard.Guard, "on_before_backward", before)
    assert command("train", f"{line} dir=run").code == 75
    assert command("train", f"{line} dir=run").code == 0
    assert rundir.get_status(workdir / "run").resumed == 1
    assert state(workdir / "run") == state(workdir / "undisturbed")


def test_stacked_seeds_come_to_the_same_in_any_company(line, command, workdir):
    for seeds, folder in (("0,1,2", "three"), ("1", "one")):
        done = command("train", f"-m {line} seed={seeds} trainer.stack=3 dir={folder} resume=false output=json")
        assert done.code == 0, done.err
    assert states(Path("one"))["000_seed-1"] == states(Path("three"))["001_seed-1"]


def test_two_processes_find_what_one_finds(line, process, workdir):
    line = line.replace(HARD, "optimizer=sgd trainer.precision=32-true output=json")
    one, two = (
        process("train", f"{line} dir={name} {more}") for name, more in (("one", ""), ("two", "trainer=ddp_cpu"))
    )
    assert one.code == two.code == 0, two.err
    logits = [np.load(workdir / name / "predictions.npz")["logits"] for name in ("one", "two")]
    assert np.abs(logits[0] - logits[1]).max() < 1e-3


def test_its_graph_and_its_page_can_be_had(line, command, workdir):
    pytest.importorskip("onnx")
    assert command("train", f"{line} dir=run").code == 0
    done = command("export", "run=run format=onnx output=json")
    assert done.code == 0, done.err
    assert command("evaluate", "run=run").code == 0
    assert "<figure>" in (workdir / "run/diagnosis.html").read_text()
