"""Running our commands in a folder of their own, in this process or in a real one."""

import importlib
import os
import shlex
import sys

import pytest
from running import REPOSITORY, Done, call, hydra_reset, restored_torch

# Two test processes share two cores: with two threads each, which wait for each other by spinning, the demo took 492 s
# in place of 116. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The processes that tests start find the package, and theirs do, wherever they work.
os.environ["PYTHONPATH"] = str(REPOSITORY)


def pytest_addoption(parser):
    parser.addoption(
        "--endurance", action="store_true", help="100 interruptions, 200 runs, 10,000 overrides, not a tenth"
    )
    parser.addoption("--record", action="store_true", help="same_numbers.json, the tutorial's pictures: written anew")


@pytest.fixture
def endurance(request):
    """Divides the numbers of the tests that repeat something very often: 1 with --endurance, else 10."""
    return 1 if request.config.getoption("--endurance") else 10


def pytest_configure(config):
    # MLflow's own tables use what SQLAlchemy deprecates, and connections that it forgets are garbage.
    config.addinivalue_line("filterwarnings", "ignore:The ``noload`` loader strategy")
    config.addinivalue_line("filterwarnings", "ignore:unclosed database:ResourceWarning")


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(workdir, monkeypatch, capfd):
    """Run `python -m pipeline.<module> <line>` in this process: command("train", "seed=1") -> Done.

    All of it: the runs of a sweep would otherwise be trained by workers, out of reach of what a test puts in their way.
    """
    # What commands set for their process is put back after the test.
    ours = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
    for name in ("HYDRA_FULL_ERROR", "GLOO_SOCKET_IFNAME", *ours):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def run(module, line=""):
        words = shlex.split(line)
        if module == "train" and "-m" in words and "hydra/launcher=" not in line:
            words.append("hydra/launcher=basic")
        monkeypatch.setattr(sys, "argv", [f"{module}.py", *words])
        capfd.readouterr()
        with hydra_reset(), restored_torch(), pytest.raises(SystemExit) as ended:
            importlib.import_module(f"pipeline.{module}").main()
        out, err = capfd.readouterr()
        return Done(ended.value.code or 0, out, err)

    return run


@pytest.fixture
def process(workdir):
    """Run `python -m pipeline.<module> <line>` in a process of its own."""

    def run(module, line="", **env):
        return call(workdir, module, line, **env)

    return run
