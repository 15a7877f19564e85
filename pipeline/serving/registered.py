"""A finished run as an MLflow model that others can load, without our code and without a pickle of ours.

The graph is torch.export's (`pt2`), whose weights are raw numbers; one batch of noise, the example, goes with it. Its
pyfunc takes uint8 images [B, H, W, C] and gives probabilities. A version carries tags that say where it comes from;
an alias moves from version to version, and the tags stay with each.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline import rundir, terminal
from pipeline.config.tracking import Tracking
from pipeline.errors import InputError
from pipeline.serving.opened import Opened, of_run
from pipeline.tracking import connect
from pipeline.tracking.content import MOST_TAG
from pipeline.tracking.send import is_lost, send

if TYPE_CHECKING:
    from mlflow import MlflowClient

NEEDS = ("mlflow", "torch", "numpy")


@dataclass(frozen=True)
class Registered:
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    uri: str  # by which others load it
    tracking_uri: str


def check_alias(alias: str | None) -> None:
    """Raise InputError for a name that MLflow takes for no alias."""
    if alias is not None and (not re.fullmatch(r"[\w-]{1,255}", alias) or re.fullmatch(r"v\d+|latest", alias, re.I)):
        raise InputError(f"alias={alias}: must be letters, digits, '_' or '-', and neither latest nor v and a number.")


def register(
    run: Path, tracking: Tracking, name: str, alias: str | None = None, tags: dict[str, str] | None = None
) -> Registered:
    """Register the run's network as a version of the model `name`, and point `alias` at it.

    The run is shown on that MLflow first, with all that it lacks there. A run that is a version of `name` already gets
    no second one, but these tags. Raises InputError where it has not finished, or MLflow cannot be used.
    """
    if (status := rundir.get_status(run).status) != "finished":
        raise InputError(f"run={run}: its status is {status}; only one that has finished is registered.")
    opened = of_run(run, str(run))
    try:
        sent = send(run, tracking, again=is_lost(run, tracking))
        client = connect.connect(tracking)
        found = _version_of(client, name, sent.run_id) or _new_version(client, tracking, opened, name, sent.run_id, run)
        for key, value in (tags or {}).items():
            client.set_model_version_tag(name, found, key, value[:MOST_TAG])
        if alias:
            client.set_registered_model_alias(name, alias, found)
    except InputError:
        raise
    except Exception as error:  # of the server, its store, the network: any of dozens
        raise InputError(f"register={name}: cannot be had from {tracking.uri} ({connect.reason(error)}).") from error
    uri = f"models:/{name}@{alias}" if alias else f"models:/{name}/{found}"
    return Registered(name, found, sent.run_id, uri, str(tracking.uri))


def _version_of(client: "MlflowClient", name: str, run_id: str) -> str | None:
    """The version of the model that is this run's network, if there is one."""
    there = [one for one in client.search_model_versions(f"name = '{name}'") if one.run_id == run_id]
    return str(max(int(one.version) for one in there)) if there else None


def _new_version(client: "MlflowClient", tracking: Tracking, opened: Opened, name: str, run_id: str, run: Path) -> str:
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    from pipeline.serving.exported import described

    where = client.get_run(run_id).info.experiment_id
    facts = described(opened)
    model = client.create_logged_model(where, name="model", source_run_id=run_id, params=_short(facts))
    ended: Literal["READY", "FAILED"] = "FAILED"
    try:
        with tempfile.TemporaryDirectory(prefix="convtrial-") as folder:
            save(opened, Path(folder) / "model", run_id, model.model_id)
            client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
        dataset = opened.record.dataset
        for metric, value in rundir.get_status(run).metrics.items():
            client.log_metric(
                run_id,
                f"best/{metric}" if metric.startswith("val/") else metric,  # as the run has them there
                value,
                dataset_name=dataset.name,
                dataset_digest=dataset.digest[:12],
                model_id=model.model_id,
            )
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        ended = "READY"
    finally:
        client.finalize_logged_model(model.model_id, ended)
    with contextlib.suppress(MlflowException):  # it is there, or the next line says why not
        client.create_registered_model(name)
    metrics = {f"metric/{k}": f"{v:.6g}" for k, v in rundir.get_status(run).metrics.items()}
    with _as_default(tracking):
        made = client.create_model_version(
            name,
            source=f"models:/{model.model_id}",
            run_id=run_id,
            model_id=model.model_id,
            tags=_short(facts) | metrics,
        )
    link = json.dumps([{"name": name, "version": int(made.version)}])
    client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": link})  # its page names the version by it
    return str(made.version)


def register_finished(runs: Sequence[Path], tracking: Tracking) -> None:
    """What `tracking.register` asks for, once runs are trained. What cannot be is said, and stops nobody."""
    if tracking.register is None:
        return
    for run in runs:
        if rundir.get_status(run).status != "finished":
            continue
        try:
            found = register(run, tracking, tracking.register)
            terminal.say(f"registered: {found.uri} is {run}")
        except InputError as error:
            terminal.say(
                f"not registered: {run}: {error} `python -m pipeline.export run={run} register=NAME` does it later."
            )
            if error.__cause__ and connect.is_away(error.__cause__):  # and will be for the next ones
                return


@contextlib.contextmanager
def _as_default(tracking: Tracking) -> Iterator[None]:
    """A database asks the MLflow of the whole process, and not the client's, what models:/ID is (MLflow 3.17)."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = str(tracking.uri)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _short(facts: dict[str, str]) -> dict[str, str]:
    return {key: value[:500] for key, value in facts.items()}


def save(opened: Opened, path: Path, run_id: str | None = None, model_id: str | None = None) -> None:
    """Write the MLflow model into a new folder."""
    import numpy as np
    import torch
    from mlflow import pytorch
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from pipeline.serving.exported import CLOSE, Probabilities, described, difference, example, quiet, traceable

    images = example(opened)
    # A numpy example and tensors in the signature: MLflow 3.17 makes no pyfunc of others in pt2.
    signature = ModelSignature(
        Schema([TensorSpec(images.dtype, (-1, *images.shape[1:]))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, len(opened.classes)))]),
    )
    with quiet("mlflow", "torch.export"), traceable():
        pytorch.save_model(
            Probabilities(opened),
            path,
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            signature=signature,
            input_example=images,
            serialization_format="pt2",
            pip_requirements=[f"{package}=={version_of(package)}" for package in NEEDS],
            metadata=described(opened),
        )
    graph = torch.export.load(path / "data" / "model.pt2").module()
    off = difference(opened, lambda images: graph(torch.from_numpy(images)).detach().numpy())
    if not off <= CLOSE:
        raise InputError(f"its graph gives probabilities that are off by {off:.1e}")
    # Weights of pt2 stay on the device that they were exported on: without this, a server with a GPU refuses them.
    made = Model.load(str(path))
    made.flavors["python_function"]["config"] = {"device": "cpu"}
    made.save(str(path / "MLmodel"))


def document(found: Registered) -> dict[str, Any]:
    """It for output=json."""
    return {
        "name": found.name,
        "version": found.version,
        "mlflow_run_id": found.run_id,
        "uri": found.uri,
        "tracking_uri": found.tracking_uri,
    }
