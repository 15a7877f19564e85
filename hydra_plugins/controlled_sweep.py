"""Hydra's door for `-m`: expand the sweep, then hand all its jobs to the command at once.

Hydra's basic sweeper composes and starts job after job. A controlled experiment has to see every arm before
the first one starts (is each one possible? which seeds are paired?), so the command gets the whole list and
the launcher. Hydra takes sweepers from the `hydra_plugins` namespace alone, hence this folder.
"""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ControlledSweeper(Sweeper):
    """Full factorial design over the swept keys of `hydra.sweeper.params` and of the command line."""

    def __init__(self, params: dict[str, Any] | None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        from pipeline import cli

        assert self.hydra_context
        assert self.launcher
        assert self.config is not None
        master, launcher, loader = self.config, self.launcher, self.hydra_context.config_loader
        # The command line comes last, so a level list typed there replaces the experiment's own.
        lines = [f"{key}={value}" for key, value in self.params.items()] + arguments
        overrides = OverridesParser.create(loader).parse_overrides(lines)
        return cli.multirun(
            cli.Sweep(
                jobs=BasicSweeper.split_arguments(overrides, max_batch_size=None)[0],
                swept=list(dict.fromkeys(o.get_key_element() for o in overrides if o.is_sweep_override())),
                compose=lambda job: loader.load_sweep_config(master, job),
                launch=lambda jobs: launcher.launch(jobs, initial_job_idx=0),
            )
        )


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="controlled",
    node={"_target_": "hydra_plugins.controlled_sweep.ControlledSweeper", "params": None},
    provider="convtrial",
)
