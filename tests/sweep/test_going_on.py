"""A sweep that goes on: what finished is kept, what is new is run."""

import json

import pytest
from running import TINY, refused

from pipeline.training import guard

# ---- sweeps

SWEEP = f"-m {TINY} trainer.max_epochs=2 data.batch_size=16 architecture.kernel_size=3,5 seed=0,1"


def numbers(document):
    return {run["run"].rpartition("/")[2]: (run["status"], run["metrics"]) for run in document["runs"]}


def test_the_same_sweep_goes_on_in_its_directory(command, workdir, stopped_once):
    expected = numbers(command("train", f"{SWEEP} dir=undisturbed output=json").document)
    stopped_once("001_", step=5)
    done = command("train", f"{SWEEP} output=json")
    assert done.code == 75
    assert [run["status"] for run in done.document["runs"]] == ["finished", "interrupted", "missing", "missing"]
    done = command("train", f"{SWEEP} output=json")
    assert done.code == 0
    assert "seed=0: finished before" in done.err
    assert "seed=1: interrupted before, goes on" in done.err
    assert numbers(done.document) == expected
    assert len(list((workdir / "runs/train").iterdir())) == 1
    (found,) = (workdir / "runs/train").iterdir()
    (found / "stop").touch()  # of a stop as the last run ended
    assert command("train", f"{SWEEP} output=json").code == 0
    assert not (found / "stop").exists()


@pytest.mark.slow
def test_a_new_level_and_a_new_seed_run_alone(command, workdir):
    first = command("train", f"{SWEEP} output=json").document
    began = {path: path.stat().st_mtime_ns for path in (workdir / "runs").glob("**/run.json")}
    more = SWEEP.replace("kernel_size=3,5 seed=0,1", "kernel_size=2,3,5 seed=0,1,2")
    done = command("train", f"{more} output=json")
    assert done.document["sweep"] == first["sweep"]
    assert len(done.document["runs"]) == 9
    assert numbers(first).items() <= numbers(done.document).items()
    assert {path: path.stat().st_mtime_ns for path in began} == began
    assert done.err.count("finished before") == 4
    verdict = done.document["verdict"]
    assert verdict["factors"]["architecture.kernel_size"]["levels"][0]["n"] == 2  # the new seed is not judged with them
    assert any(said.startswith("Not judged: 3 runs of seeds that were added") for said in verdict["warnings"])


@pytest.mark.slow
@pytest.mark.parametrize("other", ["trainer.max_epochs=1", "optimizer.lr=0.01", "resume=false"])
def test_another_sweep_gets_another_directory(other, command):
    line = SWEEP.replace("seed=0,1", "seed=0").replace("3,5", "3,2")
    first = command("train", f"{line} output=json").document["sweep"]
    assert command("train", f"{line} {other} output=json").document["sweep"] != first


@pytest.mark.slow
def test_a_sweep_directory_that_holds_another_is_refused(command):
    assert command("train", f"{SWEEP} dir=here").code == 0
    done = command("train", f"{SWEEP} optimizer.lr=0.01 dir=here")
    assert (done.code, "dir=here: holds another sweep" in done.err) == (2, True)


def test_what_was_asked_before_is_gone_on_with_and_not_a_part_of_it(command):
    first, part, again = (command("train", f"-m {TINY} seed={seeds} output=json") for seeds in ("0,1", "0", "0,1"))
    assert part.document["sweep"] != first.document["sweep"] == again.document["sweep"]
    assert again.document["verdict"]["seeds"] == [0, 1]


@pytest.mark.slow
def test_failed_runs_are_tried_again_on_request_alone(command, monkeypatch):
    original = guard.Guard.on_before_backward

    def poisoned(self, trainer, pl_module, loss):
        bad = trainer.global_step == 1 and "kernel_size-5_seed-0" in str(self.path)
        original(self, trainer, pl_module, loss * float("nan") if bad else loss)

    with monkeypatch.context() as patch:
        patch.setattr(guard.Guard, "on_before_backward", poisoned)
        done = command("train", f"{SWEEP} output=json")
    assert done.code == 1
    assert [run["status"] for run in done.document["runs"]] == ["finished", "finished", "failed", "finished"]
    done = command("train", f"{SWEEP} output=json")
    assert (done.code, "retry=true tries it again" in done.err) == (1, True)
    done = command("train", f"{SWEEP} retry=true output=json")
    assert (done.code, "is tried again" in done.err) == (0, True)


def test_another_question_of_the_same_runs_has_a_directory_of_its_own(command, workdir):
    first = command("train", f"{SWEEP} output=json")
    second = command("train", f"{SWEEP} experiment.metric=val/loss output=json")
    assert second.document["sweep"] != first.document["sweep"]
    assert second.err.count("finished before, in ") == 4
    kept = json.loads((workdir / first.document["sweep"] / "verdict.json").read_text())
    assert (kept["metric"], second.document["verdict"]["metric"]) == ("test/acc", "val/loss")
    done = command("train", f"{SWEEP} experiment.metric=val/loss dir={first.document['sweep']}")
    refused(done, "holds another sweep: its experiment.metric is test/acc")


@pytest.mark.parametrize("sweep", ["", "-m "])
def test_what_finished_is_not_begun_anew_in_its_place(sweep, command, workdir):
    line = f"{sweep}{TINY} seed=0 dir=here"
    assert command("train", line).code == 0
    refused(command("train", f"{line} resume=false"), "dir=here: holds a", "resume=false begins anew")


def test_factors_of_one_last_name_have_figures_of_their_own(command, workdir):
    line = (
        f"-m {TINY} data.limit_train=64,128 optimizer.lr=0.01 data@transfer.pretrain=photo_patches transfer=fine_tune"
    )
    more = "transfer.pretrain.limit_train=64,128 transfer.pretrain.size=8 seed=0 dir=sweep"
    assert command("train", f"{line} {more}").code == 0
    assert command("compare", "sweep=sweep out=out").code == 0
    assert sorted(path.name for path in (workdir / "out/metrics").iterdir()) == [
        "data.limit_train.json",
        "transfer.pretrain.limit_train.json",
    ]
