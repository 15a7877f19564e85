"""What a run can be compared by is known before it begins, and is what runs have at their end."""

import pytest
from running import TINY, refused

from pipeline import rundir
from pipeline.config.metrics import METRICS


@pytest.mark.parametrize("invariance", [False, True])
def test_the_table_lists_what_runs_record(invariance, command, workdir):
    assert command("train", f"{TINY} experiment.invariance={str(invariance).lower()} dir=run").code == 0
    measured = {name: metric for name, metric in METRICS.items() if not (metric.predicted or metric.kind)}
    asked = {"", "invariance"} if invariance else {""}
    expected = {name for name, metric in measured.items() if metric.asked in asked}
    assert set(rundir.get_status(workdir / "run").metrics) == expected


@pytest.mark.parametrize("line", ["", "-m experiment=padding"])
def test_plan_refuses_what_no_run_will_have(line, command):
    refused(command("plan", f"{line} experiment.metric=test/f2"), "experiment.metric=test/f2: ", "'test/f1'")
    refused(command("plan", f"{line} experiment.metric=agreement/shift"), "experiment.invariance=true")


def test_which_end_is_better_follows_from_the_metric(command, workdir):
    line = f"-m {TINY} experiment.metric=test/loss architecture.kernel_size=1,3 seed=0,1 dir=sweep output=json"
    done = command("train", line)
    assert done.code == 0, done.err
    verdict = done.document["verdict"]
    (factor,) = verdict["factors"].values()
    assert (verdict["metric"], verdict["mode"]) == ("test/loss", "min")
    assert factor["best"] == min(factor["levels"], key=lambda level: level["mean"])["level"]
    assert "experiment.mode" not in done.err
    assert [one for one in verdict["warnings"] if "nothing was learnt" not in one] == []


@pytest.mark.parametrize(
    ("module", "line"),
    [("plan", ""), ("plan", "-m seed=0,1"), ("train", TINY), ("train", f"-m {TINY} seed=0,1 dir=sweep output=json")],
)
def test_a_mode_that_contradicts_the_metric_is_said(module, line, command, workdir):
    done = command(module, f"{line} experiment.metric=test/loss experiment.mode=max")
    assert done.code == 0
    assert "mind: experiment.mode=max: of test/loss, less is better" in done.err
    if "dir=sweep" in line:
        assert "of test/loss, less is better" in done.document["verdict"]["warnings"][0]
        assert "of test/loss, less is better" in (workdir / "sweep/report.html").read_text()


def test_a_source_need_not_have_the_metric_of_its_runs(command):
    line = f"{TINY} transfer=head_only data@transfer.pretrain=photo_patches transfer.pretrain.limit_train=64"
    assert command("train", f"{line} experiment.metric=invariance/shift experiment.invariance=true").code == 0


@pytest.mark.parametrize(("metric", "split"), [("test/acc", "test"), ("val/acc", "val"), ("gap/acc", "val")])
def test_a_share_is_rounded_by_the_examples_that_it_is_a_share_of(metric, split, command, workdir):
    """0.056 of 18 examples is one of them, and of 359 it is 20."""
    line = f"-m {TINY} data.val_fraction=0.05 experiment.metric={metric} optimizer.lr=0.001,0.01 seed=0,1 dir=sweep"
    done = command("train", f"{line} output=json")
    counts = rundir.read_run(workdir / done.document["runs"][0]["run"]).dataset.counts
    assert done.document["verdict"]["n_test"] == getattr(counts, split)
    assert counts.val != counts.test
