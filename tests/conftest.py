"""Running our commands in a folder of their own, in this process or in a real one."""

import contextlib
import importlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# A run of about a second: 64 scans of digits, one epoch, a small network, one thread, no MLflow.
TINY = "data.limit_train=64 trainer.max_epochs=1 trainer.threads=1 architecture.filters=[4,8] tracking=none"


def pytest_configure(config):
    # MLflow's own tables use what SQLAlchemy deprecates; a connection that it forgets is closed by its garbage.
    config.addinivalue_line("filterwarnings", "ignore:The ``noload`` loader strategy")
    config.addinivalue_line("filterwarnings", "ignore:unclosed database:ResourceWarning")


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
    from hydra.core.global_hydra import GlobalHydra

    from pipeline import cli

    GlobalHydra.instance().clear()
    cli._exit_code, cli._error, cli._multirun = cli.DONE, None, None
    try:
        yield
    finally:
        GlobalHydra.instance().clear()
        cli._exit_code, cli._error, cli._multirun = cli.DONE, None, None


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty folder to work in, with the package importable from it by other processes."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return folder


@pytest.fixture
def command(workdir, monkeypatch, capfd):
    """Run `python -m pipeline.<module> <line>` in this process: command("train", "seed=1") -> Done."""
    # What commands set for their process is put back after the test.
    for name in ("HYDRA_FULL_ERROR", "GLOO_SOCKET_IFNAME", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def run(module, line=""):
        monkeypatch.setattr(sys, "argv", [f"{module}.py", *shlex.split(line)])
        capfd.readouterr()
        with hydra_reset(), restored_torch(), pytest.raises(SystemExit) as ended:
            importlib.import_module(f"pipeline.{module}").main()
        out, err = capfd.readouterr()
        return Done(ended.value.code or 0, out, err)

    return run


@pytest.fixture
def process(workdir):
    """Run `python -m pipeline.<module> <line>` in a process of its own."""

    def run(module, line="", timeout_s=280, **env):
        done = subprocess.run(
            [sys.executable, "-m", f"pipeline.{module}", *shlex.split(line)],
            cwd=workdir,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **env},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run
