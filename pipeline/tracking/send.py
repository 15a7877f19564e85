"""Bring MLflow up to what a run or sweep directory says. That is the truth; what MLflow has can be made again from it.

`send` can be called by any process, at any time, after any kill:
- A directory has a `uid`, which its MLflow run carries as a tag. Where it may be that a run was made and not
  written down, it is looked for before one is made.
- Metric rows keep the time at which they were recorded, so MLflow drops the ones that it has already.
- tracking.json says what is there, and says so only after it was sent.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import data, rundir
from pipeline.config import card_of_run
from pipeline.config.tracking import Tracking
from pipeline.names import shortened
from pipeline.tracking import unsent
from pipeline.tracking.connect import connect, find_or_make_experiment
from pipeline.tracking.content import MOST_KEY, MOST_TAG, Content, File, fit_key, read_content
from pipeline.tracking.state import End, TrackingState, find_end, load_state, lock, tracking_of
from pipeline.tracking.view import METRIC, NOTE, describe, may_describe, shown_metric, tag_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
MOST_METRICS, MOST_PARAMS = 1000, 100  # the server's limits for one batch


class GaveUpError(Exception):
    """Whoever asked waits no longer."""


class LostError(Exception):
    """MLflow no longer has the run that showed a directory."""

    def __init__(self, run_id: str | None, path: Path) -> None:
        again = f"`python -m pipeline.sync runs_dir={path} again=true` shows it anew"
        super().__init__(f"it has no run {run_id}, which showed this; {again}")


@dataclass
class Sent:
    """What one call of `send` sent."""

    run_id: str = ""
    rows: int = 0
    files: int = 0
    status: str = ""  # as MLflow shows it now; "" where that was not changed


@dataclass(frozen=True)
class Delivery:
    """A directory on its way to an MLflow."""

    client: "MlflowClient"
    tracking: Tracking
    path: Path
    content: Content
    state: TrackingState  # what is there by now
    still_wanted: Callable[[], bool] = lambda: True  # asked before each file that is sent at the end

    @property
    def run_id(self) -> str:
        """The MLflow run that shows it, once there is one."""
        assert self.state.mlflow_run_id
        return self.state.mlflow_run_id


def send(
    path: Path,
    tracking: Tracking | None = None,
    *,
    mine: bool = False,
    again: bool = False,
    still_wanted: Callable[[], bool] = lambda: True,
) -> Sent:
    """Send what MLflow does not have yet of the run or sweep at `path`. Raises what kept it from that.

    `mine`: this process trains it. `again` sends all, whatever tracking.json says. `still_wanted` is asked before each
    file that is sent at the end.
    """
    tracking = tracking or tracking_of(path)
    assert tracking.uri
    with lock(path):
        state = load_state(path, tracking, again)
        end = find_end(path, mine)
        sent = Sent(state.mlflow_run_id or "")
        if end and state.ended == end:
            return sent
        content = read_content(path, begun=state.begun)
        try:
            delivery = Delivery(connect(tracking), tracking, path, content, state, still_wanted)
            _send_beginning(delivery)
            sent.run_id = delivery.run_id
            try:
                _send_since(delivery, end, sent)
            except Exception as error:
                if getattr(error, "error_code", "") == NOT_THERE and find_run(delivery.client, sent.run_id) is None:
                    raise LostError(sent.run_id, path) from None
                if not _is_deleted(delivery, error):
                    raise
                # By a person, on the dashboard: there it stays deleted.
                sent.status = "deleted there"
                state.ended = end
        finally:
            if state.tries or state.mlflow_run_id:  # else it was not reached, and what is known stays
                state.save(path)
    if end:
        unsent.remove(path, content.uid)
    return sent


def _send_beginning(delivery: Delivery) -> None:
    """See that there is an MLflow run of the directory, with all that is known from the start."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    client, path, content, state = delivery.client, delivery.path, delivery.content, delivery.state
    if state.begun:
        return
    tags = content.tags | {"uid": content.uid}
    if (path.parent / "sweep.json").exists():
        parent = _send_parent(delivery)
        tags |= {"mlflow.parentRunId": parent, "sweep": shortened(path.parent.name, MOST_TAG)}
    has = _find_or_make_run(delivery, tags).data.params
    params = [Param(k, v) for k, v in content.params.items() if k not in has]  # a changed one is an error there
    for batch in _batches(params, MOST_PARAMS) or [[]]:
        client.log_batch(delivery.run_id, params=batch, tags=[RunTag(k, v) for k, v in tags.items()])
    if content.dataset:
        dataset = Dataset(**content.dataset)
        client.log_inputs(delivery.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    for file in content.first:
        _send_file(delivery, file)
    _send_page(delivery)
    # Not before all of this is there: a server that dies in between gets it again.
    state.begun = True
    state.save(path)


def _send_parent(delivery: Delivery) -> str:
    """The MLflow run of the sweep. Whoever needs it first makes it: the sweep may have begun without the server."""
    sweep, client, tracking = delivery.path.parent, delivery.client, delivery.tracking
    with lock(sweep):
        state = load_state(sweep, tracking)
        if state.mlflow_run_id and find_run(client, state.mlflow_run_id) is None:
            state = load_state(sweep, tracking, again=True)
        parent = Delivery(client, tracking, sweep, read_content(sweep), state)
        _send_beginning(parent)
        return parent.run_id


def _find_or_make_run(delivery: Delivery, tags: dict[str, str]) -> "Run":
    """The MLflow run of the directory, from here on written down."""
    client, path, content, state = delivery.client, delivery.path, delivery.content, delivery.state
    if state.mlflow_run_id:
        if (known := find_run(client, state.mlflow_run_id)) is None:
            raise LostError(state.mlflow_run_id, path)
        return known
    where = find_or_make_experiment(client, delivery.tracking, content.experiment)
    # A try that is not written down as done may have been: killed, or given up before the server answered.
    found = _find_by_uid(client, where, content.uid)
    if not found:
        state.tries += 1
        state.save(path)
        name = shortened(content.name, MOST_KEY)
        found = [client.create_run(where, start_time=int(content.started * 1000), tags=tags, run_name=name)]
    state.mlflow_run_id = found[0].info.run_id
    state.save(path)
    return found[0]


def find_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """The MLflow run; None where there is none, as when the database was deleted and made anew."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == NOT_THERE:
            return None
        raise


def _find_by_uid(client: "MlflowClient", experiment: str, uid: str) -> "list[Run]":
    """The MLflow runs that carry `uid`, the one made first at the front."""
    return client.search_runs([experiment], f"tags.uid = '{uid}'", order_by=["attributes.start_time ASC"])


def _is_deleted(delivery: Delivery, error: Exception) -> bool:
    """Whether `error` came about because the MLflow run was deleted."""
    if "must be in the 'active' state" not in str(error):
        return False
    return delivery.client.get_run(delivery.run_id).info.lifecycle_stage == "deleted"


def is_lost(path: Path, tracking: Tracking) -> bool:
    """Whether MLflow no longer has the run that shows the directory, by what tracking.json says."""
    run_id = load_state(path, tracking).mlflow_run_id
    if run_id is None:
        return False
    if not tracking.remote and not Path(str(tracking.uri).removeprefix("sqlite:///")).exists():
        return True  # and is not made for this
    return find_run(connect(tracking), run_id) is None


def _send_since(delivery: Delivery, end: End | None, sent: Sent) -> None:
    """Send what has come since the beginning: numbers, the status, and at the end all files."""
    client, state, run_id = delivery.client, delivery.state, delivery.run_id
    _send_findings(delivery)
    sent.rows = _send_rows(delivery)
    if end:
        _delete_doubles(delivery)
        client.set_terminated(run_id, end.status, end_time=end.time_ms)
        sent.status = state.status = end.status
        _send_page(delivery)
        there = (file for file in delivery.content.last if file.path.exists())
        for file in sorted(there, key=lambda file: file.path.stat().st_size):
            sent.files += _send_file(delivery, file)
        state.ended = end
    elif state.status != "RUNNING":  # it was taken up again
        client.update_run(run_id, status="RUNNING")
        sent.status = state.status = "RUNNING"
        state.ended = None


def _delete_doubles(delivery: Delivery) -> None:
    """Delete what an earlier try made after all, when it had been given up: a single try made a single run."""
    client, run_id = delivery.client, delivery.run_id
    if delivery.state.tries == 1:
        return
    where = client.get_run(run_id).info.experiment_id
    for run in _find_by_uid(client, where, delivery.content.uid):
        if run.info.run_id != run_id:
            client.delete_run(run.info.run_id)


def _send_findings(delivery: Delivery) -> None:
    """Send what the sweep found, or a run's best checkpoint gave in validation.

    However often it goes on or is compared: a row where the verdict changed, and none where it did not.
    """
    from mlflow.entities import Metric

    content = delivery.content
    if not content.metrics:
        return
    there = delivery.client.get_run(delivery.run_id).data.metrics
    changed = [Metric(k, v, content.metrics_ms, 0) for k, v in content.metrics.items() if there.get(k) != v]
    for batch in _batches(changed, MOST_METRICS):
        delivery.client.log_batch(delivery.run_id, metrics=batch)


def _send_page(delivery: Delivery) -> None:
    """Have MLflow's pages say what the sweep asks and has found, and open on its runs: see view.py.

    Of several sweeps of an experiment, the one begun last describes it; each has a view.
    """
    from mlflow.entities import RunTag

    client, run_id = delivery.client, delivery.run_id
    if not (asked := delivery.content.asked):
        return
    run = client.get_run(run_id)
    where = delivery.state.experiment = run.info.experiment_id
    note = describe(asked, where, run_id)
    tags = delivery.content.tags
    if may_describe(run.data.tags.get(NOTE), asked):
        tags = tags | {NOTE: note}
    if changed := [RunTag(k, v) for k, v in tags.items() if run.data.tags.get(k) != v]:
        client.log_batch(run_id, tags=changed)
    there = client.get_experiment(where).tags
    key, view = tag_of(asked, run_id, [fit_key(factor) for factor in asked.levels])
    wanted = {key: view}
    if may_describe(there.get(NOTE), asked):
        wanted |= {NOTE: note, METRIC: shown_metric(asked.metric)}
    for name, value in wanted.items():
        if there.get(name) != value:
            client.set_experiment_tag(where, name, value)


def _send_rows(delivery: Delivery) -> int:
    """Send the metric rows that are not there yet; how many these are."""
    from mlflow.entities import Metric

    path, state = delivery.path, delivery.state
    known = state.rows
    # The last row that was sent is read as well: where it is another one now, the file was begun anew.
    rows = list(rundir.metric_rows(path, skip=max(0, known - 1)))
    if known and state.last_row is not None and (not rows or rundir.digest(asdict(rows[0])) != state.last_row):
        known, rows = 0, list(rundir.metric_rows(path))
    elif known:
        rows = rows[1:]
    metrics = [Metric(k, v, row.time_ms, row.step) for row in rows for k, v in row.metrics.items()]
    for batch in _batches(metrics, MOST_METRICS):
        delivery.client.log_batch(delivery.run_id, metrics=batch)
    if rows:
        state.rows, state.last_row = known + len(rows), rundir.digest(asdict(rows[-1]))
        state.save(path)
    return len(rows)


def _is_own_card(path: Path, file: Path) -> bool:
    """Whether `file` is the card of the data of the run at `path`, or of a run of the sweep there."""
    if not data.is_card(file):
        return False
    runs = [path] if (path / "run.json").exists() else sorted(one.parent for one in path.glob("*/run.json"))
    return any((card := card_of_run(run)) and card.resolve() == file.resolve() for run in runs)


def _send_file(delivery: Delivery, file: File) -> int:
    """Attach a file, unless it is there as it is now; how many were sent.

    Nothing but what lies in the directory itself, and the card of its data: a directory may be somebody else's, and
    its tracking.json or a link in it could name any file of whoever sends it.
    """
    path, files = delivery.path, delivery.state.files
    if not file.path.resolve().is_relative_to(path.resolve()) and not _is_own_card(path, file.path):
        log.warning("tracking: %s is not sent: it lies outside %s", file.path, path)
        return 0
    if not file.path.is_file():  # MLflow would send all that lies in a folder, and what links in it lead to
        log.warning("tracking: %s is not sent: it is no file", file.path)
        return 0
    name = str(file.path.relative_to(path)) if file.path.is_relative_to(path) else file.path.name
    stamp = file.path.stat().st_mtime_ns
    if files.get(name) == stamp:
        return 0
    if delivery.state.begun and not delivery.still_wanted():
        raise GaveUpError(f"no time left to send {name}")
    delivery.client.log_artifact(delivery.run_id, str(file.path), file.folder)
    files[name] = stamp
    return 1


def _batches(items: list[Any], most: int) -> list[list[Any]]:
    return [items[start : start + most] for start in range(0, len(items), most)]
