"""What all commands share: Hydra's command line, one clear message per mistake, exit codes.

Exit codes: 0 done, 1 failed, 2 bad input, 75 stopped early and resumable.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import InputError, nearest
from pipeline.training.stopping import Stopped, interruptible

CONF = Path(__file__).resolve().parent.parent / "conf"

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 75


@dataclass
class Sweep:
    """A multirun before its first job: what the command needs to check it and to start it."""

    jobs: list[list[str]]  # per job, its overrides
    swept: list[str]  # the keys that vary, in the order given
    compose: Callable[[list[str]], DictConfig]  # a job's overrides -> its configuration
    launcher: Any  # Hydra's, that was chosen to run them


_exit_code = DONE
_error: Exception | None = None
_multirun: Callable[[Sweep], int] | None = None


def multirun(sweep: Sweep) -> None:
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
    sweep: Callable[[Sweep], int] | None = None,
    schema: type | None = None,
) -> None:
    """Run a command and exit: `job` for one configuration, `sweep` for a multirun (-m). Both return exit codes.

    `schema` is the dataclass of a command that has a configuration of its own, conf/<config_name>.yaml.
    Nothing is written before the configuration is known to be good.
    """
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig

    from pipeline import config, hostile

    global _multirun
    hostile.refuse_code()
    config.register()
    if schema:
        ConfigStore.instance().store(name=f"{config_name}_schema", node=schema)
    _multirun = sweep
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Hydra would print its own report and exit with 1; we word the message and choose the code.
    os.environ["HYDRA_FULL_ERROR"] = "1"

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
    try:
        check_arguments(sys.argv[1:])
        with interruptible():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(task)()
        if _error:
            raise _error
    except (KeyboardInterrupt, Stopped):
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = explain(error, config_name)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    sys.exit(_exit_code)


def emit(output: str, document: dict[str, Any], table: Callable[[], None]) -> None:
    """Print the result: a table for people, or with output=json the document alone on stdout."""
    if output == "json":
        print(json.dumps(document, indent=2, default=str, allow_nan=False))
    else:
        table()


def verdict_table(sweep: Path, found: dict[str, Any]) -> None:
    """The verdict of a sweep for people, and where to look next: how `train -m` and `compare` end."""
    from rich.console import Console

    from pipeline.evidence import print_table

    console = Console()
    print_table(found, console)
    lines = [f"report     {sweep / 'report.html'}", f"runs       {sweep}"]
    if (sweep / "tracking.json").exists():
        lines.append("dashboard  make dashboard, then http://127.0.0.1:5000")
    console.print("\n" + "\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def check_arguments(arguments: list[str]) -> None:
    """Refuse, before Hydra reads it, what would let a command line name code to run (see hostile.py for files).

    And what Hydra fails over: an override without a key.
    """
    for argument in arguments:
        if argument.startswith("--experimental-rerun"):
            raise InputError(f"{argument}: not supported; it would unpickle a file. Use dir=... to resume a run.")
        key = argument.lstrip("+~").split("=", 1)[0]
        if "_target_" in argument or re.match(r"hydra[./](callbacks|job_logging|hydra_logging)", key):
            raise InputError(f"{argument}: a configuration cannot name code to run (_target_, callbacks, logging).")
        if "=" in argument and not key.strip():
            raise InputError(f"{argument}: names no key; an override is key=value, +key=value or ~key.")


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
        return f"{error.override}: not understood ({text.splitlines()[0]})."
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
