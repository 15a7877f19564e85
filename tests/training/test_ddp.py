"""Two real processes train one run together, started by torchrun's agent, and find what one process finds."""

import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from running import REPOSITORY, call

from pipeline import config, data, rundir
from pipeline.evaluation import predict

pytestmark = pytest.mark.slow  # whole commands in processes of their own

# SGD, since Adam turns the last bit of a tiny gradient into a whole step. Augmented: were the images not the same in
# two processes as in one, nor would the weights be.
LINE = (
    "data.limit_train=256 trainer.max_epochs=2 trainer.threads=1 trainer.precision=32-true "
    "architecture.filters=[4,8] optimizer=sgd augmentation=affine tracking=none output=json"
)

# Read by every Python process at its start: each rank leaves a line about itself.
SITE = """
import os, sys
if "RANK" in os.environ:
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{os.environ['RANK']} {os.environ['WORLD_SIZE']} {os.getpid()} {sys.orig_argv[-2]}\\n")
    {more}
"""


def run(folder, line, more="pass", timeout_s=280):
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITE.replace("{more}", more))
    path = os.pathsep.join([str(folder / "site"), str(REPOSITORY)])
    return call(folder, "train", line, timeout_s, PYTHONPATH=path, NOTES=str(folder / "notes"))


def notes(folder):
    """[rank, world, pid, run directory] of every rank that was started."""
    return [line.split() for line in (folder / "notes").read_text().splitlines()]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two arms, each trained by two processes; returns the folder it ran in and how the command ended."""
    folder = tmp_path_factory.mktemp("ddp")
    done = run(folder, f"-m {LINE} trainer=ddp_cpu architecture.kernel_size=3,5")
    assert done.code == 0, done.err
    return folder, done


@pytest.fixture
def there(sweep, monkeypatch):
    """Stand in the folder of the sweep; returns its runs' directories."""
    folder, done = sweep
    monkeypatch.chdir(folder)
    return [folder / one["run"] for one in done.document["runs"]]


def test_a_multirun_gives_exactly_its_runs_in_one_sweep_directory(sweep, there):
    folder, done = sweep
    sweeps = list((folder / "runs").glob("**/sweep.json"))
    assert [str(file.parent.relative_to(folder)) for file in sweeps] == [done.document["sweep"]]
    assert sorted((folder / "runs").glob("**/run.json")) == [path / "run.json" for path in there]
    assert len(there) == 2
    levels = [rundir.read_json(path / "run.json")["config"]["architecture"]["kernel_size"] for path in there]
    assert levels == [3, 5]
    assert [one["status"] for one in done.document["runs"]] == ["finished", "finished"]


def test_each_run_is_trained_by_two_processes(sweep, there):
    folder, _ = sweep
    found = notes(folder)
    assert sorted((path, rank, world) for rank, world, _, path in found) == sorted(
        (str(path), rank, "2") for path in there for rank in "01"
    )
    assert len({pid for _, _, pid, _ in found}) == 4
    for path in there:
        assert sorted(log.parent.name for log in path.glob("ranks/*/*/*/stdout.log")) == ["0", "1"]


def test_metrics_are_those_that_one_process_computes_from_the_checkpoint(there, command, sweep, monkeypatch):
    folder, done = sweep
    monkeypatch.chdir(folder)  # the command's own fixture went elsewhere
    for path, one in zip(there, done.document["runs"], strict=True):
        evaluated = command("evaluate", f"run={path} invariance=false output=json")
        assert evaluated.code == 0
        assert evaluated.document["metrics"] == one["metrics"] == rundir.get_status(path).metrics


def test_validation_over_two_processes_counts_each_example_once(there):
    for path in there:
        best = torch.load(path / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] + 1
        shared = next(row.metrics for row in rundir.metric_rows(path) if row.step == best)
        alone = rundir.get_status(path).metrics  # 180 examples in one process
        assert shared["val/acc"] == pytest.approx(alone["val/acc"], abs=1e-6)
        assert shared["val/loss"] == pytest.approx(alone["val/loss"], rel=1e-5)


def test_the_record_has_one_row_an_epoch(there):
    for path in there:
        steps = [row.step for row in rundir.metric_rows(path) if "val/acc" in row.metrics]
        assert steps == [1, 2]


def test_two_processes_learn_what_one_learns(there, command, workdir):
    done = command("train", f"{LINE} dir=alone")
    assert done.code == 0
    alone, shared = (
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for path in (workdir / "alone", there[0])
    )
    assert list(alone) == list(shared)
    for name, weights in alone.items():
        torch.testing.assert_close(shared[name], weights, atol=1e-5, rtol=1e-4)
    torch.manual_seed(0)
    moved = [torch.dist(weights, torch.zeros_like(weights)) for weights in alone.values()]
    assert all(distance > 1e-3 for distance in moved)  # far more than the tolerance
    losses = [
        [row.metrics["train/loss"] for row in rundir.metric_rows(path) if "train/loss" in row.metrics]
        for path in (workdir / "alone", there[0])
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0][1] < losses[0][0]


def test_every_test_example_is_predicted_once(there):
    for path in there:
        with np.load(path / "predictions.npz") as saved:
            assert len(saved["index"]) == len(set(saved["index"].tolist())) == 359


def test_a_rank_that_fails_ends_the_run(tmp_path):
    more = """
    if os.environ["RANK"] == "1":
        import pipeline.training.module as module
        def broken(*_):
            raise RuntimeError("rank 1 broke")
        module.Classifier.training_step = broken
"""
    began = time.monotonic()
    done = run(tmp_path, f"{LINE} trainer=ddp_cpu dir=run", more)
    assert time.monotonic() - began < 120
    assert done.code == 1
    assert done.document["status"] == "failed"
    assert "RuntimeError: rank 1 broke" in done.document["error"]
    assert [rank for rank, *_ in sorted(notes(tmp_path))] == ["0", "1"]


def test_a_killed_rank_ends_the_run_and_not_the_sweep(tmp_path):
    more = """
    if os.environ["RANK"] == "1" and "000_" in sys.orig_argv[-2]:
        import signal
        import pipeline.training.module as module
        module.Classifier.on_validation_epoch_end = lambda self: os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run(tmp_path, f"-m {LINE} trainer=ddp_cpu seed=0,1", more)
    assert done.code == 75
    assert [one["status"] for one in done.document["runs"]] == ["interrupted", "finished"]
    assert "killed by SIGKILL" in done.document["runs"][0]["error"]
    assert Counter(path.rpartition("/")[2] for *_, path in notes(tmp_path)) == {"000_seed-0": 2, "001_seed-1": 2}


NO_MEMORY = """
    import pipeline.training.together as together
    together.MOST_BYTES = 0
"""


@pytest.mark.parametrize("devices", [2, 3])
def test_shared_memory_changes_no_bit(devices, tmp_path):
    """Of two processes; three are summed in another order than gloo's. Batch norm has what the first process saw."""
    line = f"{LINE} trainer=ddp_cpu trainer.devices={devices} data.batch_size=48 architecture.block=CNAP dir=run"
    found = []
    for name, more in (("shared", "pass"), ("gloo", NO_MEMORY)):
        (tmp_path / name).mkdir()
        done = run(tmp_path / name, line, more)
        assert done.code == 0, done.err
        rows = [row.metrics for row in rundir.metric_rows(tmp_path / name / "run") if "val/acc" in row.metrics]
        shared_by_all = {f"last/{name}": rows[-1][name] for name in ("train/loss", "val/loss")}
        found.append(done.document["metrics"] | shared_by_all)
    assert found[0] == pytest.approx(found[1], rel=1e-4) if devices == 3 else found[0] == found[1]


def test_batch_norm_of_all_processes_is_the_firsts_in_validation(tmp_path, monkeypatch):
    line = f"{LINE} trainer=ddp_cpu architecture.block=CNAP data.batch_size=8 trainer.max_epochs=1 dir=run"
    done = run(tmp_path, line)
    assert done.code == 0, done.err
    monkeypatch.chdir(tmp_path)
    (row,) = [row.metrics for row in rundir.metric_rows(Path("run")) if "val/acc" in row.metrics]
    settings = config.of_run(Path("run"))
    prepared = data.prepare(settings.data, settings.seed)
    val = data.split(prepared, settings.data, settings.seed)["val"]
    logits = predict.logits(predict.load(Path("run"), "last"), prepared.images, prepared.labels, val)
    alone = predict.metrics(logits, torch.from_numpy(prepared.labels[val]), "val")
    assert {name: row[name] for name in alone} == pytest.approx(alone, rel=1e-5)


def test_a_rank_killed_within_an_epoch_ends_the_run_at_once(tmp_path):
    more = """
    if os.environ["RANK"] == "1":
        import signal
        import pipeline.training.module as module
        def killed(self):
            if self.global_step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        module.Classifier.on_after_backward = killed
"""
    began = time.monotonic()
    done = run(tmp_path, f"{LINE} trainer=ddp_cpu dir=run", more)
    assert time.monotonic() - began < 60
    assert done.code == 75
    assert "process 1 was killed by SIGKILL" in done.err


def test_a_rank_that_is_silent_is_given_up_in_time(tmp_path):
    more = """
    if os.environ["RANK"] == "1":
        import time
        import pipeline.training.module as module
        module.Classifier.on_after_backward = lambda self: self.global_step == 3 and time.sleep(1000)
"""
    began = time.monotonic()
    done = run(tmp_path, f"{LINE} trainer=ddp_cpu trainer.sync_timeout_s=5 dir=run", more)
    assert time.monotonic() - began < 90
    assert done.code == 1
    assert "process 1 did not come within 5 s (trainer.sync_timeout_s)" in done.document["error"]


def test_two_processes_give_the_same_numbers_again(tmp_path):
    metrics = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        done = run(tmp_path / name, f"{LINE} trainer=ddp_cpu dir=run optimizer=adam")
        assert done.code == 0
        metrics.append(done.document["metrics"])
    assert metrics[0] == metrics[1]


def test_diverging_ends_both_processes(tmp_path):
    done = run(tmp_path, f"{LINE} trainer=ddp_cpu dir=run optimizer.lr=1e30", timeout_s=120)
    assert done.code == 1
    assert done.document["status"] == "failed"
    assert "diverged" in done.document["error"]
