"""The trained network that `transfer.source` names, on this machine: fetched from MLflow where it is not here."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline import transfer
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.training import pretrain
from pipeline.transfer.config import SOURCES
from pipeline.transfer.source import Source

RUN_ID = re.compile(r"[0-9a-f]{32}")
MODEL = re.compile(r"models:/([^/@]+)(?:/([^/]+)|@(.+))")


def find(settings: Config, weights: bool = True) -> Source | None:
    """The source of a configuration, or None where it asks for none.

    One that is to be trained for the run is not trained here. What is not on this machine is fetched, once, into a
    folder under runs_dir: a run's configuration, and with `weights` its checkpoint; timm's published weights.

    Raises:
        InputError: a source that is not there, has no checkpoint, or cannot be fetched.
    """
    asked, named = settings.transfer, settings.transfer.source
    if own := pretrain.wanted(settings):
        if weights and asked.how.loads:
            return pretrain.trained(own)
        return replace(pretrain.network(own), key=pretrain.key(own).digest if weights else None)
    if asked.strategy == "none" or named is None:
        return None
    weights = weights and asked.how.loads
    fetched = Path(settings.runs_dir) / ".sources"
    if named == "timm":
        found = transfer.of_timm(settings.architecture, asked.weights)
        if found.file is None and weights:
            from pipeline.transfer import published

            return replace(found, file=published.fetch(found.section, fetched).resolve())  # type: ignore[arg-type]
        return found
    if (Path(named) / "run.json").exists():
        return transfer.of_run(Path(named), named, weights)
    if RUN_ID.fullmatch(named) or MODEL.fullmatch(named):
        return transfer.of_run(_from_mlflow(settings, named, fetched, weights), named, weights)
    if Path(named).exists():
        raise InputError(f"transfer.source={named}: not a run directory; it holds no run.json.")
    raise InputError(f"transfer.source={named}: no such run. It must be {SOURCES}.")


def _from_mlflow(settings: Config, named: str, folder: Path, weights: bool) -> Path:
    """A folder with run.json and the best checkpoint of an MLflow run, as in the run directory."""
    uri = settings.tracking.uri
    # A database that is not there yet holds no run, and is not made for this.
    if uri is None or (uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()):
        raise InputError(f"transfer.source={named}: is looked up on MLflow, and tracking.uri={uri} has no runs.")
    from pipeline.tracking.connect import connect

    try:
        client = connect(settings.tracking)
        run_id = named
        if model := MODEL.fullmatch(named):
            name, version, alias = model.groups()
            got = client.get_model_version(name, version) if version else client.get_model_version_by_alias(name, alias)
            if not got.run_id:
                raise ValueError("it was not registered from a run")
            run_id = got.run_id
        run = folder / run_id
        for artifact in ("run.json", "checkpoints/best.ckpt") if weights else ("run.json",):
            if (run / artifact).exists():
                continue
            (run / artifact).parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as part:  # whole or not at all, whoever fetches beside us
                Path(client.download_artifacts(run_id, artifact, part)).replace(run / artifact)
    except Exception as error:  # of the server, its store, the network: any of dozens
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"transfer.source={named}: cannot be had from tracking.uri={uri} ({reason}).") from None
    return run
