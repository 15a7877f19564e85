"""What MLflow lacks of the runs and sweeps under a folder: found by looking at each directory, and sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline import terminal
from pipeline.config.tracking import Tracking
from pipeline.directories import find_directories
from pipeline.errors import InputError
from pipeline.tracking.connect import is_away, reason, set_up
from pipeline.tracking.send import LostError, is_lost, send
from pipeline.tracking.state import FILE, find_end, is_behind, read_run_id, tracking_of
from pipeline.tracking.trust import check_trust


class Tracked(NamedTuple):
    """A run or sweep directory and the MLflow that it is to be shown on."""

    path: Path
    tracking: Tracking


@dataclass
class Outcome:
    """What was sent of a run or sweep, or why it was not."""

    run: str
    uri: str | None
    rows: int = 0
    files: int = 0
    status: str = ""
    error: str | None = None
    mlflow_run_id: str | None = None


@dataclass
class Backlog:
    """What is tracked under a folder."""

    behind: list[Tracked] = field(default_factory=list)  # MLflow lacks something of them
    whole: list[Tracked] = field(default_factory=list)  # it has all, by what is written down
    unread: list[Outcome] = field(default_factory=list)  # damaged, or not to be trusted

    def __len__(self) -> int:
        return len(self.behind) + len(self.whole) + len(self.unread)


def find_backlog(root: Path, other: Tracking | None, again: bool = False) -> Backlog:
    """What is tracked under `root`. `other` is the MLflow to show it on from now on; `again`: all is to be sent."""
    found = Backlog()
    for path in find_directories(root):
        uri = None
        try:
            tracking = other or tracking_of(path)
            if tracking.uri is None:
                continue
            if not other:
                check_trust(tracking)
            uri = tracking.uri
            (found.behind if again or is_behind(path, tracking) else found.whole).append(Tracked(path, tracking))
        except InputError as error:
            found.unread.append(Outcome(str(path), uri, error=str(error), mlflow_run_id=read_run_id(path)))
    return found


def send_all(behind: list[Tracked], again: bool) -> Iterator[Outcome]:
    """Send one after the other; past an MLflow that is away, nothing more is tried there."""
    away: dict[str, str] = {}
    for path, tracking in behind:
        uri = str(tracking.uri)
        outcome = Outcome(str(path), uri)
        try:
            if uri in away:
                outcome.error = away[uri]
            elif not find_end(path):
                outcome.status = "RUNNING"  # begun since we looked
            else:
                set_up(tracking)
                sent = send(path, tracking, again=again)
                outcome = Outcome(str(path), uri, sent.rows, sent.files, sent.status, mlflow_run_id=sent.run_id)
        except Exception as error:
            outcome.error = reason(error)
            if tracking.remote and is_away(error):
                away[uri] = outcome.error
        outcome.mlflow_run_id = outcome.mlflow_run_id or read_run_id(path)
        yield outcome


def find_lost(whole: list[Tracked]) -> Iterator[Outcome]:
    """Those that MLflow has whole by what is written down, and knows nothing of: its database was deleted.

    The ones that were sent first are asked for first: where MLflow has one, it has all that were sent after it.
    """
    sound: set[str] = set()
    sent = [one for one in whole if read_run_id(one.path)]  # all but those under way that are not shown yet
    for path, tracking in sorted(sent, key=lambda one: (one.path / FILE).stat().st_mtime_ns):
        if (uri := str(tracking.uri)) in sound:
            continue
        try:
            set_up(tracking)
            if not is_lost(path, tracking):
                sound.add(uri)
                continue
            known = read_run_id(path)
            yield Outcome(str(path), uri, error=str(LostError(known, path)), mlflow_run_id=known)
        except Exception as error:  # away: nothing is known to be missing
            terminal.say(f"{uri}: could not be asked ({reason(error)})")
            sound.add(uri)
