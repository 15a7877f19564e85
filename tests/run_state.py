"""What a run leaves, and what MLflow shows of it: all that two trainings could differ in."""

import sqlite3

import numpy as np
import torch

from pipeline import rundir


def state(run):
    """Weights, optimizer, schedule, callbacks, rows, results and logits of a finished run."""
    found, best = (torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
    return {
        "weights": {name: value.tolist() for name, value in found["state_dict"].items()},
        "best": {name: value.tolist() for name, value in best["state_dict"].items()},
        "optimizer": str(found["optimizer_states"]),
        "schedule": found["lr_schedulers"],
        "callbacks": str(found["callbacks"]),
        "steps": found["global_step"],
        "rows": decided(run),
        "metrics": rundir.get_status(run).metrics,
        "logits": np.load(run / "predictions.npz")["logits"].tolist(),
    }


def decided(run):
    """Its metric rows, without what the clock and the machine had to do with them."""
    return [
        (row.step, {k: v for k, v in row.metrics.items() if not k.startswith(("time/", "system/"))})
        for row in rundir.metric_rows(run)
    ]


def states(sweep):
    """The state of each run of a sweep, by its directory's name."""
    return {run.parent.name: state(run.parent) for run in sorted(sweep.glob("*/run.json"))}


def ledger(sweep):
    """What became of each run of a sweep, by its directory's name."""
    return {run.parent.name: rundir.get_status(run.parent).status for run in sorted(sweep.glob("*/run.json"))}


def tracked(folder, experiment="train"):
    """What the tracking database in `folder` says of an experiment's runs: statuses, how many parents, metric rows.

    A row that was sent twice would be there twice, under two times.
    """
    with sqlite3.connect(folder / "mlruns" / "mlflow.db") as base:
        runs = base.execute(
            "select r.name, r.status, p.value from runs r join experiments e using (experiment_id) "
            "left join tags p on p.run_uuid = r.run_uuid and p.key = 'mlflow.parentRunId' "
            "where e.name = ? and r.lifecycle_stage = 'active' order by r.name",
            [experiment],
        ).fetchall()
        rows = base.execute(
            "select r.name, m.key, m.step, m.value from metrics m join runs r using (run_uuid) "
            "join experiments e using (experiment_id) where e.name = ? and r.lifecycle_stage = 'active' "
            "and m.key not like 'time/%' and m.key not like 'system/%' and m.key not like 'verdict/%' "
            "order by 1, 2, 3, 4",
            [experiment],
        ).fetchall()
    base.close()
    return {
        "runs": [(name, status) for name, status, parent in runs if parent],
        "parents": [status for _, status, parent in runs if not parent],
        "rows": rows,
    }
