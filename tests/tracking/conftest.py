"""A sweep that MLflow shows, one that nobody tracked, and real tracking servers that end with the test."""

import os
import re
import shutil

import pytest
from running import TINY, call
from servers import kill_server, postgres, postgres_bin, start_server
from tracked import LINE

from pipeline import rundir
from pipeline.config.tracking import Tracking
from pipeline.rundir.documents import write_checked

SWEEP = f"-m {LINE} experiment.name=tracked 'experiment.question=Which?' architecture.kernel_size=2,3 seed=0,1"


@pytest.fixture(scope="module")  # tests add to it
def home(tmp_path_factory):
    """A folder in which one sweep ran in a process of its own, with the default tracking=local."""
    folder = tmp_path_factory.mktemp("tracking")
    done = call(folder, "train", f"{SWEEP} dir=sweep output=json")
    assert (done.code, done.document["sweep"]) == (0, "sweep"), done.err
    return folder


@pytest.fixture
def local(home):
    """The overrides that track into the database of `home`: a new one costs seconds."""
    return f"tracking.uri=sqlite:///{home}/mlruns/mlflow.db tracking.artifacts={home}/mlruns/artifacts"


@pytest.fixture
def client(home):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{home}/mlruns/mlflow.db")


@pytest.fixture
def in_home(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a sweep of two runs that nobody tracked, and a database that a first send made."""
    folder = tmp_path_factory.mktemp("sync")
    done = call(folder, "train", f"-m {TINY} seed=0,1 dir=sweep output=json")
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="session")
def where(place):
    return Tracking(uri=f"sqlite:///{place}/mlflow.db", artifacts=f"{place}/artifacts")


@pytest.fixture
def sweep(place, where, tmp_path, request):
    """A copy of the sweep as one of its own, in an experiment of its own, under tmp_path/runs."""
    copy = tmp_path / "runs" / "e" / "sweep"
    shutil.copytree(place / "sweep", copy)
    asked = rundir.read_json(copy / "sweep.json")
    asked |= {"uid": os.urandom(8).hex(), "tracking": vars(where)}
    asked["experiment"]["name"] = re.sub(r"\W", "-", request.node.name)
    write_checked(copy / "sweep.json", asked)
    for run in copy.glob("*/run.json"):
        known = rundir.read_json(run) | {"uid": os.urandom(8).hex()}
        known["config"] |= {"tracking": vars(where), "runs_dir": str(tmp_path / "runs")}
        known["config"]["experiment"]["name"] = asked["experiment"]["name"]
        write_checked(run, known)
    return copy


@pytest.fixture
def run(sweep, tmp_path):
    """One run by itself."""
    alone = tmp_path / "runs" / "e" / "run"
    shutil.copytree(sweep / "000_seed-0", alone)
    shutil.rmtree(sweep)
    return alone


@pytest.fixture
def server(tmp_path):
    """Start a real tracking server: server() -> (its address, its process)."""
    started = []

    def start(port=None, backend=None, wait=True):
        backend = backend or f"sqlite:///{tmp_path}/server.db"
        started.append(start_server(backend, tmp_path / "server_artifacts", tmp_path / "server.log", port, wait))
        return started[-1]

    yield start
    for _, made in started:
        kill_server(made)


@pytest.fixture(scope="session")
def postgresql():
    """The address of an empty PostgreSQL database."""
    if not postgres_bin():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres() as address:
        yield address
