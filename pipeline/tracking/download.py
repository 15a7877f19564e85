"""A trained network from MLflow: run.json and checkpoint of an MLflow run or a registered model, on this machine."""

import re
import tempfile
from pathlib import Path

from pipeline.config.tracking import Tracking
from pipeline.errors import InputError

RUN_ID = re.compile(r"[0-9a-f]{32}")
MODEL = re.compile(r"models:/([^/@]+)(?:/([^/]+)|@(.+))")


def is_on_mlflow(named: str) -> bool:
    """Whether this is how an MLflow run or a registered model is named."""
    return bool(RUN_ID.fullmatch(named) or MODEL.fullmatch(named))


def fetch(tracking: Tracking, named: str, folder: Path, weights: bool, key: str = "transfer.source") -> Path:
    """A folder below `folder` with run.json and, with `weights`, the best checkpoint, as in the run directory.

    Raises InputError where they cannot be had; `key` is by what the user named it.
    """
    uri = tracking.uri
    # A database that is not there yet holds no run, and is not made for this.
    if uri is None or (uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()):
        raise InputError(f"{key}={named}: is looked up on MLflow, and tracking.uri={uri} has no runs.")
    from pipeline.tracking.connect import connect

    try:
        client = connect(tracking)
        run_id = named
        if model := MODEL.fullmatch(named):
            name, version, alias = model.groups()
            got = client.get_model_version(name, version) if version else client.get_model_version_by_alias(name, alias)
            if not got.run_id:
                raise ValueError("it was not registered from a run")
            run_id = got.run_id
        if (status := client.get_run(run_id).info.status) != "FINISHED":
            raise ValueError(f"it is {status}; only one that has finished will do")
        run = folder / run_id
        for artifact in ("run.json", "checkpoints/best.ckpt") if weights else ("run.json",):
            if (run / artifact).exists():
                continue
            (run / artifact).parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as part:  # whole or not at all, whoever fetches beside us
                Path(client.download_artifacts(run_id, artifact, part)).replace(run / artifact)
    except Exception as error:  # of the server, its store, the network: any of dozens
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{key}={named}: cannot be had from tracking.uri={uri} ({reason}).") from None
    return run
