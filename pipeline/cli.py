"""What all commands share: Hydra's command line, one clear message per mistake, exit codes.

Exit codes: 0 done, 1 failed, 2 bad input, 75 stopped early and resumable.
"""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import yaml
from omegaconf import DictConfig, OmegaConf

from pipeline import environment, terminal
from pipeline.beginning import INTERRUPTED
from pipeline.errors import InputError, machine_said, nearest, of_machine
from pipeline.groups import CONF
from pipeline.stopping import Stopped, asked, interruptible
from pipeline.sweep.design import Multirun

DONE, FAILED, BAD_INPUT = 0, 1, 2


_exit_code = DONE
_error: Exception | None = None
_multirun: Callable[[Multirun], int] | None = None


def multirun(sweep: Multirun) -> None:
    """Called by the sweeper: pass the sweep to the command that is running."""
    global _exit_code
    if _multirun is None:
        raise InputError("-m: this command runs one configuration at a time; leave -m out.")
    _exit_code = _multirun(sweep)


def sweeping() -> bool:
    """Whether this process runs the sweep itself, and is none that a launcher started for one of its jobs."""
    return _multirun is not None


def main(
    config_name: str,
    job: Callable[[DictConfig], int],
    sweep: Callable[[Multirun], int] | None = None,
    schema: type | None = None,
) -> None:
    """Run a command and exit: `job` for one configuration, `sweep` for a multirun (-m). Both return exit codes.

    `schema` is the dataclass of a command that has a configuration of its own, conf/<config_name>.yaml.
    Nothing is written before the configuration is known to be good.
    """
    global _multirun
    _multirun = sweep
    # Hydra would print its own report and exit with 1; we word the message and choose the code.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _compose(config_name, job, schema)
    except SystemExit as ended:  # of Hydra, after --package=nosuch, say
        sys.exit(BAD_INPUT if ended.code else DONE)
    except (KeyboardInterrupt, Stopped):
        terminal.say("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `--help | head` has read enough
        _to_nowhere()
        sys.exit(DONE)
    except UnprintedError as error:
        terminal.say(f"error: {error}")
        sys.exit(FAILED)
    except Exception as error:
        message = explain(error, config_name)
        if found := of_machine(error):
            said = f"{message} {machine_said(found, os.getcwd())}" if message else machine_said(found, os.getcwd())
            terminal.say(f"interrupted: {said} Once that is mended, the same command goes on.")
            sys.exit(INTERRUPTED)
        if message is None:
            raise
        if asked():  # a signal, raised within what took it for a mistake
            terminal.say("Interrupted.")
            sys.exit(INTERRUPTED)
        terminal.say(f"error: {message}")
        sys.exit(BAD_INPUT)
    sys.exit(_exit_code)


def _compose(config_name: str, job: Callable[[DictConfig], int], schema: type | None) -> None:
    """Have Hydra compose what the command line asks for, and do `job` with it, or the sweep."""
    global _multirun
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig

    from pipeline import config, no_code

    def task(cfg: DictConfig) -> None:
        global _exit_code, _error
        try:
            # A launcher's process may stand elsewhere; relative paths mean what they mean where the command was given.
            # As it was put there: a folder may be called ${x}, which would be looked up.
            os.chdir(OmegaConf.to_container(HydraConfig.get().runtime, resolve=False)["cwd"])  # type: ignore
            _exit_code = job(cfg)
        except Exception as error:  # kept from Hydra, which would print a line of its own about it
            _error = error

    # Hydra finds "module of the task" by it; the function must be importable for launchers that pickle it.
    task.__module__ = job.__module__
    check_folder()
    no_code.refuse_code()
    config.register()
    if schema:
        ConfigStore.instance().store(name=f"{config_name}_schema", node=schema)
    flags = check_arguments(sys.argv[1:])
    if flags.help:
        job, sys.argv[1:] = _helping(sys.modules[job.__module__], flags)
        _multirun = None
    elif flags.hydra_help:
        print(hydra_help())
        return
    for word in () if flags.help else flags.overrides:
        if "=" not in word and not word.startswith("~"):
            keys = f" Keys are {', '.join(field.name for field in fields(schema))}." if schema else ""
            raise InputError(f"{word}: not understood; an override is key=value, +key=value or ~key.{keys}")
    if not flags.info:  # which Hydra prints by a logger
        log = logging.StreamHandler(sys.stderr)
        log.setFormatter(terminal.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(handlers=[log], level=logging.WARNING)
    with interruptible():
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(task)()
    if _error:
        raise _error


def _helping(command: ModuleType, flags: argparse.Namespace) -> tuple[Callable[[DictConfig], int], list[str]]:
    """The job of --help, which prints what a command takes and has, and the words that its configuration is made of.

    A word that is no override names what to tell of: a key, or a section.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from pipeline import help

    told = [word for word in flags.overrides if "=" not in word and not word.startswith("~")]
    words = [word for word in flags.overrides if word not in told]
    parsed = OverridesParser.create().parse_overrides(words)
    words = [word for word, one in zip(words, parsed, strict=True) if not one.is_sweep_override()]
    folders = [Path(flags.config_dir)] if flags.config_dir else []

    def job(cfg: DictConfig) -> int:
        values: Any = OmegaConf.to_container(cfg, resolve=flags.resolve)
        page = help.page(command, values, told, folders)
        emit("table", {}, lambda: print(terminal.literal(page)))
        return DONE

    return job, [*(["--config-dir", flags.config_dir] if flags.config_dir else []), *words]


def emit(output: str, document: dict[str, Any], table: Callable[[], None]) -> None:
    """Print the result: a table for people, or with output=json the document alone on stdout."""
    try:
        if output == "json":
            print(json.dumps(document, indent=2, default=str, allow_nan=False))
        else:
            table()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # `| head` has read enough; rich says it by SystemExit
        _to_nowhere()
    except OSError as error:
        _to_nowhere()
        raise UnprintedError(f"standard output cannot be written ({error.strerror}).") from None


class UnprintedError(Exception):
    """The work is done, and what it gave could not be printed."""


def _to_nowhere() -> None:
    """What is still to be printed would fail again when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def check_folder() -> None:
    """Raise InputError where the folder that the command is given in is gone."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InputError("the folder that this is run from is gone. Change to one that is there.") from None


def check_arguments(arguments: list[str]) -> argparse.Namespace:
    """Hydra's flags and the overrides, as it will read them. Raises InputError for what is not for us.

    That is what would let a command line name code to run (see no_code.py for files), and what Hydra fails over.
    """
    flags = _parser().parse_args(arguments)
    for flag, why in REFUSED.items():
        if getattr(flags, flag) not in (None, False):
            raise InputError(f"--{flag.replace('_', '-')}: {why}")
    for flag, others in {"resolve": ("cfg", "help"), "package": ("cfg",)}.items():
        if getattr(flags, flag) and not any(getattr(flags, other) for other in others):
            raise InputError(f"--{flag}: goes with {' or '.join(f'--{other}' for other in others)}.")
    for path in CONF.rglob("*.yaml") if flags.config_dir else ():
        mine = Path(flags.config_dir) / path.relative_to(CONF)
        if mine.is_file() and mine.read_bytes() != path.read_bytes():
            raise InputError(f"{mine}: has the name of a file of ours, which would be taken in its place. Rename it.")
    ways = [f"--{way}" for way in ("run", "multirun", "cfg", "info") if getattr(flags, way)]
    if len(ways) > 1 and not (flags.help or flags.hydra_help):
        raise InputError(f"{' '.join(ways)}: one of them at a time.")
    for argument in flags.overrides:
        key = argument.lstrip("+~").split("=", 1)[0]
        if "_target_" in argument or re.match(r"hydra[./](callbacks|job_logging|hydra_logging)", key):
            raise InputError(f"{argument}: a configuration cannot name code to run (_target_, callbacks, logging).")
        if key.strip() == "hydra.searchpath":  # pkg://NAME imports it
            raise InputError(f"{argument}: not supported; --config-dir adds a folder of yours.")
        if "=" in argument and not key.strip():
            raise InputError(f"{argument}: names no key; an override is key=value, +key=value or ~key.")
    return flags


# Flags of Hydra that are none of ours, and what to do instead.
REFUSED = {
    "experimental_rerun": "not supported; it would unpickle a file. Use dir=... to resume a run.",
    "config_path": "not supported; --config-dir adds a folder of yours to conf/.",
    "config_name": "not supported; a command has one configuration. A file of yours is chosen by experiment=NAME.",
    "shell_completion": "not supported; it completes `python FILE`, not `python -m`. --help lists all keys and groups.",
}


def _parser() -> argparse.ArgumentParser:
    """Hydra's own, with one line for a mistake in place of its usage."""
    from hydra import __version__
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        known = "unrecognized arguments" not in message
        raise InputError(f"{message}. {'See --hydra-help.' if known else 'Flags stand before or after all overrides.'}")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    next(action for action in parser._actions if action.dest == "version").version = (  # type: ignore[attr-defined]
        f"convtrial {environment.our_version()}, with Hydra {__version__}"
    )
    return parser


def flags() -> dict[str, str]:
    """Each flag that all commands take, with what it does; a second name behind the first: `--multirun, -m`."""
    found = [one for one in _parser()._actions if one.option_strings and one.dest not in REFUSED]
    return {", ".join(one.option_strings): " ".join(str(one.help).split()) for one in found}


def hydra_help() -> str:
    """What of Hydra can be used here. Its own text comes of a configuration of its own, with loggers and a sweeper."""
    launchers = sorted(path.stem for path in (CONF / "hydra" / "launcher").glob("*.yaml"))
    return "\n".join(
        [
            "Hydra's flags (https://hydra.cc), before or after all overrides:",
            *(f"  {names:18} {does}" for names, does in flags().items()),
            "",
            f"Launchers for the runs of a sweep: hydra/launcher={'|'.join(launchers)}, and hydra.launcher.KEY=VALUE;",
            "--cfg hydra --package hydra.launcher shows the keys. --help shows what the command itself takes.",
        ]
    )


def explain(error: Exception, config_name: str, given: list[str] | None = None) -> str | None:
    """The one clear message for a user's mistake; None when the error is not one (then it is ours).

    `given` are the overrides that were composed: those of the command line, or of one job of a sweep.
    """
    given = [a for a in sys.argv[1:] if "=" in a and not a.startswith("-")] if given is None else given
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: not valid YAML ({error.problem})."
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):  # Hydra's own check
        return f"{' '.join(given)}: a group takes the name of one of its files, as in data=digits."
    text = str(error)
    if not isinstance(error, HydraException | OmegaConfBaseException):
        # An override of a list's item that is no number, for one, fails deep in OmegaConf over int("more").
        if _raised_in(error) not in ("hydra", "omegaconf"):
            return None
        return f"{' '.join(given)}: cannot be composed ({_first_line(error)})."
    cause = next(
        (e for e in (error, error.__cause__, error.__context__) if isinstance(e, OmegaConfBaseException)),
        None,
    )
    key = getattr(cause, "full_key", None)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not understood ({text.splitlines()[0]}).{_quoting(error.override or '')}"
    if match := re.search(r"(?:Ambiguous value for argument|Sweep parameters) '([^']+)'", text):
        return f"{match[1]}: several values need -m, which sweeps over them; a list is written key=[a,b]."
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1], config_name, given)
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'\s+Available options in '[^']+':\s*(.*)", text, re.S):
        group, name, options = match[1], match[2], re.findall(r"\S+", match[3].split("Config search path")[0])
        options = [o for o in options if not o.endswith("schema")]
        return f"{group}={name}: no such {group}. Allowed: {', '.join(options)}.{nearest(name, options)}"
    if match := re.search(r"Error merging override (\S+)", text):
        return f"{match[1]}: {_first_line(cause)}."
    if key and "not in" in text:
        return _unknown_key(key, config_name, given)
    literal = r" A '${' that means itself is written '\${'." if "nterpolation" in text else ""
    return f"{key}: {_first_line(cause)}.{literal}" if key and cause else " ".join(text.split())


def _raised_in(error: Exception) -> str:
    """The package whose code raised `error`."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] if trace else ""


def _first_line(error: Exception | None) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if error else "bad value"


def _quoting(override: str) -> str:
    """How to write a value that Hydra's grammar has no room for, where that is what is wrong."""
    name, _, value = override.partition("=")
    if not re.search(r"[^\x20-\x7e]|[ ()']", value) or value.startswith(("'", '"', "[", "{")):
        return ""
    escaped = value.replace("'", "\\'")
    return (
        " Letters beyond ASCII, brackets and quotes need quotes of their own within the shell's: "
        f"\"{name}='{escaped}'\"."
    )


def _unknown_key(key: str, config_name: str, given: list[str]) -> str:
    """Name the keys that stand where `key` was looked for, under the groups that the user chose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    value = next((a.split("=", 1)[1] for a in given if a.lstrip("+~").split("=", 1)[0] == key), None)
    shown = key if value is None else f"{key}={value}"
    groups = [
        line
        for line, o in zip(given, OverridesParser.create().parse_overrides(given), strict=True)
        if "." not in o.key_or_group and o.key_or_group != key and not o.is_sweep_override()
    ]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            node: Any = compose(config_name, overrides=groups)
    except Exception:  # the groups have a mistake of their own; name this one all the same
        return f"{shown}: no such key."
    where, _, leaf = key.rpartition(".")
    while where and not isinstance(OmegaConf.select(node, where), DictConfig):
        where, _, leaf = where.rpartition(".")
    keys = [str(k) for k in (OmegaConf.select(node, where) if where else node)]
    prefix = f"{where}." if where else ""
    hint = nearest(leaf, keys, prefix)
    return f"{shown}: no such key.{hint} Allowed{' under ' + where if where else ''}: {', '.join(keys)}."
