"""What people see in a browser: the report of a sweep, and the sweep on MLflow's own pages."""

import contextlib
import html
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from running import call

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed"),
]


@pytest.fixture
def browse(tmp_path):
    """browse(address) -> the words of the page as the browser shows it, after its scripts have run."""

    def show(address, *more):
        line = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
        line += ["--window-size=1600,1800", "--virtual-time-budget=60000", *more, "--dump-dom", address]
        done = subprocess.run(line, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return show


def words(dom):
    """The text of a page, a space between its elements."""
    visible = re.sub(r"<(script|style|title)\b.*?</\1>", " ", dom, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", visible)).split())


@pytest.fixture(scope="module")
def dashboard(road, tmp_path_factory):
    """`make dashboard` on the road's tracking, at a port of its own; yields its address."""
    folder, log_file = road[0], tmp_path_factory.mktemp("dashboard") / "server.log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = f"server --backend-store-uri sqlite:///mlruns/mlflow.db --host 127.0.0.1 --port {port} --workers 1"
    with open(log_file, "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *line.split()], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=1):
                break
            assert server.poll() is None, log_file.read_text()
            time.sleep(0.5)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_the_dashboard_is_served_as_make_says():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    (line,) = re.findall(r"mlflow server .*", makefile)
    assert "--backend-store-uri sqlite:///mlruns/mlflow.db --host 127.0.0.1 --port 5000" in line


def test_the_report_needs_no_network(road, browse):
    folder, said = road
    sweep = folder / said["sweep"].document["sweep"]
    dom = browse((sweep / "report.html").as_uri(), "--host-resolver-rules=MAP * ~NOTFOUND")
    seen = words(dom)
    for sentence in said["sweep"].document["verdict"]["sentences"]:
        assert " ".join(sentence.split()) in seen
    for word in ("architecture.kernel_size", "flatten", "gap", "0.0"):
        assert word in seen
    assert dom.count("<svg") >= 3
    assert "NaN" not in seen
    assert "None" not in seen


def test_the_index_of_claims_needs_no_network_and_leads_to_the_report(road, browse, tmp_path):
    folder, said = road
    sweep = folder / said["sweep"].document["sweep"]
    done = call(folder, "claims", f"runs_dir={sweep} out={tmp_path / 'index'}")
    assert done.code == 0, done.err
    page = tmp_path / "index" / "index.html"
    dom = browse(page.as_uri(), "--host-resolver-rules=MAP * ~NOTFOUND")
    seen = words(dom)
    for sentence in said["sweep"].document["verdict"]["sentences"]:
        assert " ".join(sentence.split()) in seen
    (link,) = re.findall(r'href="([^"]*report\.html)"', dom)
    assert (page.parent / link).resolve() == (sweep / "report.html").resolve()
    assert "<script" not in dom


def test_the_sweep_is_one_row_with_its_runs_nested(road, browse, dashboard):
    sweep = road[1]["sweep"].document  # experiment 2; the single run before it made the first
    seen = words(browse(f"{dashboard}/#/experiments/2/runs"))
    name = Path(sweep["sweep"]).name
    assert name in seen
    assert "9 matching runs" in seen
    assert "000_kernel_size" not in seen  # folded under their parent


def test_the_parent_shows_its_verdict_and_its_runs(road, browse, dashboard):
    sweep = road[1]["sweep"].document
    seen = words(browse(f"{dashboard}/#/experiments/2/runs/{sweep['mlflow_run_id']}"))
    assert "Status Finished" in seen
    assert "Child runs" in seen
    for run in sweep["runs"]:
        assert Path(run["run"]).name in seen
    level = sweep["verdict"]["factors"]["architecture.head"]["levels"][0]
    assert f"verdict/architecture.head.flatten {level['mean']}" in seen
    assert "levels.architecture.kernel_size : 3, 5" in seen


def test_a_run_shows_what_it_is(road, browse, dashboard):
    sweep = road[1]["sweep"].document
    run = sweep["runs"][0]
    seen = words(browse(f"{dashboard}/#/experiments/2/runs/{run['mlflow_run_id']}"))
    assert "Status Finished" in seen
    assert f"Parent run {Path(sweep['sweep']).name}" in seen
    assert f"test/acc {run['metrics']['test/acc']}" in seen
    for shown in ("architecture.kernel_size 3", "optimizer.lr 0.02", "Datasets digits", "system/cpu_utilization"):
        assert shown in seen
    assert f"{run['parameters']['total']}" in seen


def test_the_sweep_can_be_charted(road, browse, dashboard):
    seen = words(browse(f"{dashboard}/#/experiments/2/runs?compareRunsMode=CHART"))
    assert "verdict/architecture.head.flatten" in seen
    assert "verdict/architecture.kernel_size.5" in seen


def test_a_runs_curves_are_charted(road, browse, dashboard):
    run = road[1]["sweep"].document["runs"][0]
    seen = words(browse(f"{dashboard}/#/experiments/2/runs/{run['mlflow_run_id']}/model-metrics"))
    for group in ("test (2)", "train (2)", "val (2)"):
        assert group in seen
