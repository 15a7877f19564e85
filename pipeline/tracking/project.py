"""Show run and sweep directories on MLflow. They are the truth; what stands there can be made again from them.

`send` brings MLflow up to what a directory says, and can be called by any process, at any time, after any kill:
- A directory has a `uid`, which its MLflow run carries as a tag. Where it may be that a run was made and not
  written down, it is looked for before one is made.
- Metric rows keep the time at which they were recorded, so MLflow drops the ones that it has already.
- tracking.json says what is there, and says so only after it was sent.

Nothing here stops a run, or holds up its end for longer than `tracking.wait_s` when a server does not answer.
"""

import contextlib
import json
import logging
import posixpath
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import config, data, records, rundir, transfer
from pipeline.bounded import within
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError
from pipeline.names import shortened
from pipeline.tracking import unsent
from pipeline.tracking.connect import away, busy, connect, experiment, ready, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "RUNNING"}
LAST = (
    "metrics.jsonl",
    "status.json",
    "predictions.npz",
    "error.txt",
    "diverged.json",
    "curves.png",
    "invariance.json",
    "invariance.png",
)
# A database on this machine does not go away; with others at it, it takes its time.
LOCAL_WAIT_S = 60.0
STOP_WAIT_S = 5.0  # whoever stopped it may kill it soon
SWEEP_WAIT_S = 60.0  # for all runs of a sweep that missed something; a server that does not answer ends it earlier


# Servers that did not answer at the end of the last run: two hundred short runs would otherwise wait for each.
_hanging: set[str] = set()


class GaveUpError(Exception):
    """Whoever asked waits no longer."""


class LostError(Exception):
    """MLflow no longer has the run that showed a directory."""


NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
LOST = "it has no run {run}, which showed this; `python -m pipeline.sync runs_dir={path} again=true` shows it anew"


@dataclass
class Sent:
    """What one call of `send` sent."""

    run_id: str = ""
    rows: int = 0
    files: int = 0
    status: str = ""  # as MLflow shows it now; "" where that was not changed


@dataclass
class Shown:
    """What MLflow is to show of a directory."""

    uid: str
    experiment: str
    started: float
    tags: dict[str, str]
    params: dict[str, str]
    first: list[Path]  # files that are known from the start
    last: list[Path]  # and at the end
    dataset: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)  # besides the rows of metrics.jsonl
    metrics_ms: int = 0  # when these were found

    def __post_init__(self) -> None:
        """Fit what has any length or character to what MLflow takes; whole, it stands in the artifacts."""
        self.tags = {key(k): shortened(v, MOST_TAG) for k, v in self.tags.items()}
        self.params = {key(k): shortened(v, MOST_PARAM) for k, v in self.params.items()}
        named: dict[str, float] = {}
        for name, value in self.metrics.items():
            taken = key(name) in named
            named[key(f"{name} {rundir.digest(name)[:8]}" if taken else name)] = value
        self.metrics = named


# MLflow 3.17 refuses longer keys, and cuts values at 6000 and 8000 so that nobody sees it. By these, a batch of 100
# parameters and the tags stay within the 1 MB of one request.
MOST_KEY, MOST_PARAM, MOST_TAG = 250, 2000, 4000
MOST_LEVEL = 200  # of several in one tag


def key(name: str) -> str:
    """`name` as MLflow takes it for a metric, a parameter or a tag."""
    plain = re.sub(r"[^\w\-. :/]+", "_", shortened(name, MOST_KEY)).rstrip("_")
    # What would be another name as a path is refused as well: a//b, a/../b, a/
    return plain if posixpath.normpath(plain) == plain else plain.replace("/", "_")


def send(
    path: Path,
    tracking: Tracking | None = None,
    *,
    mine: bool = False,
    again: bool = False,
    go_on: Callable[[], bool] = lambda: True,
) -> Sent:
    """Send what MLflow does not have yet of the run or sweep at `path`. Raises what kept it from that.

    `mine`: this process trains it. `again` sends all, whatever tracking.json says. `go_on` is asked before each file.
    """
    tracking = tracking or tracking_of(path)
    assert tracking.uri
    with _locked(path):
        state = _state(path, tracking, again)
        wanted = wanted_end(path, mine)
        sent = Sent(state.get("mlflow_run_id") or "")
        if wanted and state.get("ended") == wanted:
            return sent
        shown = _shown(path)
        try:
            client = connect(tracking)
            run_id = sent.run_id = _begun(client, path, state, shown, tracking)
            try:
                _news(client, run_id, path, state, shown, wanted, sent, go_on)
            except Exception as error:
                if getattr(error, "error_code", "") == NOT_THERE and unknown(client, run_id):
                    raise LostError(LOST.format(run=run_id, path=path)) from None
                if not _deleted(client, run_id, error):
                    raise
                # By a person, on the dashboard: there it stays deleted.
                sent.status = "deleted there"
                state["ended"] = wanted
        finally:
            if state["tries"] or state["mlflow_run_id"]:  # else it was not reached, and what is known stays
                _write(path, state)
    if wanted:
        unsent.remove(path, shown.uid)
    return sent


def _news(
    client: "MlflowClient",
    run_id: str,
    path: Path,
    state: dict[str, Any],
    shown: Shown,
    wanted: list[Any] | None,
    sent: Sent,
    go_on: Callable[[], bool],
) -> None:
    """Rows, status and files that are not there yet."""
    sent.rows = _rows(client, run_id, path, state, shown)
    if not wanted:
        if state["status"] != "RUNNING":  # it was taken up again
            client.update_run(run_id, status="RUNNING")
            sent.status = state["status"] = "RUNNING"
            state["ended"] = None
        return
    _drop_doubles(client, run_id, state, shown)
    client.set_terminated(run_id, wanted[0], end_time=wanted[1])
    sent.status = state["status"] = wanted[0]
    for file in sorted(filter(Path.exists, shown.last), key=lambda f: f.stat().st_size):
        sent.files += _file(client, run_id, path, file, state, go_on)
    state["ended"] = wanted


def _deleted(client: "MlflowClient", run_id: str, error: Exception) -> bool:
    """Whether `error` came about because the MLflow run was deleted."""
    return "must be in the 'active' state" in str(error) and client.get_run(run_id).info.lifecycle_stage == "deleted"


def unknown(client: "MlflowClient", run_id: str) -> bool:
    """Whether this MLflow has no such run, as when its database was deleted and made anew."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == NOT_THERE:
            return True
        raise
    return False


def lost(path: Path, tracking: Tracking) -> bool:
    """Whether MLflow no longer has the run that shows the directory, by what tracking.json says."""
    run_id = _state(path, tracking)["mlflow_run_id"]
    if run_id is None:
        return False
    if not tracking.remote and not Path(str(tracking.uri).removeprefix("sqlite:///")).exists():
        return True  # and is not made for this
    return unknown(connect(tracking), run_id)


def _locked(path: Path) -> Any:
    """No two processes make the MLflow run of one directory."""
    from filelock import FileLock

    return FileLock(path / "tracking.lock", timeout=5)


def tracking_of(path: Path) -> Tracking:
    """Where the run or sweep at `path` is shown: as tracking.json says, or as it was asked for.

    Raises InputError where what it says is no tracking section.
    """
    if (known := _read(path).get("tracking")) is None:
        if (path / "sweep.json").exists():
            known = rundir.read_sweep(path).get("tracking", {"uri": None})
        else:
            known = rundir.read_run(path)["config"]["tracking"]
    try:
        return Tracking(**known)
    except TypeError:
        raise InputError(f"{path}: names no MLflow to show it on; uri=... does.") from None


def _read(path: Path) -> dict[str, Any]:
    """tracking.json. What it says can be found out again: a damaged one is none."""
    try:
        return rundir.read_record(path / "tracking.json", records.TRACKING)
    except InputError:
        return {}


def _write(path: Path, state: dict[str, Any]) -> None:
    rundir.write_record(path / "tracking.json", state)


def _state(path: Path, tracking: Tracking, again: bool = False) -> dict[str, Any]:
    """What MLflow at `tracking.uri` has of the directory, as far as is written down."""
    state = _read(path)
    where = state.get("tracking")
    if again or (where and where["uri"] != tracking.uri):  # what another MLflow has does not count here
        state = {"attached": state["attached"]} if "attached" in state else {}
    fresh: dict[str, Any] = {
        "mlflow_run_id": None,
        "tries": 0,
        "begun": False,
        "rows": 0,
        "files": {},
        "status": "RUNNING",
    }
    return {**fresh, "ended": None, **state, "tracking": asdict(tracking)}


def wanted_end(path: Path, mine: bool = False) -> list[Any] | None:
    """[status, end time in ms] that MLflow has to show; None while the run or sweep is under way."""
    found = rundir.get_status(path)
    status = found["status"]
    if status == "damaged":
        raise InputError(found["error"])
    if status == "missing" and (path / "verdict.json").exists():  # a sweep from before they had a status.json
        return ["FINISHED", int((path / "verdict.json").stat().st_mtime * 1000)]
    if status in ("running", "missing"):
        if mine or rundir.alive(path):
            return None
        # Killed where it stood: what it wrote last tells when.
        marks = [path / name for name in ("heartbeat", "metrics.jsonl", "status.json", "run.json", "sweep.json")]
        return ["KILLED", int(max(f.stat().st_mtime for f in marks if f.exists()) * 1000)]
    return [STATUS[status], int(found.get("ended", time.time()) * 1000)]


def _begun(client: "MlflowClient", path: Path, state: dict[str, Any], shown: Shown, tracking: Tracking) -> str:
    """The MLflow run of the directory, with all that is known from the start."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    if state["begun"]:
        return state["mlflow_run_id"]
    tags = shown.tags | {"uid": shown.uid}
    if (path.parent / "sweep.json").exists():
        parent = _parent(client, path.parent, tracking)
        tags |= {"mlflow.parentRunId": parent, "sweep": shortened(path.parent.name, MOST_TAG)}
    if state["mlflow_run_id"]:
        if unknown(client, state["mlflow_run_id"]):
            raise LostError(LOST.format(run=state["mlflow_run_id"], path=path))
        has = client.get_run(state["mlflow_run_id"]).data.params
    else:
        where = experiment(client, tracking, shown.experiment)
        # A try that is not written down as done may have been: killed, or given up before the server answered.
        found = _by_uid(client, where, shown.uid)
        if not found:
            state["tries"] += 1
            _write(path, state)
            started = int(shown.started * 1000)
            name = shortened(path.name, MOST_KEY)
            found = [client.create_run(where, start_time=started, tags=tags, run_name=name)]
        state["mlflow_run_id"], has = found[0].info.run_id, found[0].data.params
        _write(path, state)
    run_id = state["mlflow_run_id"]
    params = [Param(k, v) for k, v in shown.params.items() if k not in has]  # a changed one is an error there
    for start in range(0, len(params) or 1, 100):  # the server's limit for one batch
        client.log_batch(run_id, params=params[start : start + 100], tags=[RunTag(k, v) for k, v in tags.items()])
    if shown.dataset:
        made = Dataset(**shown.dataset)
        client.log_inputs(run_id, [DatasetInput(made, [InputTag("mlflow.data.context", "training")])])
    for file in shown.first:
        _file(client, run_id, path, file, state, lambda: True)
    # Not before all of this is there: a server that dies in between gets it again.
    state["begun"] = True
    _write(path, state)
    return run_id


def _by_uid(client: "MlflowClient", experiment: str, uid: str) -> list[Any]:
    """The MLflow runs that carry `uid`, the one made first at the front."""
    return client.search_runs([experiment], f"tags.uid = '{uid}'", order_by=["attributes.start_time ASC"])


def _parent(client: "MlflowClient", sweep: Path, tracking: Tracking) -> str:
    """The MLflow run of a sweep. Whoever needs it first makes it: the sweep may have begun without the server."""
    with _locked(sweep):
        state = _state(sweep, tracking)
        if state["mlflow_run_id"] and unknown(client, state["mlflow_run_id"]):
            state = _state(sweep, tracking, again=True)
        return _begun(client, sweep, state, _shown(sweep), tracking)


def _drop_doubles(client: "MlflowClient", run_id: str, state: dict[str, Any], shown: Shown) -> None:
    """Delete what an earlier try made after all, when it had been given up: a single try made a single run."""
    if state["tries"] == 1:
        return
    where = client.get_run(run_id).info.experiment_id
    for run in _by_uid(client, where, shown.uid):
        if run.info.run_id != run_id:
            client.delete_run(run.info.run_id)


def _rows(client: "MlflowClient", run_id: str, path: Path, state: dict[str, Any], shown: Shown) -> int:
    """Send the metric rows that are not there yet; how many these are."""
    from mlflow.entities import Metric

    if shown.metrics:
        # However often a sweep goes on or is compared: a row where the verdict changed, and none where it did not.
        there = client.get_run(run_id).data.metrics
        changed = [Metric(k, v, shown.metrics_ms, 0) for k, v in shown.metrics.items() if there.get(k) != v]
        for start in range(0, len(changed), 1000):  # the server's limit for one batch
            client.log_batch(run_id, metrics=changed[start : start + 1000])
    known = state["rows"]
    # The last row that was sent is read as well: where it is another one now, the file was begun anew.
    rows = list(rundir.metric_rows(path, skip=max(0, known - 1)))
    if known and "last_row" in state and (not rows or rundir.digest(rows[0]) != state["last_row"]):
        known, rows = 0, list(rundir.metric_rows(path))
    elif known:
        rows = rows[1:]
    metrics = [Metric(k, v, row["time_ms"], row["step"]) for row in rows for k, v in row["metrics"].items()]
    for start in range(0, len(metrics), 1000):  # the server's limit for one batch
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
    if rows:
        state |= {"rows": known + len(rows), "last_row": rundir.digest(rows[-1])}
        _write(path, state)
    return len(rows)


def _file(
    client: "MlflowClient", run_id: str, path: Path, file: Path, state: dict[str, Any], go_on: Callable[[], bool]
) -> int:
    """Attach a file, unless it is there as it is now; how many were sent.

    Nothing but what lies in the directory itself, and a prepared set's card: a directory may be somebody else's, and
    its tracking.json or a link in it could name any file of whoever sends it.
    """
    if not file.resolve().is_relative_to(path.resolve()) and not data.is_card(file):
        log.warning("tracking: %s is not sent: it lies outside %s", file, path)
        return 0
    name = str(file.relative_to(path)) if file.is_relative_to(path) else file.name
    stamp = file.stat().st_mtime_ns
    if state["files"].get(name) == stamp:
        return 0
    if not go_on():
        raise GaveUpError(f"no time left to send {name}")
    folder = "checkpoints" if file.parent.name == "checkpoints" else None
    client.log_artifact(run_id, str(file), folder)
    state["files"][name] = stamp
    return 1


# ---- what is shown


def _shown(path: Path) -> Shown:
    return _of_sweep(path) if (path / "sweep.json").exists() else _of_run(path)


def _of_run(run: Path) -> Shown:
    asked = rundir.read_run(run)
    flat = config.flat(asked["config"])
    dataset = asked["dataset"]
    profile = {"num_examples": sum(dataset["counts"].values()), "classes": len(dataset["classes"])}
    alone = not (run.parent / "sweep.json").exists()  # the runs of a sweep share its card, which the parent has
    return Shown(
        uid=asked.get("uid") or rundir.digest([asked["key"], run.name])[:16],
        experiment=asked["config"]["experiment"]["name"],
        started=rundir.get_status(run).get("started", (run / "run.json").stat().st_mtime),
        tags={
            "seed": str(asked["config"]["seed"]),
            "arm": asked["arm"],
            "run_dir": str(run),
            "run_key": asked["key"],
            "data_digest": dataset["digest"],
            "parameters": str(asked["parameters"]),
            "macs": str(asked["macs"]),
            **_transfer(asked),
            "mlflow.source.name": "pipeline.train",
            "mlflow.source.git.commit": asked["git_sha"] or "",
        },
        params={
            k: str(v) for k, v in flat.items() if k.split(".")[0] not in ("tracking", "experiment", "dir", "output")
        },
        first=[run / "run.json", *(_card(run, dataset) if alone else ())],
        last=[run / name for name in LAST] + [run / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")],
        dataset={
            "name": dataset["name"],
            "digest": dataset["digest"][:12],
            "source_type": "local",
            "source": dataset["dir"],
            "profile": json.dumps(profile),
        },
    )


def _transfer(asked: dict[str, Any]) -> dict[str, str]:
    """What the run began with, as tags."""
    if not (begins := asked.get("transfer")):
        return {}
    counts = {f"parameters_{name}": str(n) for name, n in begins["parameters"].items()}
    tags = counts | {"transfer_source_digest": begins["source"]["digest"] or "none"}
    if advice := begins.get("advice"):
        chosen = {"transfer_quadrant": advice["quadrant"], "transfer_strategy": advice["strategy"]}
        tags |= chosen | {"transfer_reasons": "\n".join(transfer.sentences(advice))}
    return tags


def _card(run: Path, dataset: dict[str, Any]) -> list[Path]:
    """The page that describes the data; nothing where the prepared set is gone by now."""
    try:
        settings = config.of_run(run)
        card = data.card_of(dataset["dir"], dataset["digest"], settings.data, settings.seed)
    except (InputError, OSError):
        return []
    return [card] if card else []


def _of_sweep(sweep: Path) -> Shown:
    asked = rundir.read_sweep(sweep)
    levels = {
        f"levels.{k}": ", ".join(dict.fromkeys(shortened(str(j["levels"].get(k)), MOST_LEVEL) for j in asked["jobs"]))
        for k in asked["factors"]
    }
    attached = _read(sweep).get("attached", {"files": [], "metrics": {}})
    return Shown(
        uid=asked.get("uid") or rundir.digest([sweep.name, asked["started"]])[:16],
        experiment=asked["experiment"]["name"],
        started=asked["started"],
        tags={
            "sweep": sweep.name,
            "factors": ", ".join(asked["factors"]),
            **levels,  # no parameters, which could never change: a sweep may be given more levels later
            "runs": str(len(asked["jobs"])),
            "mlflow.note.content": asked["experiment"]["question"],
            "mlflow.source.git.commit": asked["git_sha"] or "",
        },
        params={},
        first=[],
        last=[sweep / name for name in attached["files"]],
        metrics=attached["metrics"],
        metrics_ms=attached.get("time_ms", int(asked["started"] * 1000)),
    )


# ---- while a run or a sweep is under way


@contextlib.contextmanager
def live(run: Path, tracking: Tracking) -> Iterator[None]:
    """Show the run on MLflow while the body trains it, and its end when it has ended."""
    if tracking.uri is None:
        yield
        return
    ready(tracking)
    asked = rundir.read_run(run)
    unsent.add(run, asked["uid"], Path(asked["config"]["runs_dir"]), tracking.uri)
    stop, enough = threading.Event(), threading.Event()
    problem: list[Exception] = []

    def pusher() -> None:
        while not enough.is_set():
            last = stop.is_set()
            try:
                send(run, tracking, mine=True, go_on=lambda: not enough.is_set())
                problem.clear()
            except Exception as error:  # whatever it is, it is no reason to stop training
                problem[:] = [error]
            # At the end a database that is busy is tried again; a server that does not answer now is not.
            if last and not (problem and not tracking.remote and busy(problem[0])):
                return
            enough.wait(0.3) if last else stop.wait(tracking.push_every_s)

    thread = threading.Thread(target=pusher, daemon=True)
    thread.start()
    wait_s = LOCAL_WAIT_S if not tracking.remote else 0.5 if tracking.uri in _hanging else tracking.wait_s
    try:
        yield
    except BaseException:
        wait_s = min(wait_s, STOP_WAIT_S)
        raise
    finally:
        stop.set()
        thread.join(wait_s)
        enough.set()
        if thread.is_alive():
            _hanging.add(tracking.uri)
        elif not problem:
            _hanging.discard(tracking.uri)
        # The end of a sweep sends what its runs missed, and speaks for all of them.
        if (thread.is_alive() or problem) and not (run.parent / "sweep.json").exists():
            why = problem[0] if problem else TimeoutError("no answer in time")
            _warn(run, tracking, "the run", why)


def _warn(path: Path, tracking: Tracking, what: str, error: BaseException) -> None:
    log.warning(
        "tracking: %s could not be shown on MLflow whole (%s: %s). Nothing is lost: "
        "`python -m pipeline.sync runs_dir=%s` sends what is missing.",
        what,
        tracking.uri,
        reason(error),
        path,
    )


def begin_sweep(sweep: Path, tracking: Tracking, runs_dir: Path) -> None:
    """Note that the sweep has to be shown; its first run makes the parent."""
    if tracking.uri is not None:
        with _locked(sweep):
            if state := _read(sweep):  # it goes on, maybe with more levels than its tags say
                _write(sweep, state | {"begun": False})
        unsent.add(sweep, rundir.uid(sweep / "sweep.json"), runs_dir, tracking.uri)


def attach(sweep: Path, artifacts: list[Path], metrics: dict[str, float]) -> None:
    """Show what the sweep found on its parent run, where it is tracked; at its end while it is still under way."""
    tracking = tracking_of(sweep)
    if tracking.uri is None:
        return
    named = {f"verdict/{k}": v for k, v in metrics.items()}
    files = [str(f.relative_to(sweep)) if f.is_relative_to(sweep) else str(f.absolute()) for f in artifacts]
    with _locked(sweep):
        state = _state(sweep, tracking)
        before = state.get("attached", {})
        # Later than the verdict before it, whatever the clock says: MLflow shows the latest.
        when = max(int(time.time() * 1000), before.get("time_ms", 0) + 1)
        if before.get("metrics") == named:
            when = before.get("time_ms", when)
        found = {"files": files, "metrics": named, "time_ms": when}
        _write(sweep, state | {"attached": found, "ended": None})
    if wanted_end(sweep):
        _bounded("the verdict", sweep, tracking, [sweep], _patience(tracking))


def end_sweep(sweep: Path, tracking: Tracking, status: str) -> None:
    """Send the end of the sweep, and what its runs have missed."""
    if tracking.uri is None:
        return
    dirs = [sweep / job["dir"] for job in rundir.read_sweep(sweep)["jobs"]]
    runs = [run for run in dirs if (run / "run.json").exists()]
    seconds = STOP_WAIT_S if status == "interrupted" else max(SWEEP_WAIT_S, _patience(tracking))
    _bounded("the sweep", sweep, tracking, [*runs, sweep], seconds)


def _patience(tracking: Tracking) -> float:
    return tracking.wait_s if tracking.remote else LOCAL_WAIT_S


def _bounded(what: str, path: Path, tracking: Tracking, dirs: list[Path], seconds: float) -> None:
    """Send what `dirs` owe, for so long and no longer; one warning where that was not all."""
    ready(tracking)
    deadline = time.monotonic() + seconds

    def work() -> bool:
        for one in dirs:
            while owes(one, tracking):
                try:
                    send(one, tracking, go_on=lambda: time.monotonic() < deadline)
                except Exception as error:
                    if tracking.remote or not busy(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(0.3)
        return True

    try:
        within(seconds, work)
    except Exception as error:
        _warn(path, tracking, what, error)


def owes(path: Path, tracking: Tracking) -> bool:
    """Whether MLflow does not show yet how the run or sweep at `path` ended; one under way sends by itself."""
    wanted = wanted_end(path)
    return bool(wanted) and _state(path, tracking)["ended"] != wanted


def replay(runs_dir: Path, tracking: Tracking, seconds: float = 10.0) -> None:
    """Send what earlier runs under `runs_dir` missed to the same MLflow, for so long and no longer."""
    deadline = time.monotonic() + seconds
    done: list[Path] = []

    def work() -> bool:
        for path, uid in unsent.listed(runs_dir, tracking.uri):
            if time.monotonic() > deadline:
                break
            try:
                if not wanted_end(path):
                    continue
                if owes(path, tracking):
                    send(path, tracking, go_on=lambda: time.monotonic() < deadline)
                    done.append(path)
                unsent.remove(path, uid)
            except Exception as error:
                if tracking.remote and away(error):
                    break
                log.warning("tracking: %s could not be shown on MLflow: %s", path, reason(error))
        return True

    with contextlib.suppress(TimeoutError):
        within(seconds + tracking.wait_s / 2, work)
    if done:
        print(f"tracking: sent what {len(done)} earlier runs under {runs_dir} had missed", file=sys.stderr)


def run_id(run: Path) -> str | None:
    """The MLflow run that shows this run or sweep directory; None while there is none."""
    return _read(run).get("mlflow_run_id")
