"""MLflow shows what the run directories say: all of it, once, and never at a run's expense."""

import dataclasses
import itertools
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import REPOSITORY, Done, call, left_in
from servers import kill_server, recorded, rows_of

from pipeline import artifacts, config, rundir
from pipeline.run import finish
from pipeline.rundir.documents import write_checked
from pipeline.sweep import earlier
from pipeline.tracking import live
from pipeline.tracking.send import send
from pipeline.tracking.state import read_run_id

LINE = "data.limit_train=64 trainer.max_epochs=2 trainer.threads=1 architecture.filters=[4,8]"
SWEEP = f"-m {LINE} experiment.name=tracked 'experiment.question=Which?' architecture.kernel_size=2,3 seed=0,1"


@pytest.fixture(scope="module")
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


def runs_of(client, experiment):
    """(parent, children) of the one sweep of an experiment."""
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    return parents[0], [run for run in found if run is not parents[0]]


def shown(database, run_id):
    """Every metric row that the database holds for a run: (name, step, time, value), with its count."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT key, step, timestamp, value FROM metrics WHERE run_uuid = ?", [run_id])
        found = Counter(rows.fetchall())
    connection.close()
    return found


# ---- a sweep


def test_one_parent_and_its_runs_nested_all_finished(home, client):
    parent, children = runs_of(client, "tracked")
    assert len(children) == 4
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    directories = [path.parent for path in (home / "sweep").glob("*/run.json")]
    assert {run.info.run_id for run in children} == {read_run_id(path) for path in directories}
    assert parent.info.run_id == read_run_id(home / "sweep")
    assert sorted(run.info.run_name for run in children) == sorted(path.name for path in directories)


def test_the_parent_says_what_was_asked(client):
    parent, _ = runs_of(client, "tracked")
    assert parent.data.tags["mlflow.note.content"] == "Which?"
    assert parent.data.tags["factors"] == "architecture.kernel_size"
    assert parent.data.tags["runs"] == "4"
    assert parent.data.tags["levels.architecture.kernel_size"] == "2, 3"


def test_the_parent_holds_the_verdict(home, client):
    parent, _ = runs_of(client, "tracked")
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"sweep.json", "verdict.json", "report.html"} <= names
    local = client.download_artifacts(parent.info.run_id, "verdict.json")
    assert rundir.read_json(Path(local)) == rundir.read_json(home / "sweep" / "verdict.json")
    assert any(name.endswith(".png") for name in names)
    levels = rundir.read_json(home / "sweep" / "verdict.json")["factors"]["architecture.kernel_size"]["levels"]
    assert parent.data.metrics == {
        f"verdict/architecture.kernel_size.{level['level']}": level["mean"] for level in levels
    }


def test_parameters_are_flat_under_the_configs_own_names(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        asked = rundir.read_json(home / child.data.tags["run_dir"] / "run.json")
        flat = config.flat(asked["config"])
        assert {name: str(flat[name]) for name in child.data.params} == child.data.params
        assert {"seed", "architecture.kernel_size", "optimizer.lr", "trainer.max_epochs"} <= set(child.data.params)
        missing = set(flat) - set(child.data.params)
        assert {name.split(".")[0] for name in missing} <= {"tracking", "experiment", "dir", "output"}


def test_tags_say_which_run_it_is(home, client):
    _, children = runs_of(client, "tracked")
    found = sorted((run.data.tags["arm"], run.data.tags["seed"]) for run in children)
    assert found == [("kernel_size=2", "0"), ("kernel_size=2", "1"), ("kernel_size=3", "0"), ("kernel_size=3", "1")]
    for run in children:
        asked = rundir.read_json(home / run.data.tags["run_dir"] / "run.json")
        assert run.data.tags["sweep"] == "sweep"
        assert run.data.tags["data_digest"] == asked["dataset"]["digest"]
        assert run.data.tags["run_key"] == asked["key"]
        assert run.data.tags["mlflow.source.git.commit"] == (asked["git_sha"] or "")
        assert run.data.tags["parameters"] == str(asked["parameters"])
        assert run.data.tags["arm"] == asked["arm"]


def test_every_metric_row_is_shown_once(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        expected = recorded(home / child.data.tags["run_dir"])
        assert set(expected.values()) == {1}
        assert {"train/loss", "val/loss", "val/acc", "test/acc", "test/loss", "lr"} <= {row[0] for row in expected}
        assert any(row[0].startswith("system/") for row in expected)
        assert shown(home / "mlruns/mlflow.db", child.info.run_id) == expected
        history = client.get_metric_history(child.info.run_id, "val/acc")
        assert [point.step for point in history] == [1, 2]


def test_what_is_shown_is_what_the_checkpoint_gives(home, client, in_home):
    from pipeline.evaluation.predict import evaluate

    _, children = runs_of(client, "tracked")
    for child in children:
        metrics = evaluate(Path(child.data.tags["run_dir"]))["metrics"]
        assert child.data.metrics["test/acc"] == metrics["test/acc"]
        assert child.data.metrics["test/loss"] == metrics["test/loss"]


def test_the_data_set_is_an_input(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        (entry,) = client.get_run(child.info.run_id).inputs.dataset_inputs
        asked = rundir.read_json(home / child.data.tags["run_dir"] / "run.json")["dataset"]
        assert entry.dataset.name == "digits"
        assert entry.dataset.digest == asked["digest"][:12]
        assert '"num_examples": 603' in entry.dataset.profile  # 64 + 180 + 359


def test_configuration_checkpoints_and_plots_are_artifacts(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        run = home / child.data.tags["run_dir"]
        found = {file.path for file in client.list_artifacts(child.info.run_id)}
        assert {"run.json", "status.json", "metrics.jsonl", "predictions.npz", "curves.png"} <= found
        kept = [file.path for file in client.list_artifacts(child.info.run_id, "checkpoints")]
        assert kept == ["checkpoints/best.ckpt", "checkpoints/last.ckpt"]
        for name in ("run.json", "checkpoints/best.ckpt", "status.json"):
            copy = Path(client.download_artifacts(child.info.run_id, name))
            assert copy.read_bytes() == (run / name).read_bytes()


def test_the_run_ends_when_it_ended(home, client):
    _, children = runs_of(client, "tracked")
    for child in children:
        assert child.info.end_time == int(rundir.get_status(home / child.data.tags["run_dir"]).ended * 1000)


# ---- the files of a run


def test_each_file_of_a_run_is_in_the_table(home):
    known = {artifact.path for artifact in artifacts.ARTIFACTS}
    for run in (path.parent for path in (home / "sweep").glob("*/run.json")):
        assert {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()} <= known


@pytest.mark.parametrize("name", ["activations.npz", "seen/activations.npz"])
def test_an_entry_in_the_table_is_all_that_a_new_file_of_a_run_needs(
    name, home, in_home, client, tmp_path, monkeypatch
):
    """It is sent, is copied with a run that serves another sweep, and goes with what a damaged run left."""
    new = artifacts.Artifact(name, "what a layer saw", linked=True)
    monkeypatch.setattr(artifacts, "ARTIFACTS", (*artifacts.ARTIFACTS, new))
    run = tmp_path / "runs" / "e" / "run"
    shutil.copytree(sorted((home / "sweep").glob("*/run.json"))[0].parent, run)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_bytes(b"seen")
    (run / "tracking.json").unlink()
    record = dataclasses.replace(rundir.read_run(run), uid="new")
    record.config["experiment"]["name"] = "files"
    rundir.write_record(run / "run.json", record)

    shown_by = send(run, config.Tracking(**record.config["tracking"])).run_id
    assert Path(client.download_artifacts(shown_by, name)).read_bytes() == b"seen"

    settings = dataclasses.replace(config.of_run(run), runs_dir=str(tmp_path / "runs"), resume=True)
    job = SimpleNamespace(settings=settings, key=SimpleNamespace(digest=record.key), arm="")
    place = tmp_path / "runs" / "e" / "sweep" / "000"
    assert earlier.serve(place.parent, [job], [place]) == {place: run}
    assert (place / name).samefile(run / name)

    rundir.clear(run)
    assert {"run.json"} <= set(left_in(run)) <= {"lock", "run.json", "tracking.json", "tracking.lock"}
    assert (place / name).read_bytes() == b"seen"


# ---- sending again


@pytest.fixture
def copied(home, client):
    """A run of the sweep, to be sent again: its directory and its MLflow run's id."""
    path = home / "sweep" / "000_kernel_size-2_seed-0"
    before = (path / "tracking.json").read_bytes()
    yield path, read_run_id(path)
    (path / "tracking.json").write_bytes(before)


def test_a_second_push_adds_nothing(home, copied, in_home):
    path, run_id = copied
    for _ in range(2):
        assert send(path).run_id == run_id
        write_checked(path / "tracking.json", rundir.read_json(path / "tracking.json") | {"ended": None})
    assert shown(home / "mlruns/mlflow.db", run_id) == recorded(path)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_rows_sent_again_are_not_doubled(rows, home, copied, in_home):
    path, run_id = copied  # killed after the rows were sent, before tracking.json said so
    known = rundir.read_json(path / "tracking.json")
    assert known["rows"] == 3
    last = {"last_row": rundir.digest(list(rundir.metric_rows(path))[rows - 1])}
    write_checked(path / "tracking.json", {**known, **last, "rows": rows, "ended": None})
    send(path)
    assert rundir.read_json(path / "tracking.json")["rows"] == 3
    assert shown(home / "mlruns/mlflow.db", run_id) == recorded(path)


def test_rows_that_came_later_are_sent_alone(home, copied, in_home):
    path, run_id = copied
    before, rows = shown(home / "mlruns/mlflow.db", run_id), (path / "metrics.jsonl").read_bytes()
    try:
        rundir.append_metrics(path, 7, {"late": 0.5})
        with open(path / "metrics.jsonl", "a") as file:
            file.write('{"step": 8, "time_ms": 1, "metr')  # a row that is being written
        write_checked(path / "tracking.json", rundir.read_json(path / "tracking.json") | {"ended": None})
        assert send(path).rows == 1
        assert {(name, step, value) for name, step, _, value in shown(home / "mlruns/mlflow.db", run_id) - before} == {
            ("late", 7, 0.5)
        }
    finally:
        (path / "metrics.jsonl").write_bytes(rows)


def test_a_run_that_was_never_shown_is_made_by_a_push(home, client, local, command, workdir):
    assert command("train", f"{LINE} tracking=none experiment.name=replayed dir=run").code == 0
    run = workdir / "run"
    asked = rundir.read_json(run / "run.json")
    asked["config"]["tracking"]["uri"] = f"sqlite:///{home}/mlruns/mlflow.db"
    asked["config"]["tracking"]["artifacts"] = f"{home}/mlruns/artifacts"
    write_checked(run / "run.json", asked)
    send(run)
    (made,) = client.search_runs([client.get_experiment_by_name("replayed").experiment_id])
    assert made.info.status == "FINISHED"
    assert shown(home / "mlruns/mlflow.db", made.info.run_id) == recorded(run)
    assert made.data.params["architecture.filters"] == "[4, 8]"


# ---- ends


@pytest.mark.slow
def test_a_failed_run_is_failed(client, local, command, monkeypatch):
    def broken(path, gpu=None):
        rundir.append_metrics(path, 1, {"train/loss": 2.5})
        raise RuntimeError("no more memory")

    monkeypatch.setattr(finish, "fit", broken)
    assert command("train", f"{LINE} {local} experiment.name=failing dir=run").code == 1
    (run,) = client.search_runs([client.get_experiment_by_name("failing").experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.metrics == {"train/loss": 2.5}
    assert "error.txt" in {file.path for file in client.list_artifacts(run.info.run_id)}


@pytest.mark.slow
def test_an_interrupted_run_is_killed(client, local, command, monkeypatch):
    def stopped(path, gpu=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(finish, "fit", stopped)
    assert command("train", f"{LINE} {local} experiment.name=stopping dir=run").code == 75
    (run,) = client.search_runs([client.get_experiment_by_name("stopping").experiment_id])
    assert run.info.status == "KILLED"


@pytest.mark.slow
def test_a_sweep_with_a_failed_run_is_failed(client, local, command):
    line = f"-m {LINE} {local} experiment.name=mixed optimizer.lr=0.01,1e30 dir=sweep output=json"
    done = command("train", line)
    assert done.code == 1
    parent, children = runs_of(client, "mixed")
    assert parent.info.status == "FAILED"
    assert sorted(run.info.status for run in children) == ["FAILED", "FINISHED"]
    assert done.document["mlflow_run_id"] == parent.info.run_id
    assert {run["mlflow_run_id"] for run in done.document["runs"]} == {run.info.run_id for run in children}


@pytest.mark.slow
def test_an_interrupted_sweep_does_not_stay_running(client, local, command, monkeypatch):
    def stopped(path, gpu=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(finish, "fit", stopped)
    assert command("train", f"-m {LINE} {local} experiment.name=cut seed=0,1 dir=sweep").code == 75
    parent, children = runs_of(client, "cut")
    assert [run.info.status for run in children] == ["KILLED"]
    assert parent.info.status == "KILLED"


@pytest.mark.slow
def test_levels_of_any_kind_reach_the_parent(client, local, command, caplog):
    line = f"-m {LINE} {local} experiment.name=lists architecture.filters=[4],[4,8] seed=0,1 dir=sweep"
    assert command("train", line).code == 0
    parent, children = runs_of(client, "lists")
    assert parent.data.tags["levels.architecture.filters"] == "[4], [4, 8]"
    assert {run.data.params["architecture.filters"] for run in children} == {"[4]", "[4, 8]"}
    assert "verdict.json" in {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert len(parent.data.metrics) == 2
    assert caplog.text == ""


def test_comparing_again_shows_the_verdict_once(home, client, command):
    parent, _ = runs_of(client, "tracked")
    before = shown(home / "mlruns/mlflow.db", parent.info.run_id)
    shutil.copytree(home / "sweep", "sweep")
    absolute = rundir.read_json(Path("sweep/tracking.json"))
    absolute["tracking"]["uri"] = f"sqlite:///{home}/mlruns/mlflow.db"
    write_checked(Path("sweep/tracking.json"), absolute)
    assert command("compare", "sweep=sweep").code == 0
    after = shown(home / "mlruns/mlflow.db", parent.info.run_id)
    assert [(name, step, value) for name, step, _, value in after.elements()] == [
        (name, step, value) for name, step, _, value in before.elements()
    ]


# ---- a sweep that goes on, and levels of any kind


@pytest.fixture
def found(home, local, workdir):
    """found({factor: levels}, {name: mean}, started) -> what MLflow shows of a finished sweep, put there by hand."""
    uri, artifacts = (word.split("=", 1)[1] for word in local.split())
    tracking = {"uri": uri, "artifacts": artifacts, "push_every_s": 5.0, "wait_s": 10.0}
    sweep = workdir / "sweep"
    sweep.mkdir()

    def show(levels, metrics, started=1000.0):
        rows = [dict(zip(levels, row, strict=True)) for row in itertools.product(*levels.values())]
        jobs = [{"levels": row, "seed": 0, "dir": f"{n:03d}", "key": str(n)} for n, row in enumerate(rows)]
        question = {"name": "odd", "question": "?", "metric": "test/acc", "mode": "max", "smallest_effect": 0.01}
        asked = {"uid": rundir.uid(sweep / "sweep.json"), "experiment": question}
        asked |= {"factors": list(levels), "jobs": jobs, "git_sha": None, "started": started, "tracking": tracking}
        write_checked(sweep / "sweep.json", asked)
        rundir.set_status(sweep, "finished", ended=started + 1)
        live.begin_sweep(sweep, config.Tracking(**tracking), workdir)
        live.attach(sweep, [sweep / "sweep.json"], metrics)
        return read_run_id(sweep)

    return show


def verdicts(home, run_id):
    """Every verdict row of a sweep: {name: [value, ...]}, in the order of their times."""
    rows: dict = {}
    for (name, _, _, value), count in sorted(shown(home / "mlruns/mlflow.db", run_id).items(), key=lambda r: r[0][2]):
        rows.setdefault(name, []).extend([value] * count)
    return rows


def test_however_often_it_goes_on_a_verdict_stands_there_once(home, client, found):
    levels, first = {"kernel_size": [3, 5]}, {"kernel_size.3": 0.5, "kernel_size.5": 0.75}
    run_id = found(levels, first)
    for started in (2000.0, 3000.0, 500.0):
        assert found(levels, first, started) == run_id
    assert verdicts(home, run_id) == {"verdict/kernel_size.3": [0.5], "verdict/kernel_size.5": [0.75]}
    # With another seed one of them changes, and then back.
    for value in (0.625, 0.5):
        for started in (4000.0, 5000.0):
            assert found(levels, first | {"kernel_size.3": value}, started) == run_id
        assert client.get_run(run_id).data.metrics == {"verdict/kernel_size.3": value, "verdict/kernel_size.5": 0.75}
    assert verdicts(home, run_id) == {"verdict/kernel_size.3": [0.5, 0.625, 0.5], "verdict/kernel_size.5": [0.75]}


def test_a_lost_answer_or_a_lost_tracking_file_doubles_no_verdict(home, found, workdir):
    levels, means = {"kernel_size": [3, 5]}, {"kernel_size.3": 0.5, "kernel_size.5": 0.75}
    run_id = found(levels, means)
    (workdir / "sweep/tracking.json").unlink()
    assert found(levels, means, 2000.0) == run_id
    send(workdir / "sweep", again=True)
    assert verdicts(home, run_id) == {"verdict/kernel_size.3": [0.5], "verdict/kernel_size.5": [0.75]}


ODD = {
    "long lists": [[{"conv": {"filters": n}} for n in range(200)] + [end] for end in (1, 2)],
    "many": [f"level {n}" for n in range(1200)],
    "paths": ["a//b", "../a", "a/../b", "/a/", "./a", "a"],
    "alike": ["a,b", "a;b", "a_b"],
    "other letters": ["日本語" * 200, "é" * 9000, ""],
    "no text": [None, True, 0.5, {"a": [1]}],
}


@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        *((kind, "architecture.layers") for kind in ODD),
        *((kind, name) for kind in ("long lists", "paths") for name in ("data@transfer.pretrain", "f" * 300)),
    ],
)
def test_levels_of_any_length_and_kind_reach_mlflow(kind, factor, client, found, caplog):
    means = {f"{factor}.{level}": n / 8 for n, level in enumerate(ODD[kind])}
    run = client.get_run(found({factor: ODD[kind]}, means))
    assert run.info.status == "FINISHED"
    assert sorted(run.data.metrics.values()) == sorted(means.values())
    (tag,) = (value for key, value in run.data.tags.items() if key.startswith("levels."))
    assert len(tag) <= 4000
    assert ("…" in tag) == (kind in ("long lists", "many", "other letters"))
    assert caplog.text == ""


def test_a_sweep_over_long_lists_of_layers_is_shown_whole(client, local, command, workdir):
    layers = [[{"conv": {"filters": 4}}] * 40 + [{"activation": "relu"}] * n + [{"flatten": {}}] for n in (1, 2)]
    layers = [[*row, {"dense": {"units": 10}}] for row in layers]
    # As Hydra writes it: no quotes, no spaces.
    typed = ",".join(str(row).replace("'", "").replace(" ", "") for row in layers)
    line = f"-m {LINE.replace('architecture.filters=[4,8]', '')} {local} experiment.name=long trainer.max_epochs=1"
    done = command("train", f"{line} 'architecture.layers={typed}' seed=0,1 dir=sweep")
    assert done.code == 0, done.err
    parent, children = runs_of(client, "long")
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert len(parent.data.metrics) == 2
    assert parent.data.tags["levels.architecture.layers"].count("…") == 2
    assert len({run.data.tags["arm"] for run in children}) == 2
    assert {run.data.params["architecture.layers"] for run in children} == {str(row) for row in layers}
    folders = sorted(path.name for path in (workdir / "sweep").glob("*_*"))
    assert sorted(run.info.run_name for run in children) == folders
    assert [name[-7:] for name in folders] == ["_seed-0", "_seed-1"] * 2
    assert len({name[4:] for name in folders}) == 4
    assert "could not be shown" not in done.err
    assert max(map(len, done.err.splitlines())) < 300
    assert max(map(len, done.out.splitlines())) < 300
    (factor,) = rundir.read_json(workdir / "sweep/verdict.json")["factors"].values()
    assert [level["level"] for level in factor["levels"]] == layers


@pytest.mark.slow
def test_an_experiment_deleted_on_the_dashboard_is_said_so(client, local, command, workdir):
    experiment = client.create_experiment("gone")
    client.delete_experiment(experiment)
    done = command("train", f"-m {LINE} {local} experiment.name=gone seed=0,1 dir=sweep")
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "gone" in done.err
    assert not (workdir / "sweep").exists()


# ---- without, and with one that is away


@pytest.mark.slow
def test_without_tracking_mlflow_is_not_even_imported(process, workdir, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        f"atexit.register(lambda: open({str(tmp_path / 'modules')!r}, 'w').write(' '.join(sys.modules)))\n"
    )
    done = process("train", f"-m {LINE} tracking=none seed=0,1", PYTHONPATH=f"{tmp_path / 'site'}:{REPOSITORY}")
    assert done.code == 0
    modules = (tmp_path / "modules").read_text().split()
    assert "pytorch_lightning" in modules
    assert [name for name in modules if name.split(".")[0] == "mlflow"] == []
    assert "mlruns" not in left_in(workdir)
    assert not list(workdir.rglob("tracking.json"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_that_dies_costs_no_run_and_sync_sends_what_it_missed(server, workdir, process):
    from mlflow import MlflowClient

    uri, made = server()
    line = f"-m {LINE} tracking=server tracking.uri={uri} tracking.push_every_s=0.2 experiment.name=away"
    training = subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", *line.split(), "seed=0,1", "dir=sweep", "output=json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first, second = workdir / "sweep/000_seed-0", workdir / "sweep/001_seed-1"
    try:
        for _ in range(1200):  # until the first run is shown
            if (first / "tracking.json").exists() or training.poll() is not None:
                break
            time.sleep(0.1)
        kill_server(made)
        out, err = training.communicate(timeout=300)
    finally:
        training.kill()
        training.wait()
    done = Done(training.returncode, out, err)
    assert done.code == 0, err
    assert [run["status"] for run in done.document["runs"]] == ["finished", "finished"]
    assert "Traceback" not in err
    assert err.count("could not be shown on MLflow whole") == 1, err
    assert "python -m pipeline.sync" in err

    uri_again, _ = server(int(uri.rpartition(":")[2]))
    assert uri_again == uri
    client = MlflowClient(tracking_uri=uri)
    assert process("sync", "runs_dir=sweep").code == 0
    for run in (first, second):
        found = client.get_run(read_run_id(run))
        assert found.info.status == "FINISHED"
        assert found.data.params["seed"] == run.name[-1]
        expected = recorded(run)
        assert rows_of(client, found.info.run_id) == expected
    shown = client.search_runs([client.get_experiment_by_name("away").experiment_id])
    assert [run.info.status for run in shown] == ["FINISHED"] * 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_keeps_artifacts_too(server, workdir, process):
    from mlflow import MlflowClient

    uri, _ = server()
    done = process("train", f"{LINE} tracking=server tracking.uri={uri} dir=run output=json")
    assert done.code == 0
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(done.document["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert "checkpoints" in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert "mlruns" not in left_in(workdir)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_first_commands_at_once_share_a_new_database(workdir):
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "pipeline.train", *LINE.split(), f"seed={seed}", f"dir=run{seed}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in range(8)
    ]
    said = [one.communicate(timeout=800)[0] for one in commands]
    assert [one.returncode for one in commands] == [0] * 8, said
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{workdir}/mlruns/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("train").experiment_id])
    assert sorted(run.data.tags["seed"] for run in found) == list("01234567")
    assert {run.info.status for run in found} == {"FINISHED"}
    for run in found:
        assert shown(workdir / "mlruns/mlflow.db", run.info.run_id) == recorded(Path(run.data.tags["run_dir"]))
