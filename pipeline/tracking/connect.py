"""Reach MLflow: a database here or a server, within a bounded time; tell one that is away from a wrong address."""

import http.client
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.beginning import importing
from pipeline.bounded import within
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError, of_machine

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)


def set_up(tracking: Tracking) -> None:
    """Import MLflow and set it up for this process.

    By the main thread, before another one uses it: torch, imported meanwhile by the main thread, and MLflow
    import some of the same packages, and two threads that wait for each other's get half of one.
    """
    set_environment(tracking)
    # The first connection otherwise prints a line per table migration.
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a line per retry, before our own message
    with importing():
        import mlflow  # noqa: F401


def set_environment(tracking: Tracking) -> None:
    """What MLflow reads when it is imported, here or in a process that is started."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report use to MLflow's makers
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # the result document is alone there
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # A call that failed is made again with the next push. MLflow's own retries would sleep in between.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # Half of the wait, so that a push that hangs when the run ends leaves time for one more call.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, int(tracking.wait_s / 2))))


def connect(tracking: Tracking) -> "MlflowClient":
    """The client; a database and its tables are made where they are missing."""
    from filelock import FileLock

    set_up(tracking)
    from mlflow import MlflowClient

    assert tracking.uri is not None
    if tracking.remote:
        return MlflowClient(tracking_uri=tracking.uri)
    folder = Path(tracking.uri.removeprefix("sqlite:///")).resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # tables made by several processes at once collide
        return MlflowClient(tracking_uri=tracking.uri)


def find_or_make_experiment(client: "MlflowClient", tracking: Tracking, name: str) -> str:
    """The id of the experiment called `name`, made where it is missing."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if not found:
        place = Path(tracking.artifacts).resolve().as_uri() if tracking.artifacts and not tracking.remote else None
        # The kind keeps the page from opening in its view for language models.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return client.create_experiment(name, artifact_location=place, tags=kind)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process made it in between
    if not found or not found.experiment_id:
        raise ValueError("it answers, but not as an MLflow server does")
    if found.lifecycle_stage == "deleted":
        raise ValueError(f"experiment {name} was deleted there; restore it, or choose another experiment.name")
    return found.experiment_id


def check(tracking: Tracking, name: str) -> bool:
    """Whether MLflow can be reached now, before any time is spent. A server that is away costs a warning.

    Raises InputError where waiting would not help: a database that cannot be used, an address that belongs to
    something else, a refusal.
    """
    if tracking.uri is None:
        return False
    set_up(tracking)

    def reach() -> str:
        return find_or_make_experiment(connect(tracking), tracking, name)

    try:
        within(tracking.wait_s, reach) if tracking.remote else reach()
    except Exception as error:
        if tracking.remote and is_away(error):
            log.warning(
                "tracking: %s does not answer (%s). Training goes on without it and keeps what it misses; "
                "`python -m pipeline.sync` sends that.",
                tracking.uri,
                reason(error),
            )
            return False
        hint = "Start the server"
        if "error code 401" in str(error):
            hint = "Set them"
        raise InputError(
            f"tracking.uri={tracking.uri}: cannot be used ({reason(error)}). "
            f"{hint}, or choose tracking=local or tracking=none."
        ) from (error if of_machine(error) else None)
    return True


def is_away(error: BaseException) -> bool:
    """Whether a server is only not there or too busy for now; False for a refusal and for what is no MLflow server."""
    import requests

    for cause in _causes(error):
        if isinstance(cause, requests.exceptions.SSLError | requests.exceptions.InvalidURL):
            return False
        if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, ConnectionError):
            return False  # something that speaks no HTTP
    # RetryError: 408, 429 and 5xx. All other answers come as errors of MLflow's own.
    kinds = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, requests.exceptions.RetryError)
    return any(isinstance(cause, (*kinds, ConnectionError, TimeoutError)) for cause in _causes(error))


def is_busy(error: BaseException) -> bool:
    """Whether a database on this machine only has too many at it just now."""
    return any("locked" in str(cause) or isinstance(cause, TimeoutError) for cause in _causes(error))


def _causes(error: BaseException | None) -> list[BaseException]:
    """The error and all that it came of; urllib3 passes some of it on as an argument."""
    found: list[BaseException] = []
    todo = [error]
    while todo:
        if (one := todo.pop(0)) is not None and one not in found:
            found.append(one)
            todo += [one.__cause__ or one.__context__, *(a for a in one.args if isinstance(a, BaseException))]
    return found


def reason(error: BaseException) -> str:
    """Why MLflow could not be used, in a few words."""
    import requests
    import urllib3

    causes = _causes(error)
    text = " ".join(str(error).split())
    if any(isinstance(c, ConnectionRefusedError) for c in causes):
        return "connection refused"
    if any(isinstance(c, requests.exceptions.Timeout) for c in causes) or "timed out" in text:
        return "no answer in time"
    if "error code 401" in text:
        return "401: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD do not say who you are"
    # What says more than "Max retries exceeded" stands inside that.
    inside = [c.reason for c in causes if isinstance(c, urllib3.exceptions.MaxRetryError) and c.reason]
    return " ".join(str(inside[0]).split())[:200] if inside else text[:200]
