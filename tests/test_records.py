"""Documents are records when all is there that our own code relies on, and else it is said what is not."""

import json

import pytest

from pipeline import records
from pipeline.records import Counts, DatasetRecord, JobRecord, Parameters, Row, RunRecord, Status, SweepRecord
from pipeline.tracking.state import End, Findings, TrackingState

CONFIG = {"seed": 0, "runs_dir": "runs", "architecture": {}, "tracking": {"uri": None}, "experiment": {"name": "e"}}
RUN = RunRecord(CONFIG, "k", "", DatasetRecord("d", "prepared/d", "e", (1, 8, 8), ["0"], Counts(8, 2, 4)), 10, 20)
JOBS = [JobRecord({"architecture.filters": [4, 8]}, 1, "000", "k", ["seed=1"], "w")]
QUESTION = {"name": "e", "question": "?", "metric": "test/acc", "mode": "max", "smallest_effect": 0.01}
SWEEP = SweepRecord(QUESTION, ["architecture.filters"], JOBS)
STATUS = Status("finished", started=1.5, metrics={"test/acc": 1}, parameters=Parameters(5, 4))
TRACKING = TrackingState({"uri": None}, ended=End("FINISHED", 3), attached=Findings(["a"], {"b": 1.0}))


def written(record):
    return json.loads(json.dumps(records.to_json(record)))


@pytest.mark.parametrize("record", [RUN, SWEEP, STATUS, Status("running"), TRACKING], ids=repr)
def test_a_record_is_what_its_document_says(record):
    document = written(record)
    assert records.parse(type(record), document) == record
    assert document["version"] == records.VERSION


def test_a_document_of_before_there_were_versions_is_read_and_what_is_new_in_it_left_alone():
    assert records.parse(Status, {"status": "running", "pid": 7, "mood": "good"}) == Status("running", pid=7)


@pytest.mark.parametrize("version", [records.VERSION + 1, "1", None, True])
def test_a_document_of_a_later_version_is_refused(version):
    with pytest.raises(ValueError, match="its format is"):
        records.parse(Status, {"status": "running", "version": version})


@pytest.mark.parametrize(
    ("kind", "document", "said"),
    [
        (Status, [], "it is no object"),
        (Status, {}, "it lacks status"),
        (Status, {"status": "well"}, "status is none of damaged, failed"),
        (Status, {"status": []}, "status is none of"),
        (Status, {"status": "running", "pid": True}, "pid is of the wrong kind"),
        (Status, {"status": "running", "metrics": {"test/acc": "1"}}, "metrics.test/acc is of the wrong kind"),
        (Status, {"status": "running", "parameters": {"total": 1}}, "it lacks parameters.trainable"),
        (Row, {"step": 1, "time_ms": 1}, "it lacks metrics"),
        (RunRecord, written(RUN) | {"config": {**CONFIG, "tracking": {}}}, "it lacks config.tracking.uri"),
        (RunRecord, written(RUN) | {"dataset": 1}, "dataset is no object"),
        (SweepRecord, written(SWEEP) | {"factors": "a"}, "factors is no list"),
        (SweepRecord, written(SWEEP) | {"experiment": {}}, "it lacks experiment.name"),
        (SweepRecord, written(SWEEP) | {"jobs": [1]}, "an item of jobs is no object"),
        (TrackingState, {"tracking": {"uri": 1}}, "it names no MLflow"),
        (TrackingState, {"tracking": {"uri": None}, "ended": ["FINISHED"]}, "ended is of the wrong kind"),
    ],
)
def test_what_is_no_record_says_where(kind, document, said):
    with pytest.raises(ValueError, match=said):
        records.parse(kind, document)
