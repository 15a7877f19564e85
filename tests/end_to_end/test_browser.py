"""What people see in a browser: the report of a sweep, and the sweep on MLflow's own pages."""

import html
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from running import call

from pipeline import rundir

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
def demo(road):
    """The demo, smaller than it is, tracked beside the road; what `train -m` said."""
    small = "experiment.max_seeds=4 trainer.max_epochs=2 data.limit_train=128 architecture.filters=[4,8]"
    done = call(road[0], "train", f"-m experiment=demo {small} runs_dir=demo output=json")
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(scope="module")
def opened(road, demo, tmp_path_factory):
    """The dashboard on the road's tracking, at a port of its own; yields the address that it prints, of the demo."""
    log = tmp_path_factory.mktemp("dashboard") / "server.log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "pipeline.dashboard", "runs_dir=demo", f"port={port}", "browser=false"]
    with open(log, "w") as file:
        serving = subprocess.Popen(line, cwd=road[0], stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        said = serving.stdout.readline()
        assert said.startswith(f"dashboard  http://127.0.0.1:{port}/#/experiments/"), log.read_text()
        again = call(road[0], "dashboard", f"runs_dir=demo port={port} browser=false")
        assert (again.code, again.out) == (0, said), again.err  # it is there already, and shows it
        yield said.split()[1]
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.stdout.close()
        assert serving.wait(60) == 0
        socket.create_server(("127.0.0.1", port)).close()  # nothing of it is left


@pytest.fixture(scope="module")
def dashboard(opened):
    """Its address, of no sweep."""
    return opened.partition("/#/")[0]


def cells(dom):
    """(row, column) -> the text of the cell, of a page's table of runs."""
    row, found = "", {}
    parts = re.split(r'(row-index="\d+"|<div[^>]* role="gridcell"[^>]*>)', dom)
    for tag, after in zip(parts[1::2], parts[2::2], strict=True):
        if tag.startswith("row-index"):
            row = tag
        elif column := re.search(r'col-id="([^"]+)"', tag):
            found[row, html.unescape(column[1])] = words(after)
    return found


def test_the_dashboard_answers(road, demo, browse, opened):
    """The question, the factors, the verdict, and each run's result beside its levels, without a click."""
    dom = browse(opened)
    seen, table = words(dom), cells(dom)
    assert "Which kernel size, padding and pool order reads handwritten digits best? → kernel_size: " in seen
    assert "test/acc by architecture.kernel_size: 3, 5; architecture.padding: same, valid; architecture.block:" in seen
    for sentence in demo["verdict"]["sentences"]:
        assert " ".join(sentence.split()) in seen
    assert f"{len(demo['runs'])} matching runs" in seen
    columns = [f"params.`architecture.{factor}`" for factor in ("kernel_size", "padding", "block")]
    rows = sorted({row for row, _ in table})
    shown = sorted([table[row, column] for column in ("metrics.`test/acc`", *columns)] for row in rows)
    assert len(shown) > 20
    results = [run["metrics"]["test/acc"] for run in demo["runs"]]
    jobs = rundir.read_sweep(road[0] / demo["sweep"]).jobs
    levels = [[str(job.levels[column[8:-1]]) for column in columns] for job in jobs]
    for result, *at in shown:
        assert [float(result), *at] in [[acc, *of] for acc, of in zip(results, levels, strict=True)]


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
    seen = words(browse(f"{dashboard}/#/experiments/2/runs"))  # the single run before it made the first
    assert "kernel_size x head" in seen
    assert "9 matching runs" in seen
    assert "seed 0" not in seen  # folded under their parent


def test_the_parent_shows_its_verdict_and_its_runs(road, browse, dashboard):
    sweep = road[1]["sweep"].document
    seen = words(browse(f"{dashboard}/#/experiments/2/runs/{sweep['mlflow_run_id']}"))
    assert "Status Finished" in seen
    assert "Child runs" in seen
    for seed in (0, 1):
        assert f"kernel_size=3,head=gap seed {seed}" in seen
    level = sweep["verdict"]["factors"]["architecture.head"]["levels"][0]
    assert f"verdict/architecture.head.flatten {level['mean']}" in seen
    assert "levels.architecture.kernel_size : 3, 5" in seen


def test_a_run_shows_what_it_is(road, browse, dashboard):
    sweep = road[1]["sweep"].document
    run = sweep["runs"][0]
    seen = words(browse(f"{dashboard}/#/experiments/2/runs/{run['mlflow_run_id']}"))
    assert "Status Finished" in seen
    assert "Parent run kernel_size x head" in seen
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
    for group in ("test (9)", "train (2)", "val (2)"):
        assert group in seen
