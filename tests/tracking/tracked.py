"""What MLflow holds, as the tests look at it."""

import sqlite3
from collections import Counter
from pathlib import Path

from pipeline import rundir

LINE = "data.limit_train=64 trainer.max_epochs=2 trainer.threads=1 architecture.filters=[4,8]"


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


def all_of(client, path):
    """The MLflow runs of the experiment that the run or sweep at `path` belongs to."""
    name = "sweep.json" if (path / "sweep.json").exists() else "run.json"
    asked = rundir.read_json(path / name)
    experiment = asked.get("experiment") or asked["config"]["experiment"]
    return client.search_runs([client.get_experiment_by_name(experiment["name"]).experiment_id])


def folder_of(run):
    """The name of the directory that an MLflow run shows."""
    tags = run.data.tags
    return Path(tags["run_dir"]).name if "run_dir" in tags else tags["sweep"]
