"""What a configuration may not say: it chooses among our code, and never names code of its own.

Hydra makes objects of whatever `_target_` names, runs callbacks and logging factories that a file lists, and sets
environment variables that other programs obey. A file of somebody else's in --config-dir would be enough. So every
composed configuration is looked through before Hydra acts on it, as it is written: an interpolation can become
anything, and so has no place where Hydra acts.
"""

import functools
import re
import sys
from collections.abc import Iterator
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.resolvers import oc

from pipeline.errors import InputError
from pipeline.groups import CONF
from pipeline.sweep.engines import ENGINES

# The only places where Hydra's own section names a class, and the classes that may stand there.
PLUGINS = {
    "hydra.sweeper._target_": ("hydra_plugins.controlled_sweep.ControlledSweeper",),
    "hydra.launcher._target_": tuple(engine.target for engine in ENGINES.values()),
}
EMPTY = ("hydra.callbacks", "hydra.job.env_set", "hydra.job.env_copy", "hydra.searchpath")
# Shell lines, interpreters and packages for the machines of a cluster, and a cluster whose answers are unpickled: its
# owner's to give, by hand. So is all else that our own presets do not say: launchers take more, such as srun_args.
BY_HAND = ("hydra.launcher.setup", "hydra.launcher.additional_parameters", "hydra.launcher.ray.init.address")
LOGGING = re.compile(r"hydra\.(job|hydra)_logging(\.(version|disable_existing_loggers|root(\.level)?))?")
TYPED, PARAMS = "hydra.overrides.hydra.", "hydra.sweeper.params."
# Where interpolations may stand in Hydra's section: it only prints or records these. And its own ones elsewhere.
SHOWN = re.compile(r"hydra\.(help|hydra_help|overrides|runtime|job\.override_dirname)\b")
FOLDER = re.compile(r"hydra\.(run|sweep)\.")  # conf/ has the last word on them, but for the command line
HYDRAS_OWN = {
    ("hydra.launcher.submitit_folder", "${hydra.sweep.dir}/.submitit/%j"),
    ("hydra.launcher.name", "${hydra.job.name}"),
}


def refuse_code() -> None:
    """From now on, loading a configuration that names code raises InputError, and interpolations build nothing."""
    original = ConfigLoaderImpl.load_configuration
    if hasattr(original, "__wrapped__"):
        return
    for name in ("oc.decode", "oc.create"):  # they make sections out of text
        OmegaConf.clear_resolver(name)
    OmegaConf.register_new_resolver("oc.env", _environment, replace=True)

    @functools.wraps(original)
    def load(self: ConfigLoaderImpl, *arguments: Any, **named: Any) -> DictConfig:
        found = original(self, *arguments, **named)
        check(found)
        with open_dict(found.hydra):  # what lies below these is data
            for section in (found.hydra.sweeper, found.hydra.launcher):
                with open_dict(section):
                    section["_recursive_"] = False
        return found

    ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


def check(composed: DictConfig) -> None:
    """Raise InputError where a composed configuration names code to run, or could by an interpolation."""
    nodes = list(_nodes(composed, ""))
    typed = [str(line).split("=", 1)[0].lstrip("+") for key, line in nodes if key.startswith(TYPED)]
    for key, value in nodes:
        last = key.rpartition(".")[2]
        if last.startswith("_") and last.endswith("_") and value not in PLUGINS.get(key, ()):
            raise InputError(f"{key}={value}: a configuration cannot name code to run.")
        if _is_below(key, "hydra"):
            _check_hydras(key, value, any(_is_below(key, one) for one in typed))
    for key in PLUGINS.keys() - {key for key, _ in nodes}:
        raise InputError(f"{key.removesuffix('._target_')}: is none that is known here.")


def _check_hydras(key: str, value: Any, typed: bool) -> None:
    """Raise InputError unless `value` may stand at `key` in Hydra's own section."""
    harmless = SHOWN.match(key) or (key, value) in HYDRAS_OWN or (typed and FOLDER.match(key))
    if isinstance(value, str) and "${" in value and not harmless:
        raise InputError(f"{key}={value}: an interpolation could become code here; write what it stands for.")
    if any(_is_below(key, one) for one in EMPTY) and not (key in EMPTY and value in (None, SECTION)):
        raise InputError(f"{key}: a configuration cannot name code to run; leave it out.")
    if re.match(r"hydra\.(job|hydra)_logging", key) and not LOGGING.fullmatch(key):
        raise InputError(f"{key}={value}: a configuration cannot bring logging of its own.")
    if key.startswith(PARAMS) and re.match(r"[+~]*hydra\b|.*\$\{", key.removeprefix(PARAMS), re.S):
        raise InputError(f"{key}: a sweep varies what is ours, not Hydra's own section.")
    if _is_below(key, "hydra.launcher") and value is not SECTION and not typed:
        allowed = key in _of_presets() and not any(_is_below(key, one) for one in BY_HAND)
        if value not in (None, "") and not allowed:
            raise InputError(f"{key}={value}: is taken from the command line alone, not from a file.")
        if isinstance(value, str) and not value.isprintable():  # a second line of an #SBATCH option is run by the shell
            raise InputError(f"{key}={value!r}: has characters that do not print.")


@functools.cache
def _of_presets() -> set[str]:
    """The keys that conf/hydra/launcher says."""
    found = {"hydra.launcher._target_"}
    for path in (CONF / "hydra" / "launcher").glob("*.yaml"):
        found |= {key for key, _ in _nodes(OmegaConf.load(path), "hydra.launcher")}
    return found


def _environment(*arguments: Any, _node_: Any) -> Any:
    """oc.env for whom it serves: a file of somebody else's could show a secret on a tracking server that it names."""
    asked = str(_node_._value())
    if not any(asked in text for text in (*sys.argv, *(path.read_text() for path in CONF.rglob("*.yaml")))):
        raise InputError(f"{asked} reads the environment: a command line may say that, a file of --config-dir may not")
    return oc.env(*arguments)


class _Section:
    def __repr__(self) -> str:
        return "{...}"


SECTION = _Section()  # the value of what has children


def _is_below(key: str, place: str) -> bool:
    return key == place or key.startswith(f"{place}.")


def _nodes(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    """(key, value as written) of everything in a configuration; resolving an interpolation could run things."""
    container = isinstance(node, DictConfig | ListConfig)
    if not container or node._is_none() or node._is_missing() or node._is_interpolation():
        yield key, node._value() if hasattr(node, "_value") else node
        return
    yield key, SECTION
    children = [(str(k), node._get_node(k)) for k in (node if isinstance(node, DictConfig) else range(len(node)))]
    for name, child in children:
        yield from _nodes(child, f"{key}.{name}" if key else name)
