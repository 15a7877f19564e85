"""Sources that are looked up on MLflow, and what the dashboard shows of a run that began from one."""

import pytest
from mlflow import MlflowClient
from running import refused
from transfer_runs import FROZEN, SOURCE, TARGET, of_layers, same, state

from pipeline import rundir
from pipeline.tracking.state import read_run_id

pytestmark = pytest.mark.slow  # each trains networks, sources first


@pytest.mark.parametrize("registered", [False, True])
def test_a_run_of_mlflow_is_fetched_and_started_from(registered, command, workdir):
    local = "tracking=local tracking.push_every_s=0.2"
    done = command("train", f"{SOURCE} {local} dir=source output=json")
    assert done.code == 0, done.err
    run_id = named = done.document["mlflow_run_id"]
    client = MlflowClient(f"sqlite:///{workdir}/mlruns/mlflow.db")
    if registered:
        client.create_registered_model("strokes")
        client.create_model_version("strokes", f"runs:/{run_id}/checkpoints", run_id=run_id)
        named = "models:/strokes/1"
    (workdir / "source").rename(workdir / "gone")
    line = f"transfer=head_only transfer.source={named} {TARGET} {local} output=json"
    done = command("train", f"{line} dir=run")
    assert done.code == 0, done.err
    found = of_layers(state(workdir / "run"), *FROZEN)
    assert same(found, state(workdir / "gone", "best")) == sorted(found)
    tags = client.get_run(done.document["mlflow_run_id"]).data.tags
    assert (tags["parameters_trained"], tags["parameters_frozen"]) == ("330", "360")
    digest = rundir.read_json(workdir / "run" / "run.json")["transfer"]["source"]["digest"]
    assert tags["transfer_source_digest"] == digest
    assert read_run_id(workdir / "run") == done.document["mlflow_run_id"]
    missing = "models:/strokes/9" if registered else "f" * 32
    refused(
        command("train", f"{line} transfer.source={missing} dir=other"),
        f"transfer.source={missing}: cannot be had from tracking.uri=sqlite:///",
    )


def test_published_weights_without_the_network(command, workdir, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line = f"transfer=head_only transfer.source=timm architecture=timm architecture.name=mobilenetv2_100 {TARGET}"
    done = command("train", f"{line} data.size=32")
    refused(
        done, "transfer.source=timm: the weights of mobilenetv2_100 could not be fetched (", "transfer.weights=FILE"
    )
    # The plan needs no weights.
    found = command("plan", f"{line} data.size=32 output=json").document
    assert found["total"]["trained"] == 10 * (1280 + 1)
