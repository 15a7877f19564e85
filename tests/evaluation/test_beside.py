"""The page of two runs says what their predictions say, and only of runs that were tested on the same examples."""

import re
import shutil

import numpy as np
import pytest
from running import TINY, call, refused
from scipy.stats import binomtest

from pipeline import rundir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two runs on one split, of other kernels, and of one that was tested on other examples."""
    folder = tmp_path_factory.mktemp("beside")
    done = call(folder, "train", f"-m {TINY} seed=0 architecture.kernel_size=3,1 dir=sweep output=json")
    assert done.code == 0, done.err
    for name, run in zip(("one", "other"), done.document["runs"], strict=True):
        (folder / run["run"]).rename(folder / name)
    elsewhere = folder / "elsewhere"
    shutil.copytree(folder / "other", elsewhere)
    saved = rundir.read_predictions(elsewhere)
    rundir.write_predictions(
        elsewhere,
        test=(saved["index"] + 1, saved["label"], saved["logits"]),
        val=(saved["val_index"], saved["val_label"], saved["val_logits"]),
    )
    rundir.set_status(elsewhere, "finished", files=rundir.seals(elsewhere))
    return folder


@pytest.fixture
def evaluate(folder, command, monkeypatch):
    """Run `evaluate` in that folder."""
    monkeypatch.chdir(folder)
    return lambda line: command("evaluate", line)


@pytest.fixture
def document(evaluate):
    done = evaluate("run=one against=other output=json")
    assert done.code == 0, done.err
    return done.document


def test_the_document_says_what_the_predictions_say(folder, document):
    saved = [rundir.read_predictions(folder / name) for name in ("one", "other")]
    labels, index = saved[0]["label"], saved[0]["index"]
    called = [one["logits"].argmax(1) for one in saved]
    right = [one == labels for one in called]
    alone = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert [document["first_alone"], document["second_alone"]] == alone
    assert document["both_right"] + document["neither"] + sum(alone) == document["examples"] == len(labels)
    assert document["p"] == pytest.approx(binomtest(alone[0], sum(alone)).pvalue)
    accuracies = [rundir.get_status(folder / name).metrics["test/acc"] for name in ("one", "other")]
    assert [one[0] for one in document["accuracy"]] == pytest.approx(accuracies)
    assert document["same_answer"] == (called[0] == called[1]).sum()
    assert sum(one["first_alone"] for one in document["classes"].values()) == alone[0]
    places = {int(i): n for n, i in enumerate(index)}
    for name, mine, theirs in (("first", True, False), ("second", False, True), ("neither", False, False)):
        some = document["differ"][name]
        assert some
        for one in some:
            place = places[one["index"]]
            assert (right[0][place], right[1][place]) == (mine, theirs)
            assert one["called"] == [str(each[place]) for each in called]
            assert one["called"][0] != one["called"][1]


def test_the_page_needs_nothing_else_and_says_what_was_asked(folder, document, evaluate):
    page = (folder / document["page"]).read_text()
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []
    shown = sum(len(some) for some in document["differ"].values())
    assert page.count('<img alt="an example" src="data:image/png') == shown
    # What was asked of both is not told; where the runs lie and what they are called is not asked.
    assert re.findall(r"<tr><td class=l>([a-z_.]+)</td>", page) == ["architecture.kernel_size"]
    again = evaluate("run=one against=other")
    assert "McNemar's exact p" in again.out
    assert "page        one/against.html" in again.out
    assert (folder / document["page"]).read_text() == page


def test_only_runs_tested_on_the_same_examples(folder, evaluate):
    done = evaluate("run=one against=elsewhere")
    refused(done, "against=elsewhere: was not tested on the examples that one was tested on. Both want the same data")
    refused(evaluate("run=one against=one/../one"), "against=one/../one: is the run itself.")
    refused(evaluate("run=one against=none"), "against=none: not a run directory")
    refused(evaluate("run=one against=other checkpoint=last"), "compares what the best one gave")
    assert not (folder / "elsewhere/against.html").exists()


@pytest.mark.slow
def test_another_size_is_the_same_examples(folder, evaluate):
    assert call(folder, "train", f"{TINY} data.size=10 seed=0 dir=larger").code == 0
    done = evaluate("run=one against=larger output=json")
    assert done.code == 0, done.err
    assert done.document["examples"] == len(np.unique(rundir.read_predictions(folder / "larger")["index"]))


def test_a_run_that_has_not_finished_is_refused(folder, evaluate):
    before = rundir.get_status(folder / "elsewhere")
    rundir.set_status(folder / "elsewhere", "interrupted")
    try:
        refused(evaluate("run=one against=elsewhere"), "against=elsewhere: is interrupted")
    finally:
        rundir.set_status(folder / "elsewhere", before.status)
