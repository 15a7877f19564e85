"""Show run directories on MLflow. They are the truth; what stands here can be made again from them.

Nothing in this module stops a run: a tracking server that fails costs a warning, and what it missed is sent
at the next push. Every row keeps the time at which it was recorded, so that sending it twice adds nothing.
"""

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import config, data, rundir, transfer
from pipeline.errors import InputError
from pipeline.tracking.config import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "RUNNING"}


def connect(tracking: Tracking, experiment: str) -> tuple["MlflowClient", str]:
    """The client and the experiment's id; database, tables and experiment are made where they are missing.

    Called once before the first job of a sweep: made by several processes at once, the tables collide.
    """
    from filelock import FileLock

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report use to MLflow's makers
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # The first connection otherwise prints a line per table migration.
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a line per retry, before our own message
    from mlflow import MlflowClient

    assert tracking.uri is not None
    lock: Any = contextlib.nullcontext()
    if tracking.uri.startswith("sqlite:///"):
        folder = Path(tracking.uri.removeprefix("sqlite:///")).resolve().parent
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
    with lock:
        client = MlflowClient(tracking_uri=tracking.uri)
        found = client.get_experiment_by_name(experiment)
        if found and found.lifecycle_stage == "deleted":
            raise ValueError(
                f"experiment {experiment} was deleted there; restore it, or choose another experiment.name"
            )
        if found:
            return client, found.experiment_id
        place = Path(tracking.artifacts).resolve().as_uri() if tracking.artifacts else None
        # The kind keeps the page from opening in its view for language models.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return client, client.create_experiment(experiment, artifact_location=place, tags=kind)


def check(tracking: Tracking, experiment: str) -> None:
    """Raise InputError when the tracking database or server cannot be used, before any time is spent."""
    if tracking.uri is None:
        return
    try:
        connect(tracking, experiment)
    except Exception as error:
        raise InputError(
            f"tracking.uri={tracking.uri}: cannot be used ({' '.join(str(error).split())[:200]}). "
            "Start the server, or choose tracking=local or tracking=none."
        ) from None


def begin_sweep(sweep: Path, tracking: Tracking) -> None:
    """Make the parent run of a sweep."""
    if tracking.uri is None:
        return
    from mlflow.entities import RunTag

    asked = rundir.read_json(sweep / "sweep.json")
    client, experiment = connect(tracking, asked["experiment"]["name"])
    tags = {
        "sweep": sweep.name,
        "factors": ", ".join(asked["factors"]),
        "mlflow.note.content": asked["experiment"]["question"],
        "mlflow.source.git.commit": asked["git_sha"] or "",
    }
    run_id = client.create_run(experiment, tags=tags, run_name=f"sweep {sweep.name}").info.run_id
    levels = {
        f"levels.{k}": ", ".join(dict.fromkeys(str(j["levels"].get(k)) for j in asked["jobs"]))
        for k in asked["factors"]
    }
    client.log_batch(run_id, tags=[RunTag("runs", str(len(asked["jobs"])))])
    for name, value in levels.items():
        client.log_param(run_id, name, value[:6000])
    rundir.write_json(sweep / "tracking.json", {"mlflow_run_id": run_id, "tracking": asdict(tracking)})


def attach(sweep: Path, artifacts: list[Path], metrics: dict[str, float]) -> None:
    """Attach what the sweep found to its parent run, where it has one."""
    if not (parent := run_id(sweep)):
        return
    with _warned("the verdict"):
        from mlflow.entities import Metric

        client = _sweep_client(sweep)
        # The time of the sweep, not of the look at it: shown again, a verdict stands there once.
        when = int(rundir.read_json(sweep / "sweep.json")["started"] * 1000)
        named = {re.sub(r"[^\w\-. :/]+", "_", f"verdict/{k}").rstrip("_"): v for k, v in metrics.items()}
        client.log_batch(parent, metrics=[Metric(k, v, when, 0) for k, v in named.items()])
        for path in artifacts:
            client.log_artifact(parent, str(path))


def end_sweep(sweep: Path, status: str) -> None:
    """Close the parent run: finished, failed or interrupted."""
    if parent := run_id(sweep):
        with _warned("the sweep's end"):
            _sweep_client(sweep).set_terminated(parent, STATUS[status])


def _sweep_client(sweep: Path) -> "MlflowClient":
    shown = rundir.read_json(sweep / "tracking.json")
    name = rundir.read_json(sweep / "sweep.json")["experiment"]["name"]
    return connect(Tracking(**shown["tracking"]), name)[0]


@contextlib.contextmanager
def live(run: Path, tracking: Tracking) -> Iterator[None]:
    """Show the run on MLflow while the body trains it, and its end when it has ended."""
    if tracking.uri is None:
        yield
        return
    stop = threading.Event()

    def pusher() -> None:
        while not stop.wait(tracking.push_every_s):
            with _warned("a push"):
                push(run)

    with _warned("the run's start"):
        begin(run)
    thread = threading.Thread(target=pusher, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with _warned("the run's end"):
            push(run)
            end(run)


@contextlib.contextmanager
def _warned(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.warning("tracking: %s could not be shown on MLflow: %s", what, " ".join(str(error).split())[:200])


def begin(run: Path) -> None:
    """Make the MLflow run of a run directory: parameters, tags, the data set, the full configuration."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    asked = rundir.read_json(run / "run.json")
    settings = config.of_run(run)
    client, experiment = connect(settings.tracking, settings.experiment.name)
    tags = {
        "seed": str(settings.seed),
        "arm": asked["arm"],
        "run_dir": str(run),
        "run_key": asked["key"],
        "data_digest": asked["dataset"]["digest"],
        "mlflow.source.name": "pipeline.train",
        "mlflow.source.git.commit": asked["git_sha"] or "",
    }
    if (parent := run.parent / "tracking.json").exists():
        tags["mlflow.parentRunId"] = rundir.read_json(parent)["mlflow_run_id"]
        tags["sweep"] = run.parent.name
    known = rundir.read_json(run / "tracking.json") if (run / "tracking.json").exists() else {}
    run_id = known.get("mlflow_run_id") or client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
    # Not begun until all of this is there: a server that dies in between gets it again at the next push.
    state = {"mlflow_run_id": run_id, "begun": False, "rows": 0}
    rundir.write_json(run / "tracking.json", state)
    flat = config.flat(asked["config"])
    shown = {k: v for k, v in flat.items() if k.split(".")[0] not in ("tracking", "experiment", "dir", "output")}
    params = [Param(k, str(v)[:6000]) for k, v in shown.items()]
    for start in range(0, len(params), 100):  # the server's limit for one batch
        client.log_batch(run_id, params=params[start : start + 100])
    client.log_batch(run_id, tags=[RunTag("parameters", str(asked["parameters"])), RunTag("macs", str(asked["macs"]))])
    if begins := asked.get("transfer"):
        counts = {f"parameters_{name}": str(n) for name, n in begins["parameters"].items()}
        begun = counts | {"transfer_source_digest": begins["source"]["digest"] or "none"}
        if advice := begins.get("advice"):
            begun |= {"transfer_quadrant": advice["quadrant"], "transfer_strategy": advice["strategy"]}
            begun |= {"transfer_reasons": "\n".join(transfer.sentences(advice))}
        client.log_batch(run_id, tags=[RunTag(k, v) for k, v in begun.items()])
    dataset = asked["dataset"]
    profile = f'{{"num_examples": {sum(dataset["counts"].values())}, "classes": {len(dataset["classes"])}}}'
    client.log_inputs(
        run_id,
        [
            DatasetInput(
                Dataset(
                    name=dataset["name"],
                    digest=dataset["digest"][:12],
                    source_type="local",
                    source=dataset["dir"],
                    profile=profile,
                ),
                [InputTag("mlflow.data.context", "training")],
            )
        ],
    )
    client.log_artifact(run_id, str(run / "run.json"))
    if not parent.exists():  # the runs of a sweep share its card, which the parent run has
        client.log_artifact(run_id, data.card(data.open_prepared(dataset["dir"])))
    rundir.write_json(run / "tracking.json", {**state, "begun": True})


def push(run: Path) -> None:
    """Send the metric rows that MLflow does not have yet."""
    from mlflow.entities import Metric

    asked = rundir.read_json(run / "run.json")
    if not (run / "tracking.json").exists() or not rundir.read_json(run / "tracking.json")["begun"]:
        begin(run)
    shown = rundir.read_json(run / "tracking.json")
    rows = list(rundir.metric_rows(run, skip=shown["rows"]))
    if not rows:
        return
    metrics = [Metric(k, v, row["time_ms"], row["step"]) for row in rows for k, v in row["metrics"].items()]
    client, _ = _client(asked)
    for start in range(0, len(metrics), 1000):  # the server's limit for one batch
        client.log_batch(shown["mlflow_run_id"], metrics=metrics[start : start + 1000])
    rundir.write_json(run / "tracking.json", {**shown, "rows": shown["rows"] + len(rows)})


def end(run: Path) -> None:
    """Attach the run's files and set its final status."""
    asked = rundir.read_json(run / "run.json")
    status = rundir.get_status(run)
    run_id = rundir.read_json(run / "tracking.json")["mlflow_run_id"]
    client, _ = _client(asked)
    for name in (
        "metrics.jsonl",
        "status.json",
        "predictions.npz",
        "error.txt",
        "curves.png",
        "invariance.json",
        "invariance.png",
    ):
        if (run / name).exists():
            client.log_artifact(run_id, str(run / name))
    for checkpoint in sorted((run / "checkpoints").glob("*.ckpt")):
        client.log_artifact(run_id, str(checkpoint), "checkpoints")
    ended = int(status.get("ended", time.time()) * 1000)
    client.set_terminated(run_id, STATUS[status["status"]], end_time=ended)


def _client(asked: dict[str, Any]) -> tuple["MlflowClient", str]:
    tracking, experiment = asked["config"]["tracking"], asked["config"]["experiment"]["name"]
    return connect(Tracking(**tracking), experiment)


def run_id(run: Path) -> str | None:
    """The MLflow run that shows this run or sweep directory; None while there is none."""
    path = run / "tracking.json"
    return rundir.read_json(path)["mlflow_run_id"] if path.exists() else None
