"""What MLflow is to show of a run or sweep directory, made of nothing but what lies there."""

import json
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import artifacts, config, rundir, transfer
from pipeline.config.metrics import METRICS
from pipeline.diagnosis import predicted
from pipeline.errors import InputError
from pipeline.names import shortened
from pipeline.records import RunRecord
from pipeline.tracking.state import read_state
from pipeline.tracking.view import MOST_LEVELS, Question, uid_of

# MLflow 3.17 refuses longer keys, and cuts values at 6000 and 8000 so that nobody sees it. By these, a batch of 100
# parameters and the tags stay within the 1 MB of one request.
MOST_KEY, MOST_PARAM, MOST_TAG = 250, 2000, 4000


class File(NamedTuple):
    """A file to be shown."""

    path: Path
    folder: str | None = None  # in which MLflow shows it; None: beside all others


@dataclass
class Content:
    """What MLflow is to show of a directory."""

    uid: str
    name: str
    experiment: str
    started: float
    tags: dict[str, str]
    params: dict[str, str]
    first: list[File]  # files that are known from the start
    last: list[File]  # and at the end; one that is not there is none
    dataset: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)  # besides the rows of metrics.jsonl
    metrics_ms: int = 0  # when these were found
    asked: Question | None = None  # of a sweep: what the page of its experiment shows

    def __post_init__(self) -> None:
        """Fit what has any length or character to what MLflow takes; whole, it stands in the artifacts."""
        self.tags = {fit_key(k): shortened(v, MOST_TAG) for k, v in self.tags.items()}
        self.params = {fit_key(k): shortened(v, MOST_PARAM) for k, v in self.params.items()}
        fitted: dict[str, float] = {}
        for name, value in self.metrics.items():
            taken = fit_key(name) in fitted
            fitted[fit_key(f"{name} {rundir.digest(name)[:8]}" if taken else name)] = value
        self.metrics = fitted


def fit_key(name: str) -> str:
    """`name` as MLflow takes it for a metric, a parameter or a tag."""
    plain = re.sub(r"[^\w\-. :/]+", "_", shortened(name, MOST_KEY)).rstrip("_")
    # What would be another name as a path is refused as well: a//b, a/../b, a/
    return plain if posixpath.normpath(plain) == plain else plain.replace("/", "_")


def read_content(path: Path, begun: bool = False) -> Content:
    """What MLflow is to show of the run or sweep at `path`. Raises InputError where it cannot be read.

    Of a run that has `begun` there, what stays as it is may be missing.
    """
    return _read_sweep(path) if (path / "sweep.json").exists() else _read_run(path, begun)


def _read_run(run: Path, begun: bool) -> Content:
    record = rundir.read_run(run)
    flat = config.flat(record.config)
    dataset = record.dataset
    profile = {"num_examples": dataset.counts.total, "classes": len(dataset.classes)}
    alone = not (run.parent / "sweep.json").exists()  # the runs of a sweep share its card, which the parent has
    status = rundir.get_status(run)
    best = status.metrics if status.status == "finished" else {}
    params = {k: str(v) for k, v in flat.items() if k.split(".")[0] not in ("tracking", "experiment", "dir", "output")}
    job = None if alone or begun else rundir.job_of(run)
    if job:  # a factor may be the name of a file, as in architecture=mlp,cnn, of which no key of a run tells
        params = {k: str(v) for k, v in job.levels.items()} | params
    return Content(
        uid=record.uid or rundir.digest([record.key, run.name])[:16],
        name=run.name if alone else f"{record.arm} seed {record.config['seed']}".strip(),
        experiment=record.config["experiment"]["name"],
        started=status.started or (run / "run.json").stat().st_mtime,
        tags={
            "seed": str(record.config["seed"]),
            "arm": record.arm,
            "run_dir": str(run),
            "run_key": record.key,
            "data_digest": dataset.digest,
            "parameters": str(record.parameters),
            "macs": str(record.macs),
            **_transfer_tags(record),
            "mlflow.source.name": "pipeline.train",
            "mlflow.source.git.commit": record.git_sha or "",
        },
        params=params,
        first=[*_files(run, "first"), *([File(card)] if alone and (card := config.card_of_run(run)) else [])],
        last=_files(run, "last"),
        dataset={
            "name": dataset.name,
            "digest": dataset.digest[:12],
            "source_type": "local",
            "source": dataset.dir,
            "profile": json.dumps(profile),
        },
        # Under val/acc MLflow shows the last epoch, not the best checkpoint, as under all other names.
        # Figures of its predictions stand in none of its rows.
        metrics={f"best/{k}": v for k, v in best.items() if k.startswith("val/")} | (_predicted(run) if best else {}),
        metrics_ms=max((row.time_ms for row in rundir.metric_rows(run)), default=0) if best else 0,
    )


def _predicted(run: Path) -> dict[str, float]:
    """test/auroc and so on, as a sweep would judge the run by them."""
    try:
        found = predicted.of_run(run, config.of_run(run).experiment.asked(rundir.read_run(run).dataset.classes))
        return {name: value for name, value in found.items() if METRICS[name].predicted}
    except InputError:  # of another version of the code, say
        return {}


def _files(run: Path, when: artifacts.When) -> list[File]:
    return [File(run / artifact.path, artifact.folder) for artifact in artifacts.sent(when)]


def _transfer_tags(record: RunRecord) -> dict[str, str]:
    """What the run began with."""
    if not (begins := record.transfer):
        return {}
    counts = {f"parameters_{name}": str(n) for name, n in begins["parameters"].items()}
    tags = counts | {"transfer_source_digest": begins["source"]["digest"] or "none"}
    if advice := begins.get("advice"):
        chosen = {"transfer_quadrant": advice["quadrant"], "transfer_strategy": advice["strategy"]}
        tags |= chosen | {"transfer_reasons": "\n".join(transfer.sentences(advice))}
    return tags


def _read_sweep(sweep: Path) -> Content:
    record = rundir.read_sweep(sweep)
    levels = {
        k: ", ".join(dict.fromkeys(shortened(str(j.levels.get(k)), MOST_LEVELS) for j in record.jobs))
        for k in record.factors
    }
    state = read_state(sweep)
    findings = state.attached if state else None
    asked = Question(
        name=sweep.name,
        uid=uid_of(sweep, record),
        started_ms=int(record.started * 1000),
        question=str(record.experiment["question"]),
        metric=str(record.experiment["metric"]),
        mode=str(record.experiment["mode"]),
        levels=levels,
        decided={k: v for k, v in findings.decided.items() if k in levels} if findings else {},
        sentences=findings.sentences if findings else [],
        report=findings is not None and "report.html" in findings.files,
    )
    return Content(
        uid=asked.uid,
        name=asked.title,
        experiment=record.experiment["name"],
        started=record.started,
        tags={
            "sweep": sweep.name,
            "factors": ", ".join(record.factors),
            "metric": asked.metric,
            # no parameters, which could never change: a sweep may be given more levels later
            **{f"levels.{k}": v for k, v in levels.items()},
            **{f"decided.{k}": v for k, v in asked.decided.items()},
            "runs": str(len(record.jobs)),
            "mlflow.source.git.commit": record.git_sha or "",
        },
        params={},
        first=[],
        last=[File(sweep / name) for name in findings.files] if findings else [],
        metrics=findings.metrics if findings else {},
        metrics_ms=(findings.time_ms if findings else 0) or int(record.started * 1000),
        asked=asked,
    )
