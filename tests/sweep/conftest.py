"""Jobs of a multirun, composed as the sweeper does."""

import os
import shlex
import signal
from types import SimpleNamespace

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from hydra_plugins.controlled_sweep import ControlledSweeper
from pipeline import cli, config
from pipeline.sweep import design
from pipeline.training import guard


@pytest.fixture
def loader():
    """Hydra's loader over our conf/, outside any command."""
    config.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def sweep(loader, monkeypatch):
    """The sweep that a command would be given: sweep("kernel_size=3,5 seed=0,1") -> Sweep."""

    def make(line):
        lines = shlex.split(line)
        # An experiment brings hydra.sweeper.params: Hydra composes them before it splits the sweep.
        chosen = [one for one in lines if one.startswith("experiment=")]
        master = loader.load_configuration("config", chosen, run_mode=RunMode.MULTIRUN)
        found = []
        monkeypatch.setattr(cli, "multirun", found.append)
        sweeper = ControlledSweeper(master.hydra.sweeper.params)
        sweeper.config, sweeper.launcher = master, SimpleNamespace()
        sweeper.hydra_context = SimpleNamespace(config_loader=loader)
        sweeper.sweep(lines)
        return found[0]

    return make


@pytest.fixture
def jobs(sweep):
    """Factors and jobs of a sweep of 1x8x8 scans: jobs("architecture.kernel_size=3,5")."""
    return lambda line: design.expand(sweep(line))


@pytest.fixture
def stopped_once(monkeypatch):
    """Send this process SIGTERM in a run whose directory's name holds a text: stopped_once("seed-5", step=3)."""

    def at(name, step=0):
        original, ran = guard.Guard.on_before_backward, []

        def before(self, trainer, pl_module, loss):
            if name in self.path.name and trainer.global_step >= step and not ran:
                ran.append(1)
                os.kill(os.getpid(), signal.SIGTERM)
            original(self, trainer, pl_module, loss)

        monkeypatch.setattr(guard.Guard, "on_before_backward", before)

    return at
