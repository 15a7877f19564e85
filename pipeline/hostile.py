"""What a configuration may not say: it chooses among our code, and never names code of its own.

Hydra makes objects of whatever `_target_` names, runs callbacks and logging factories that a file lists, and sets
environment variables that other programs obey. A file of somebody else's in --config-dir would be enough. So every
composed configuration is looked through before Hydra acts on it.
"""

import functools
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, ListConfig, OmegaConf

from pipeline.errors import InputError

# The only places where Hydra's own section names a class, and the classes that may stand there.
PLUGINS = {
    "hydra.sweeper._target_": ("hydra_plugins.controlled_sweep.ControlledSweeper",),
    "hydra.launcher._target_": (
        "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
        "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
        "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    ),
}
EMPTY = ("hydra.callbacks", "hydra.job.env_set")
# Shell lines, interpreters and packages for the machines of a cluster: its owner's to give, by hand.
BY_HAND = ("hydra.launcher.setup", "hydra.launcher.additional_parameters", "hydra.launcher.ray.init.runtime_env")


def refuse_code() -> None:
    """From now on, loading a configuration that names code raises InputError."""
    original = ConfigLoaderImpl.load_configuration
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def load(self: ConfigLoaderImpl, *arguments: Any, **named: Any) -> DictConfig:
        found = original(self, *arguments, **named)
        check(found)
        return found

    ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


def check(composed: DictConfig) -> None:
    """Raise InputError where a composed configuration names code to run."""
    for key, value in _leaves(composed, ""):
        last = key.rpartition(".")[2]
        if last.startswith("_") and last.endswith("_") and value not in PLUGINS.get(key, ()):
            raise InputError(f"{key}={value}: a configuration cannot name code to run.")
        if key.startswith(("hydra.job_logging.", "hydra.hydra_logging.")) and _below(key, 2) not in (
            "version",
            "root",
            "disable_existing_loggers",
        ):
            raise InputError(f"{key}={value}: a configuration cannot bring logging of its own.")
    for key in EMPTY:
        if OmegaConf.select(composed, key):
            raise InputError(f"{key}: a configuration cannot name code to run; leave it out.")
    typed = [
        str(line).split("=", 1)[0].lstrip("+") for line in OmegaConf.select(composed, "hydra.overrides.hydra") or ()
    ]
    for key in BY_HAND:
        if OmegaConf.select(composed, key) and not any(f"{one}.".startswith(f"{key}.") for one in typed):
            raise InputError(f"{key}: is taken from the command line alone, not from a file.")


def _below(key: str, depth: int) -> str:
    return key.split(".")[depth]


def _leaves(node: Any, prefix: str) -> Any:
    """(key, raw value) of everything in a configuration; interpolations are not resolved, which could run things."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        items: list[tuple[str, Any]] = [(str(key), node._get_node(key)) for key in node]
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        items = [(str(i), node._get_node(i)) for i in range(len(node))]
    else:
        yield prefix, getattr(node, "_value", lambda: node)()
        return
    for key, child in items:
        yield from _leaves(child, f"{prefix}.{key}" if prefix else key)
