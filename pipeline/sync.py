"""Send to MLflow what it missed of the runs and sweeps under a folder, and set right how they ended.

python -m pipeline.sync
python -m pipeline.sync runs_dir=runs/kernel_size uri=http://HOST:PORT
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pipeline import cli, config, terminal
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError, one_of

if TYPE_CHECKING:
    from pipeline.tracking.backlog import Outcome


@dataclass
class Sync:
    """What `python -m pipeline.sync` takes."""

    runs_dir: str = "runs"  # a folder of runs and sweeps, or one of them
    uri: str | None = None  # another MLflow to show them on from now on; null: where each one is shown
    artifacts: str | None = None  # with uri=sqlite:///...: the folder for files; null: artifacts, beside the database
    again: bool = False  # all there is, not only what is known to be missing: for an MLflow that lost something
    output: str = "table"  # for people, or one document for programs

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
    """Go through the directories, send what MLflow lacks of each one, say what was sent."""
    from pipeline.tracking.backlog import find_backlog, find_lost, send_all

    options = config.typed(cfg, Sync)
    other, root = options.tracking, Path(options.runs_dir)
    if not root.is_dir():
        raise InputError(f"runs_dir={options.runs_dir}: no such folder.")
    # Nobody waits for the end of a run here: big files may take their time.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    if other:
        check_usable(other)
    found = find_backlog(root, other, options.again)
    outcomes: list[Outcome] = []

    def say(outcome: "Outcome", number: str = "") -> None:
        terminal.say(number + line(outcome))
        outcomes.append(outcome)

    for outcome in found.unread:
        say(outcome)
    most = len(found.behind)
    for number, outcome in enumerate(send_all(found.behind, options.again), 1):
        say(outcome, f"[{number:>{len(str(most))}}/{most}] ")
    for outcome in find_lost(found.whole):
        say(outcome)
    failed = [outcome for outcome in outcomes if outcome.error]
    document = {
        "runs_dir": options.runs_dir,
        "tracked": len(found),
        "sent": len(outcomes) - len(failed),
        "failed": len(failed),
        "runs": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    cli.emit(options.output, document, lambda: table(document))
    return cli.FAILED if failed else cli.DONE


def check_usable(other: Tracking) -> None:
    """Raise InputError if this is no MLflow, or one that refuses; one that is away may come back."""
    from pipeline.tracking.connect import connect, is_away, reason

    try:
        connect(other).search_experiments(max_results=1)
    except Exception as error:
        if not (other.remote and is_away(error)):
            raise InputError(f"uri={other.uri}: cannot be used ({reason(error)}).") from None


def line(outcome: "Outcome") -> str:
    """What was sent of one run."""
    if outcome.error:
        return ": ".join(filter(None, (f"{outcome.run}: not sent", outcome.uri, outcome.error)))
    return f"{outcome.run}: {outcome.rows} rows, {outcome.files} files, {outcome.status}"


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
