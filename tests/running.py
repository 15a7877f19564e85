"""What tests share that run our commands. A module of its own: every folder's conftest.py is called conftest."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

# A run of about a second: 64 scans of digits, one epoch, a small network, one thread, no MLflow.
TINY = "data.limit_train=64 trainer.max_epochs=1 trainer.threads=1 architecture.filters=[4,8] tracking=none"


@dataclass
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        """The one JSON document on stdout."""
        return strict_json(self.out)


def strict_json(text):
    """Parse JSON as every other language does, where NaN and Infinity are errors."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def call(folder, module, line="", timeout_s=280, **env):
    """Run `python -m pipeline.<module> <line>` in `folder`, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", f"pipeline.{module}", *shlex.split(line)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **env},
    )
    return Done(done.returncode, done.stdout, done.stderr)


def begin(folder, line, *before, **env):
    """Start `python -m pipeline.train <line>` in `folder`, in a process group of its own; `before` stands before it."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "pipeline.train", *line.split()],
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def refused(done, *said):
    """One line on stderr, which says all of `said`; exit code 2."""
    assert done.err.startswith("error: "), done.err
    assert done.err.count("\n") == 1, done.err
    assert done.out == ""
    assert [words for words in said if words not in done.err] == [], done.err
    assert done.code == 2


def left_in(folder):
    """Every file and folder in `folder`, by its path from there."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextlib.contextmanager
def restored_torch():
    """Put back what a training run sets for its whole process."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = fill


@contextlib.contextmanager
def hydra_reset():
    """Hydra and our command line as in a fresh process."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    from pipeline import cli

    GlobalHydra.instance().clear()
    cli._exit_code, cli._error, cli._multirun = cli.DONE, None, None
    try:
        yield
    finally:
        load = ConfigLoaderImpl.load_configuration
        ConfigLoaderImpl.load_configuration = getattr(load, "__wrapped__", load)  # see hostile.refuse_code
        OmegaConf.clear_resolvers()
        GlobalHydra.instance().clear()
        cli._exit_code, cli._error, cli._multirun = cli.DONE, None, None
