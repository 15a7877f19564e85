"""What MLflow has of a run or sweep directory, as its tracking.json says, and what end it has to show.

tracking.json says what is there, and says so only after it was sent. All in it can be found out again: a damaged one
is as good as none.
"""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline import rundir
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

FILE = "tracking.json"
LOCK_WAIT_S = 5.0
STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "RUNNING"}


class End(NamedTuple):
    """How a run or sweep ended, as MLflow shows it."""

    status: str
    time_ms: int


@dataclass
class Findings:
    """What a sweep found: files in its directory, numbers by name, and its verdict in words."""

    files: list[str]
    metrics: dict[str, float]
    time_ms: int = 0  # when the numbers were found
    sentences: list[str] = field(default_factory=list)
    decided: dict[str, str] = field(default_factory=dict)  # by factor, which level it is to be


@dataclass
class TrackingState:
    """What one MLflow has of a directory."""

    tracking: dict[str, Any]  # which MLflow: the section as it stands there, anybody's until `tracking_of` checks it
    mlflow_run_id: str | None = None
    tries: int = 0  # how often the MLflow run was to be made
    begun: bool = False  # whether all is there that is known from the start
    rows: int = 0  # how many of metrics.jsonl are there
    last_row: str | None = None  # the digest of the last of them
    files: dict[str, int] = field(default_factory=dict)  # the time of the last change of each that is there, in ns
    status: str = "RUNNING"
    ended: End | None = None  # the end that it shows, with all that belongs to it
    attached: Findings | None = None  # what it has to show of a sweep
    experiment: str = ""  # of a sweep: the MLflow experiment that it is in

    def __post_init__(self) -> None:
        if not isinstance(self.tracking.get("uri", 0), str | None):
            raise ValueError("it names no MLflow")

    def save(self, path: Path) -> None:
        """Write it down in the run or sweep directory `path`."""
        rundir.write_record(path / FILE, self)


def read_state(path: Path) -> TrackingState | None:
    """What tracking.json in `path` says; None where there is none, or it is damaged."""
    try:
        return rundir.read_record(path / FILE, TrackingState)
    except InputError:
        return None


def load_state(path: Path, tracking: Tracking, again: bool = False) -> TrackingState:
    """What MLflow at `tracking.uri` has of the directory, as far as is written down; nothing, if `again`."""
    section, known = asdict(tracking), read_state(path)
    if known is None:
        return TrackingState(section)
    if again or known.tracking["uri"] != tracking.uri:  # what another MLflow has does not count here
        return TrackingState(section, attached=known.attached)
    known.tracking = section
    return known


def read_run_id(path: Path) -> str | None:
    """The MLflow run that shows this run or sweep directory; None while there is none."""
    known = read_state(path)
    return known.mlflow_run_id if known else None


def tracking_of(path: Path) -> Tracking:
    """Where the run or sweep at `path` is shown: as tracking.json says, or as it was asked for.

    Raises InputError where what it says is no tracking section.
    """
    if known := read_state(path):
        section = known.tracking
    elif (path / "sweep.json").exists():
        section = rundir.read_sweep(path).tracking
    else:
        section = rundir.read_run(path).config["tracking"]
    try:
        return Tracking(**section)
    except TypeError:
        raise InputError(f"{path}: names no MLflow to show it on; uri=... does.") from None


def lock(path: Path) -> "BaseFileLock":
    """To be held by whoever sends the directory: no two processes make its MLflow run."""
    from filelock import FileLock

    if (path / "tracking.lock").is_symlink():  # of somebody else's making
        raise InputError(f"{path / 'tracking.lock'}: is a link. Take it away.")
    return FileLock(path / "tracking.lock", timeout=LOCK_WAIT_S)


def is_held(error: BaseException) -> bool:
    """Whether `error` says that another one has the lock of a directory."""
    from filelock import Timeout

    return isinstance(error, Timeout)


def find_end(path: Path, mine: bool = False) -> End | None:
    """The end that MLflow has to show; None while the run or sweep is under way, in this process if it is `mine`."""
    found = rundir.get_status(path)
    status = found.status
    if status == "damaged":
        raise InputError(found.error)
    if status == "missing" and (path / "verdict.json").exists():  # a sweep from before they had a status.json
        return End("FINISHED", int((path / "verdict.json").stat().st_mtime * 1000))
    if status in ("running", "missing"):
        if mine or rundir.alive(path):
            return None
        # Killed where it stood: what it wrote last tells when.
        marks = [path / name for name in ("heartbeat", "metrics.jsonl", "status.json", "run.json", "sweep.json")]
        return End("KILLED", int(max(f.stat().st_mtime for f in marks if f.exists()) * 1000))
    return End(STATUS[status], int((found.ended or time.time()) * 1000))


def is_behind(path: Path, tracking: Tracking) -> bool:
    """Whether MLflow does not show yet how the run or sweep at `path` ended; one under way sends by itself."""
    end = find_end(path)
    return end is not None and load_state(path, tracking).ended != end
