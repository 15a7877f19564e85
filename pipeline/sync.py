"""Send to MLflow what it missed of the runs and sweeps under a folder, and set right how they ended.

python -m pipeline.sync
python -m pipeline.sync runs_dir=runs/kernel_size uri=http://HOST:PORT
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import dataclasses
import os
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pipeline import cli, config, terminal
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError, one_of


@dataclass
class Sync:
    """What `python -m pipeline.sync` takes."""

    runs_dir: str = "runs"  # a folder of runs and sweeps, or one of them
    uri: str | None = None  # another MLflow to show them on from now on; null: where each one is shown
    artifacts: str | None = None  # with uri=sqlite:///...: the folder for files; null: artifacts, beside the database
    again: bool = False  # all there is, not only what is known to be missing: for an MLflow that lost something
    output: str = "table"  # table | json

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json"))
        if self.artifacts is not None and not (self.uri or "").startswith("sqlite:///"):
            raise InputError(f"artifacts={self.artifacts}: only with uri=sqlite:///...; a server has its own place.")

    @property
    def tracking(self) -> Tracking | None:
        """The other MLflow, if one is named."""
        if self.uri is None:
            return None
        try:
            found = Tracking(uri=self.uri, artifacts=self.artifacts)
        except InputError as error:
            raise InputError(str(error).removeprefix("tracking.")) from None
        if not found.remote and found.artifacts is None:
            found.artifacts = str(Path(found.uri.removeprefix("sqlite:///")).parent / "artifacts")  # type: ignore
        return found


def job(cfg: DictConfig) -> int:
    """Go through the directories, send what each one owes, say what was sent."""
    asked = config.typed(cfg, Sync)
    other, root = asked.tracking, Path(asked.runs_dir)
    if not root.is_dir():
        raise InputError(f"runs_dir={asked.runs_dir}: no such folder.")
    # Nobody waits for the end of a run here: big files may take their time.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    if other:
        usable(other)
    found, unread = tracked(root, other)
    owing: list[tuple[Path, Tracking]] = []
    whole: list[tuple[Path, Tracking]] = []
    for path, where in found:
        try:
            (owing if asked.again or owes(path, where) else whole).append((path, where))
        except InputError as error:
            unread.append(_row(path, where.uri, str(error)))
    for row in unread:
        terminal.say(line(row))
    rows = [*unread, *send(owing, again=asked.again), *lost(whole)]
    failed = [row for row in rows if row["error"]]
    document = {
        "runs_dir": asked.runs_dir,
        "tracked": len(found) + len([row for row in unread if row["uri"] is None]),
        "sent": len(rows) - len(failed),
        "failed": len(failed),
        "runs": rows,
    }
    cli.emit(asked.output, document, lambda: table(document))
    return cli.FAILED if failed else cli.DONE


def usable(other: Tracking) -> None:
    """Raise InputError if this is no MLflow, or one that refuses; one that is away may come back."""
    from pipeline.tracking import connect

    try:
        connect.connect(other).search_experiments(max_results=1)
    except Exception as error:
        if not (other.remote and connect.away(error)):
            raise InputError(f"uri={other.uri}: cannot be used ({connect.reason(error)}).") from None


def tracked(root: Path, other: Tracking | None) -> tuple[list[tuple[Path, Tracking]], list[dict[str, Any]]]:
    """Every run and sweep directory under `root` and the MLflow that it is to be shown on; a row per damaged one."""
    from pipeline.tracking import project

    found: list[tuple[Path, Tracking]] = []
    unread: list[dict[str, Any]] = []
    for folder, folders, files in os.walk(root):
        run, sweep = ("run.json" in files or "run.json" in folders), "sweep.json" in files
        folders[:] = [] if run else sorted(name for name in folders if not name.startswith("."))
        if run or sweep:
            try:
                where = other or project.tracking_of(Path(folder))
                if where.uri and not other:
                    trusted(where)
            except InputError as error:
                unread.append(_row(Path(folder), None, str(error)))
                continue
            if where.uri:
                found.append((Path(folder), where))
    return found, unread


def _row(path: Path, uri: str | None, error: str | None = None) -> dict[str, Any]:
    from pipeline.tracking import project

    row = {"run": str(path), "uri": uri, "rows": 0, "files": 0, "status": "", "error": error}
    return row | {"mlflow_run_id": project.run_id(path)}


def lost(whole: list[tuple[Path, Tracking]]) -> Iterator[dict[str, Any]]:
    """Rows for those that MLflow has whole by what is written down, and knows nothing of: its database was deleted.

    The ones that were sent first are asked for first: where MLflow has one, it has all that were sent after it.
    """
    from pipeline.tracking import connect, project

    sound: set[str] = set()
    for path, where in sorted(whole, key=lambda pair: (pair[0] / "tracking.json").stat().st_mtime_ns):
        if (uri := str(where.uri)) in sound:
            continue
        try:
            connect.ready(where)
            if not project.lost(path, where):
                sound.add(uri)
                continue
            row = _row(path, uri)
            row["error"] = project.LOST.format(run=row["mlflow_run_id"], path=path)
        except Exception as error:  # away: nothing is known to be missing
            terminal.say(f"{uri}: could not be asked ({connect.reason(error)})")
            sound.add(uri)
            continue
        terminal.say(line(row))
        yield row


def trusted(where: Tracking) -> None:
    """Raise InputError unless a directory may name this MLflow by itself: it may be somebody else's directory.

    What is sent is the directory's own, so a stranger's server learns nothing new of it; but our name and password go
    along with every call, and a database or a folder on this machine would be written to, wherever it lies.
    """
    assert where.uri
    say = f"uri={where.uri} on the command line says that it may be"
    secrets = [f"MLFLOW_TRACKING_{kind}" for kind in ("USERNAME", "PASSWORD", "TOKEN")]
    if where.remote:
        here = urllib.parse.urlsplit(where.uri).hostname in ("127.0.0.1", "localhost", "::1")
        if not here and any(os.environ.get(name) for name in secrets):
            raise InputError(f"{where.uri}: would be told your MLFLOW_TRACKING_USERNAME or TOKEN; {say}.")
        return
    database = Path(where.uri.removeprefix("sqlite:///")).resolve()
    if not database.exists() and not database.is_relative_to(Path.cwd()):
        raise InputError(f"{where.uri}: is no database that is there, nor one in this folder; {say}.")
    artifacts = Path(where.artifacts or database.parent).resolve()
    if not any(artifacts.is_relative_to(place) for place in (Path.cwd(), database.parent)):
        raise InputError(f"artifacts={artifacts}: lie neither in this folder nor beside {where.uri}; {say}.")


def owes(path: Path, tracking: Tracking) -> bool:
    """Whether MLflow lacks something; a run under way, which sends by itself, owes nothing."""
    from pipeline.tracking import project

    return project.owes(path, tracking)


def send(owing: list[tuple[Path, Tracking]], again: bool) -> Iterator[dict[str, Any]]:
    """Send run after run, with a line for each; past one that is away, nothing more is tried there."""
    from pipeline.tracking import connect, project

    away: dict[str, str] = {}
    for number, (path, where) in enumerate(owing, 1):
        uri = str(where.uri)
        row = _row(path, uri)
        try:
            if uri in away:
                row["error"] = away[uri]
            elif not project.wanted_end(path):
                row["status"] = "RUNNING"  # begun since we looked
            else:
                connect.ready(where)
                row |= dataclasses.asdict(project.send(path, where, again=again))
        except Exception as error:
            row["error"] = connect.reason(error)
            if where.remote and connect.away(error):
                away[uri] = row["error"]
        row["mlflow_run_id"] = row.pop("run_id", None) or project.run_id(path)
        terminal.say(f"[{number:>{len(str(len(owing)))}}/{len(owing)}] {line(row)}")
        yield row


def line(row: dict[str, Any]) -> str:
    """What was sent of one run."""
    if row["error"]:
        return ": ".join(filter(None, (f"{row['run']}: not sent", row["uri"], row["error"])))
    return f"{row['run']}: {row['rows']} rows, {row['files']} files, {row['status']}"


def table(document: dict[str, Any]) -> None:
    """The sum of it for people."""
    if not document["runs"]:
        print(f"Nothing to send: MLflow has all {document['tracked']} tracked runs and sweeps under it.")
        return
    rows = sum(row["rows"] for row in document["runs"])
    print(f"Sent what {document['sent']} of {document['tracked']} runs and sweeps had missed: {rows} metric rows.")
    if document["failed"]:
        print(f"{document['failed']} could not be sent, for the reasons above. The run directories keep all.")


def main() -> None:
    """The command."""
    cli.main("sync", job, schema=Sync)


if __name__ == "__main__":
    main()
