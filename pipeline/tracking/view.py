"""How MLflow opens on a sweep: the description of its experiment, and a view with the factors beside the metric.

MLflow 3.17 keeps its saved views as tags of the experiment, read here as its page writes them. Which runs a view lists,
in what order and under which columns, is in it; whether its table or its charts are open is in the address.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pipeline import rundir
from pipeline.errors import InputError
from pipeline.names import short_names, shortened
from pipeline.records import SweepRecord
from pipeline.tracking.state import read_state, tracking_of

VIEW = "mlflow.sharedViewState."
NOTE = "mlflow.note.content"
METRIC = "mlflow.experiment.primaryMetric.name"  # that charts begin with
TRAINING = "workflowType=machine_learning"  # without it an address opens on pages for language models

MOST = 4500  # characters of an experiment's tag, which MLflow refuses past 5,000
MOST_LEVELS, MOST_QUESTION = 200, 1000
# px: a metric and three factors fit on a page of 1600, with MLflow's assistant open as it is at first.
WIDTHS = {"attributes.`Run Name`": 290, "runDateAndNestInfo": 64, "duration": 90}  # of columns that are always there
LETTER, MARGIN, LEAST, WIDEST = 7, 26, 70, 145  # of the others

# What markdown or HTML would take for its own, behind a backslash or by its name.
SPECIAL = re.compile(r"[\\`*{}\[\]#|~!]|(?<![^\W_])_|_(?![^\W_])")
NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
MARK = re.compile(r"\n\n\[//\]: # \(convtrial (\d+) ([0-9a-f]{16})\)")


@dataclass
class Question:
    """What a sweep asks and has found by now, as far as a page shows it."""

    name: str  # of the sweep's directory
    uid: str
    started_ms: int
    question: str
    metric: str
    mode: str  # max | min: which end of it is better
    levels: dict[str, str]  # by factor
    decided: dict[str, str]  # by factor, where there is a verdict
    sentences: list[str]  # the verdict's
    report: bool = False  # whether it has a page

    @property
    def factors(self) -> str:
        """Their names, short where that is clear."""
        return " x ".join(short_names(list(self.levels)))

    @property
    def title(self) -> str:
        """The name of its run: the factors, then the question."""
        return ": ".join(filter(None, (self.factors, self.question))) or self.name


def shown_metric(metric: str) -> str:
    """The name of the metric of best checkpoints: under val/acc, MLflow has that of each epoch."""
    return f"best/{metric}" if metric.startswith("val/") else metric


def tag_of(asked: Question, parent: str, params: Sequence[str]) -> tuple[str, str]:
    """Key and value of the experiment's tag that keeps the view: the runs of the sweep, the best first.

    `parent` is the MLflow run of the sweep, `params` the names of the factors there. What does not fit is left out.
    """
    metric = f"metrics.`{shown_metric(asked.metric)}`"
    params = [*params, "seed"]
    while len(found := _envelope(asked, parent, metric, params)) > MOST and params:
        params.pop(-2 if len(params) > 1 else -1)
    return VIEW + asked.uid, found


def _envelope(asked: Question, parent: str, metric: str, params: Sequence[str]) -> str:
    columns = [metric, *(f"params.`{name}`" for name in params)]
    names = [one.partition("`")[2] for one in columns]
    widths = {c: min(max(LEAST, LETTER * len(n) + MARGIN), WIDEST) for c, n in zip(columns, names, strict=True)}
    state = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent}'",
        "orderByKey": metric,
        "orderByAsc": asked.mode == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns, "runDateAndNestInfo", "duration"],
        "columnWidths": WIDTHS | widths,
        "runsHiddenMode": "SHOW_ALL",
    }
    name = shortened(f"{asked.factors}, {asked.name}".lstrip(", "), 100)
    times = {"createdAt": asked.started_ms, "updatedAt": asked.started_ms}
    return json.dumps({"name": name, **times, "state": json.dumps(state)})


def uid_of(sweep: Path, record: SweepRecord) -> str:
    """By which MLflow's run of the sweep, and its view, are found again."""
    return record.uid or rundir.digest([sweep.name, record.started])[:16]


def path_of(experiment: str, uid: str) -> str:
    """The address of the view, from where MLflow is served."""
    return f"#/experiments/{quote(experiment)}/runs?viewStateShareKey={quote(uid)}&{TRAINING}"


def find_path(sweep: Path) -> str:
    """The same of a sweep's directory; empty where MLflow shows nothing of it yet."""
    state = read_state(sweep)
    return path_of(state.experiment, uid_of(sweep, rundir.read_sweep(sweep))) if state and state.experiment else ""


def where(sweep: Path) -> str:
    """What people are told to look at: the address on a server, or the command that serves it; empty: nothing."""
    if not (sweep / "tracking.json").exists():
        return ""
    try:
        tracking = tracking_of(sweep)
    except InputError:  # of somebody else's making
        return ""
    return f"{tracking.uri}/{find_path(sweep)}" if tracking.remote else f"python -m pipeline.dashboard sweep={sweep}"


def describe(asked: Question, experiment: str, run: str) -> str:
    """The description of the sweep's run, and of its experiment, in markdown. The page shows its first line."""
    decided = "; ".join(f"{name}: {_plain(asked.decided[key])}" for key, name in _named(asked) if key in asked.decided)
    head = " → ".join(filter(None, (_plain(shortened(asked.question, MOST_QUESTION)), decided)))
    page = f"#/experiments/{quote(experiment)}/runs/{quote(run)}"
    links = {"All runs": path_of(experiment, asked.uid), "The sweep": f"{page}?{TRAINING}"}
    if asked.report:
        links = {"Report": f"{page}/artifacts/report.html?{TRAINING}", **links}
    levels = "; ".join(f"{_plain(key)}: {_plain(asked.levels[key])}" for key in asked.levels)
    parts = [
        head or _plain(asked.name),
        " · ".join(f"[{name}]({address})" for name, address in links.items()),
        f"{_plain(asked.metric)} by {shortened(levels, MOST_QUESTION)}" if levels else _plain(asked.metric),
    ]
    for sentence in asked.sentences or ["No verdict yet."]:
        if len("\n\n".join([*parts, one := _plain(sentence)])) > MOST - 100:
            parts.append("The rest is in the report.")
            break
        parts.append(one)
    text = "\n\n".join(parts)
    return f"{text}\n\n[//]: # (convtrial {asked.started_ms} {rundir.digest(text)[:16]})"


def _named(asked: Question) -> list[tuple[str, str]]:
    return [(key, _plain(name)) for key, name in zip(asked.levels, short_names(list(asked.levels)), strict=True)]


def may_describe(there: str | None, asked: Question) -> bool:
    """Whether a description may be replaced: one that no person has written or changed, nor a later sweep."""
    if not there or there == asked.question:  # that alone is how they began once
        return True
    if not (mark := MARK.search(there)):
        return False
    text = there[: mark.start()] + there[mark.end() :]
    return rundir.digest(text)[:16] == mark[2] and int(mark[1]) <= asked.started_ms


def _plain(text: str) -> str:
    """`text` as one line that markdown shows as it is."""
    text = SPECIAL.sub(r"\\\g<0>", BLANK.sub(" ", text).strip())
    return "".join(NAMED.get(one, one) for one in text)
