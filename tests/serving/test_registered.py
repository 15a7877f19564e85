"""A registered model answers, by a server and by pyfunc where our code is not, with what the run stored."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import TINY, call

from pipeline import rundir

pytestmark = pytest.mark.slow

TRACKED = TINY.replace("tracking=none", "")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder with a sweep of two arms and two seeds, each run registered, and its winner as digits@champion."""
    folder = tmp_path_factory.mktemp("registered")
    line = f"-m {TRACKED} architecture.kernel_size=1,3 seed=0,1 data.split_seed=0 dir=sweep tracking.register=digits"
    done = call(folder, "train", line)
    assert done.code == 0, done.err
    assert done.err.count("registered: models:/digits/") == 4
    done = call(folder, "export", "sweep=sweep register=digits alias=champion output=json")
    assert done.code == 0, done.err
    return folder, done.document


@pytest.fixture(scope="module")
def images(swept):
    """uint8 [200, 8, 8, 1] and the winner's stored probabilities of them."""
    folder, found = swept
    known = rundir.read_predictions(folder / found["run"])
    (prepared,) = folder.glob("prepared/*/images.npy")
    logits = known["logits"][:200].astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return np.load(prepared)[known["index"][:200]], shares / shares.sum(1, keepdims=True)


def outside(folder, **more):
    """The environment of a process that does not find our code, and unpickles nothing that is not plain."""
    uri = f"sqlite:///{folder}/mlruns/mlflow.db"
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    mine = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "OMP_NUM_THREADS": "1"}
    mine["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where mlflow finds its server
    return kept | mine | {"MLFLOW_DISABLE_TELEMETRY": "true"} | more


def test_the_winner_and_what_its_version_says(swept):
    from mlflow import MlflowClient

    folder, found = swept
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    version = client.get_model_version_by_alias("digits", "champion")
    assert len(client.search_model_versions("name = 'digits'")) == 4  # no second one of the same run
    run = folder / found["run"]
    verdict = json.loads((folder / "sweep" / "verdict.json").read_text())
    best = max(verdict["arms"], key=lambda one: one["mean"])
    assert version.tags["arm"] == f"kernel_size={best['levels']['architecture.kernel_size']}" == found["arm"]
    assert version.tags["verdict"] == "\n".join(verdict["sentences"])
    (interval,) = json.loads(version.tags["interval"]).values()
    assert interval["low"] <= interval["difference"] <= interval["high"]
    assert version.tags["run_key"] == rundir.read_run(run).key
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    metrics = {one.key: (one.value, one.dataset_name) for one in model.metrics}
    assert metrics["test/acc"] == (rundir.get_status(run).metrics["test/acc"], "digits")


def test_nothing_in_it_is_code(swept):
    """No pickle but a plain tensor, which torch reads without unpickling code."""
    import torch

    folder, _ = swept
    files = [path for path in folder.glob("mlruns/artifacts/models/*/artifacts/**/*") if path.is_file()]
    assert {path.suffix for path in files} == {".pt2", ".json", ".txt", ".yaml", ""}
    for path in files:
        if path.suffix == ".pt2":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if (content := archive.read(name))[:2] == b"PK":
                        (folder / "one").write_bytes(content)
                        torch.load(folder / "one", weights_only=True)


def test_predict_finds_it_by_alias_and_by_run(swept, images):
    folder, found = swept
    (folder / "photos").mkdir()
    for n, image in enumerate(images[0]):
        Image.fromarray(image[:, :, 0]).save(folder / "photos" / f"{n:03}.png")
    for named in ("models:/digits@champion", found["model"]["mlflow_run_id"]):
        done = call(folder, "predict", f"run={named} images=photos output=json")
        assert (done.code, done.err) == (0, "")
        shares = np.array([one["probabilities"] for one in done.document["predictions"]])
        assert np.abs(shares - images[1]).max() < 1e-5


PYFUNC = """
import sys, numpy, mlflow.pyfunc
sys.path = [path for path in sys.path if not path.endswith("pipeline")]
try:
    import pipeline
    raise SystemExit("our code is there")
except ImportError:
    pass
model = mlflow.pyfunc.load_model("models:/digits@champion")
images = numpy.load(sys.argv[1])
for size in (1, 2, 7):
    lots = [model.predict(images[i:i + size]) for i in range(0, len(images), size)]
    numpy.save(f"{sys.argv[2]}{size}.npy", numpy.concatenate(lots))
"""


def test_pyfunc_where_our_code_is_not(swept, images, tmp_path):
    np.save(tmp_path / "images.npy", images[0])
    line = [sys.executable, "-W", "ignore", "-c", PYFUNC, str(tmp_path / "images.npy"), str(tmp_path / "by")]
    done = subprocess.run(line, cwd=tmp_path, env=outside(swept[0]), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    for size in (1, 2, 7):
        assert np.abs(np.load(tmp_path / f"by{size}.npy") - images[1]).max() < 1e-5


def test_a_server_answers(swept, images, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = ["models", "serve", "-m", "models:/digits@champion", "--env-manager", "local", "-p", str(port)]
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), *line],
        cwd=tmp_path, env=outside(swept[0]), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        limit = time.monotonic() + 120
        while True:
            assert time.monotonic() < limit
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        for size in (1, 2, 7):
            lots = []
            for start in range(0, 200, size):
                body = json.dumps({"inputs": images[0][start : start + size].tolist()}).encode()
                asked = urllib.request.Request(
                    f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    lots += json.load(answer)["predictions"]
            assert np.abs(np.array(lots) - images[1]).max() < 1e-5
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_server_that_is_away_costs_no_run(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    line = f"{TRACKED} dir=run tracking=server tracking.uri={uri} tracking.register=digits tracking.wait_s=1"
    done = call(tmp_path, "train", f"{line} output=json")
    assert (done.code, done.document["status"]) == (0, "finished")
    assert "not registered: run: register=digits: cannot be had from http://" in done.err
