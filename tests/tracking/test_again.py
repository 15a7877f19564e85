"""What is sent again, and a sweep that goes on, stand on MLflow once."""

import itertools

import pytest
from servers import recorded
from tracked import LINE, folder_of, runs_of, shown

from pipeline import config, rundir
from pipeline.rundir.documents import write_checked
from pipeline.tracking import live
from pipeline.tracking.send import send
from pipeline.tracking.state import read_run_id

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
        live.attach(sweep, [sweep / "sweep.json"], metrics, ["It is so."], {"x": "1"})
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
    assert sorted(map(folder_of, children)) == folders
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
