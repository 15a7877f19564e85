"""What MLflow's page of an experiment says of a sweep: of any words, of several sweeps, beside a person's own."""

import dataclasses
import json
import socket

import pytest
from running import refused
from tracked import all_of

from pipeline import rundir
from pipeline.tracking import live
from pipeline.tracking.send import send
from pipeline.tracking.state import TrackingState
from pipeline.tracking.view import MOST, Question, describe, may_describe, tag_of

ASKED = Question(
    "2026_sweep", "abcd", 1000, "Which?", "test/acc", "max", {"a.size": "2, 3"}, {"a.size": "2"}, ["It is 2."], True
)


def but(**fields):
    return dataclasses.replace(ASKED, **fields)


def test_markdown_and_html_in_a_question_are_shown_as_they_are():
    text = "<img src=x onerror=y> [a](http://b)\n\n# |x| `c` *d* _e_ kernel_size & so"
    note = describe(but(question=text, levels={"a.size": "<b>, |"}, sentences=[text]), "1", "run")
    said = r"&lt;img src=x onerror=y&gt; \[a\](http://b) \# \|x\| \`c\` \*d\* \_e\_ kernel_size &amp; so"
    assert note.startswith(f"{said} → size: 2\n\n")
    assert f"\n\n{said}\n\n[//]: #" in note
    assert r"a.size: &lt;b&gt;, \|" in note


def test_a_description_fits_whatever_is_said():
    note = describe(but(question="q" * 9000, sentences=["*" * 3000, "&" * 3000, "x"] * 9), "1", "run")
    assert len(note) <= MOST + 100
    assert "The rest is in the report." in note
    assert may_describe(note, ASKED)


def test_a_view_fits_whatever_is_varied():
    factors = {f"a.{'b' * 200}{i}": "1, 2" for i in range(40)}
    key, value = tag_of(but(levels=factors), "run", list(factors))
    assert key == "mlflow.sharedViewState.abcd"
    assert len(value) <= MOST
    columns = json.loads(json.loads(value)["state"])["selectedColumns"]
    assert columns[:2] == ["metrics.`test/acc`", f"params.`a.{'b' * 200}0`"]
    assert columns[-1] == "params.`seed`"


@pytest.mark.parametrize(
    ("metric", "mode", "column", "least_first"),
    [("val/acc", "max", "best/val/acc", False), ("test/loss", "min", "test/loss", True)],
)
def test_a_view_begins_with_the_best_of_its_metric(metric, mode, column, least_first):
    state = json.loads(json.loads(tag_of(but(metric=metric, mode=mode), "run", ["a.size"])[1])["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == (f"metrics.`{column}`", least_first)


def test_a_later_sweep_describes_its_experiment_and_a_person_has_the_last_word():
    note = describe(ASKED, "1", "run")
    assert may_describe(None, ASKED)
    assert may_describe("Which?", ASKED)  # as they began once
    assert may_describe(note, but(started_ms=1001, question="Another?"))
    assert not may_describe(note, but(started_ms=999))
    assert not may_describe("Ours.", ASKED)
    assert not may_describe(note.replace("It is 2.", "It is 2, says Ada."), ASKED)
    assert not may_describe(f"{note}\n\nSee also ours.", ASKED)


def test_what_a_person_wrote_stays(sweep, where):
    from pipeline.tracking.connect import connect

    sent, client = send(sweep), connect(where)
    experiment = client.get_run(sent.run_id).info.experiment_id
    client.set_experiment_tag(experiment, "mlflow.note.content", "Ours.")
    client.set_tag(sent.run_id, "mlflow.note.content", "Ours, too.")
    live.attach(sweep, [], {}, ["It is so."], {})
    assert client.get_experiment(experiment).tags["mlflow.note.content"] == "Ours."
    assert client.get_run(sent.run_id).data.tags["mlflow.note.content"] == "Ours, too."
    assert rundir.read_json(sweep / "tracking.json")["experiment"] == experiment
    assert len(all_of(client, sweep)) == 1


# ---- the command


def test_of_a_shared_server_the_dashboard_is_its_address(sweep, command):
    TrackingState({"uri": "http://host.invalid:5000", "artifacts": None}, experiment="7").save(sweep)
    uid = rundir.read_sweep(sweep).uid
    page = f"http://host.invalid:5000/#/experiments/7/runs?viewStateShareKey={uid}&workflowType=machine_learning"
    done = command("dashboard", f"sweep={sweep} browser=false")
    assert (done.code, done.out) == (0, f"dashboard  {page}\n")
    done = command("dashboard", f"runs_dir={sweep.parent} browser=false output=json")
    assert done.document == {"sweep": str(sweep), "dashboard": page}


def test_what_cannot_be_served_is_said_in_a_line(sweep, command):
    send(sweep)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = command("dashboard", f"sweep={sweep} port={port} host=127.0.0.1 browser=false")
    refused(answer, f"port={port}: http://127.0.0.1:{port} is taken, and not by an MLflow that shows this.")
    refused(command("dashboard", f"sweep={sweep} host=no.such.host.invalid"), "host=no.such.host.invalid: is not known")
    TrackingState({"uri": None, "artifacts": None}).save(sweep)
    refused(command("dashboard", f"sweep={sweep}"), "is not tracked", f"pipeline.sync runs_dir={sweep} uri=sqlite")
