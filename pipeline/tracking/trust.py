"""Which MLflow a directory may name by itself: it may be somebody else's directory."""

import contextlib
import os
import sqlite3
import sys
import urllib.parse
from pathlib import Path

from pipeline.config.tracking import Tracking
from pipeline.errors import InputError
from pipeline.groups import CONF

# What MLflow adds to each request, besides name and password, which it also reads from ~/.mlflow/credentials.
CREDENTIALS = ("TOKEN", "AUTH", "AWS_SIGV4", "CLIENT_CERT_PATH")


def check_trust(tracking: Tracking) -> None:
    """Raise InputError unless the MLflow of a directory's own word may be told and written to.

    What is sent is the directory's own, so a stranger's server learns nothing new of it; but our name and password go
    along with every call, and a database or a folder on this machine would be written to, wherever it lies.
    """
    assert tracking.uri
    say = f"uri={tracking.uri} on the command line of pipeline.sync says that it may be"
    if tracking.remote:
        if os.environ.get("MLFLOW_TRACKING_URI") != tracking.uri and _has_credentials():
            raise InputError(f"{tracking.uri}: would be told your MLflow user name and password or token; {say}.")
        return
    database = Path(tracking.uri.removeprefix("sqlite:///")).resolve()
    if database.exists():
        if not _is_mlflows(database):
            raise InputError(f"{tracking.uri}: is no database of MLflow's; {say}.")
    elif not database.is_relative_to(Path.cwd()):
        raise InputError(f"{tracking.uri}: is no database that is there, nor one in this folder; {say}.")
    artifacts = Path(tracking.artifacts or database.parent).resolve()
    if not any(artifacts.is_relative_to(place) for place in (Path.cwd(), database.parent)):
        raise InputError(f"artifacts={artifacts}: lie neither in this folder nor beside {tracking.uri}; {say}.")


def check_named(tracking: Tracking) -> None:
    """Raise InputError where a file of --config-dir names a server, and your MLflow password would be told to it.

    One that is typed, that conf/ names or that MLFLOW_TRACKING_URI says is yours.
    """
    uri = tracking.uri
    if uri is None or not tracking.remote or os.environ.get("MLFLOW_TRACKING_URI") == uri:
        return
    known = (*sys.argv, *(path.read_text() for path in (CONF / "tracking").glob("*.yaml")))
    if not any(uri in text for text in known) and _has_credentials():
        raise InputError(
            f"tracking.uri={uri}: a file of --config-dir says so, and would be told your MLflow user name and password "
            f"or token; tracking.uri={uri} on the command line, or MLFLOW_TRACKING_URI={uri}, says that it may be."
        )


def _has_credentials() -> bool:
    from mlflow.utils.credentials import read_mlflow_creds

    known = read_mlflow_creds()
    named = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in CREDENTIALS)
    return bool(known.username or known.password or any(named))


def _is_mlflows(database: Path) -> bool:
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{urllib.parse.quote(str(database))}?mode=ro", uri=True)) as found,
    ):
        tables = {name for (name,) in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {"alembic_version", "experiments", "runs"} <= tables
    return False
