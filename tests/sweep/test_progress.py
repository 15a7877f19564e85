"""The line that says how a run ended: this time, not the last one."""

import os
import signal

import pytest
from running import TINY

from pipeline import rundir, stopping
from pipeline.training import guard

LINE = f"{TINY} trainer.max_epochs=2 data.batch_size=16"


@pytest.fixture
def stopped_once(monkeypatch):
    """Have this process signalled before the second step of the first run."""
    original, done = guard.Guard.on_before_backward, []

    def before(self, trainer, pl_module, loss):
        if trainer.global_step == 1 and not done:
            done.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        original(self, trainer, pl_module, loss)

    monkeypatch.setattr(guard.Guard, "on_before_backward", before)


@pytest.mark.parametrize(
    "line", [f"{LINE} dir=run", pytest.param(f"-m {LINE} seed=0 dir=sweep", marks=pytest.mark.slow)]
)
def test_a_run_that_was_interrupted_before_is_shown_when_it_ends_this_time(line, command, stopped_once):
    done = command("train", line)
    assert done.code == 75
    assert "interrupted: stopped by SIGINT" in done.err
    assert "[1/1]" in done.err
    done = command("train", line)
    assert done.code == 0, done.err
    (shown,) = (said for said in done.err.splitlines() if said.startswith("[1/1]"))
    assert "test/acc 0." in shown
    assert "stopped by" not in done.err


def test_who_asked_is_named_whoever_it_was():
    def wait(ask, *arguments):
        with stopping.interruptible():
            ask(*arguments)
            signal.pause()

    with pytest.raises(stopping.Stopped):
        wait(stopping.ask, "its sweep, which was stopped")
    assert stopping.by() == "its sweep, which was stopped"
    with pytest.raises(stopping.Stopped, match="SIGTERM"):
        wait(os.kill, os.getpid(), signal.SIGTERM)
    with stopping.interruptible():
        assert stopping.by() == "a signal to another of its processes"


def test_the_status_names_the_signal(command, stopped_once, workdir):
    assert command("train", f"{LINE} dir=run").code == 75
    assert rundir.get_status(workdir / "run").error == "stopped by SIGINT"
