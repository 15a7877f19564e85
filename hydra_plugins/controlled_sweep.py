"""Hydra's door for `-m`: expand the sweep, then hand all its jobs to the command at once.

Hydra's basic sweeper composes and starts job after job. A controlled experiment has to see every arm before
the first one starts (is each one possible? which seeds are paired?), so the command gets the whole list and
the launcher. Hydra takes sweepers from the `hydra_plugins` namespace alone, hence this folder.
"""

import contextlib
import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, flag_override

from pipeline.errors import InputError
from pipeline.sweep import engines


class ControlledSweeper(Sweeper):
    """Full factorial design over the swept keys of `hydra.sweeper.params` and of the command line."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.hydra_context = hydra_context
        target = str(config.hydra.launcher.get("_target_"))
        if not Plugins.instance().is_in_toplevel_plugins_module(target):
            raise InputError(f"hydra.launcher._target_={target}: a configuration cannot name code to run.")
        if target not in Plugins.instance().class_name_to_class:
            raise engines.missing(target)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        from pipeline import cli
        from pipeline.sweep.design import Multirun

        assert self.hydra_context
        assert self.launcher
        assert self.config is not None
        master, launcher, loader = self.config, self.launcher, self.hydra_context.config_loader
        # The command line comes last, so a level list typed there replaces the experiment's own.
        lines = _levels(self.params) + arguments
        overrides = OverridesParser.create(loader).parse_overrides(lines)
        # A value typed on the command line in place of an experiment's levels makes their key no factor.
        last = {o.get_key_element(): o for o in overrides}
        swept = dict.fromkeys(o.get_key_element() for o in overrides if o.is_sweep_override())
        compose = _composer(loader, master)
        jobs = BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]
        given = next((line for line in arguments if line.startswith("seed=")), None)
        if given and "seeds=auto" in arguments:
            raise InputError(f"{given}: seeds=auto takes seeds 0, 1, 2 and so on by itself. Leave one of them out.")
        auto = False
        with contextlib.suppress(InputError):  # an arm that cannot be is named when all of them are expanded
            auto = not given and compose(jobs[0]).get("seeds") == "auto"
        if auto:
            arms = [o for o in overrides if o.get_key_element() != "seed"]
            jobs = BasicSweeper.split_arguments(arms, max_batch_size=None)[0]
        return cli.multirun(
            Multirun(
                jobs=jobs,
                swept=[key for key in swept if last[key].is_sweep_override()],
                compose=compose,
                launcher=launcher,
                auto=auto,
            )
        )


def _levels(params: Any) -> list[str]:
    """The overrides that `hydra.sweeper.params` stands for. Raises InputError where it maps no keys to text."""
    form = "must be written as keys with their levels as text, as in {architecture.kernel_size: '3,5', seed: '0,1'}"
    if params is None:
        return []
    if not isinstance(params, Mapping):
        raise InputError(f"hydra.sweeper.params={params}: {form}.")
    for key, value in params.items():
        if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
            raise InputError(f"hydra.sweeper.params.{key}={value}: {form}; on a command line say KEY=3,5 itself.")
    return [f"{key}={'null' if value is None else value}" for key, value in params.items()]


def _composer(loader: Any, master: DictConfig) -> Callable[[list[str]], DictConfig]:
    """A job's overrides -> its configuration, without Hydra's own section.

    Hydra needs 60 ms to compose one. The files that a job reads depend on its choice of groups alone, so they
    are composed once per choice, and the other overrides are applied to a copy as Hydra applies them: 5 ms.
    """
    # A sweep has few different lines and repeats them in many jobs: parsing is a third of the time.
    from pipeline import cli

    parse = functools.cache(OverridesParser.create(loader).parse_override)
    composed: dict[tuple[str, ...], DictConfig] = {}

    def compose(job: list[str]) -> DictConfig:
        try:
            return _compose(job)
        except Exception as error:
            message = cli.explain(error, master.hydra.job.config_name, job)
            raise InputError(message) if message else error from None

    def _compose(job: list[str]) -> DictConfig:
        overrides = [parse(line) for line in job]
        groups = [o for o in overrides if loader.repository.group_exists(o.key_or_group)]
        choice = tuple(str(o.input_line) for o in groups)
        if choice not in composed:
            config = loader.load_sweep_config(master, list(choice))
            with flag_override(config, ["struct", "readonly"], [False, False]):
                del config["hydra"]
            composed[choice] = config
        config = copy.deepcopy(composed[choice])
        ConfigLoaderImpl._apply_overrides_to_config([o for o in overrides if o not in groups], config)
        return config

    return compose


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="controlled",
    node={"_target_": "hydra_plugins.controlled_sweep.ControlledSweeper", "params": None},
    provider="convtrial",
)
