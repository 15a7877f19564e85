"""Sources that are trained for the runs that start from them; networks AnB, AnB+, BnB and BnB+."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from running import TINY, call, refused

from pipeline import rundir
from pipeline.training import guard

pytestmark = pytest.mark.slow  # each trains networks, sources first

# Two blocks with batch norm; 64 of about 630 digits of five classes, two steps an epoch.
LINE = f"{TINY} architecture.block=CNAP trainer.precision=32-true trainer.max_epochs=2 data.class_half=b"
ON_A = "data@transfer.pretrain=digits transfer.pretrain.class_half=a transfer.pretrain.limit_train=64"
HEAD = f"{LINE} transfer=head_only {ON_A}"
LAYERS = f"{LINE} transfer=first_layers"
SLOW = pytest.mark.slow


def weights(run):
    """The weights and buffers of a run's best checkpoint, by their names in the network."""
    found = torch.load(Path(run) / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    return {k.removeprefix("network."): v for k, v in found.items() if k.startswith("network.")}


def source_of(run):
    """The directory of the run that `run` started from."""
    return Path(rundir.read_json(Path(run) / "run.json")["transfer"]["source"]["file"]).parents[1]


def block(tensors, n):
    return {name: tensor for name, tensor in tensors.items() if name.startswith(f"block{n}_")}


def equal(ours, theirs):
    return {name: bool(torch.equal(tensor, theirs[name])) for name, tensor in ours.items()}


# ---- a run by itself


def test_a_run_trains_its_source_first_and_starts_from_it(command):
    done = command("train", f"{HEAD} seed=1 dir=run output=json")
    assert done.code == 0, done.err
    assert "source digits/a,seed=1" in done.err
    (source,) = Path("runs/train/sources").iterdir()
    asked = rundir.read_json(source / "run.json")
    assert rundir.get_status(source).status == "finished"
    assert asked["key"].startswith(source.name)
    mine = rundir.read_json(Path("run/run.json"))
    for section in ("architecture", "optimizer", "trainer", "seed"):
        assert asked["config"][section] == mine["config"][section]
    assert asked["config"]["transfer"]["strategy"] == "none"
    assert not set(asked["dataset"]["classes"]) & set(mine["dataset"]["classes"])
    begins = mine["transfer"]["source"]
    assert begins["key"] == asked["key"]
    assert begins["metrics"] == rundir.get_status(source).metrics
    theirs, ours = weights(source), weights("run")
    for n in (1, 2):
        assert set(equal(block(ours, n), theirs).values()) == {True}
    # another run from the same source does not train it again
    began = rundir.get_status(source).started
    done = command("train", f"{LINE} transfer=fine_tune {ON_A} seed=1 dir=other")
    assert done.code == 0, done.err
    assert rundir.get_status(source).started == began
    assert len(list(Path("runs/train/sources").iterdir())) == 1


def test_what_takes_no_weights_trains_no_source(command):
    for strategy in ("retrain", "random_features"):
        done = command("train", f"{LINE} transfer={strategy} {ON_A} dir={strategy}")
        assert done.code == 0, done.err
    assert not Path("runs/train/sources").exists()
    status = rundir.get_status(Path("random_features"))
    # the new head alone: 5 classes x (8 filters x 2 x 2 + 1)
    assert status.parameters.trainable == 5 * (8 * 4 + 1)
    assert rundir.get_status(Path("retrain")).parameters.trainable == status.parameters.total


def test_the_key_says_what_the_source_is_trained_on(command):
    keys = []
    for more in ("", "transfer.pretrain.class_half=b", "transfer.pretrain.num_workers=0", "transfer.pretrain.size=16"):
        run = Path(f"run{len(keys)}")
        done = command("train", f"{LINE} transfer=retrain {ON_A} {more} trainer.max_epochs=1 dir={run}")
        assert done.code == 0, done.err
        keys.append(rundir.read_json(run / "run.json")["key"])
    assert keys[0] == keys[2]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"transfer=none {ON_A}", "transfer.pretrain=digits: nothing is loaded by transfer=none"),
        (f"transfer=head_only {ON_A} transfer.source=somewhere", "name a source, or the data"),
        ("transfer=first_layers", "say data.class_half=b"),
        ("transfer=first_layers data.class_half=a", "data.class_half=a: transfer.network=AnB is a network for half B"),
        ("transfer=first_layers transfer.network=BnA data.class_half=b", "transfer.network=BnA: must be one of AnB"),
        ("transfer=first_layers transfer.depth=9 data.class_half=b", "transfer.depth=9: the source has 3 stages"),
        (f"transfer=first_layers data.class_half=b {ON_A}", "transfer.pretrain.name=digits: has no effect"),
        ("transfer=head_only", "data@transfer.pretrain=NAME"),
        ("data@transfer.pretrain=digitz transfer=head_only", "digitz"),
        (f"transfer=head_only {ON_A} transfer.pretrain.size=0", "data.size=0"),
    ],
)
def test_mistakes_leave_nothing_behind(command, workdir, line, said):
    refused(command("train", line), said)
    assert list(workdir.iterdir()) == []


# ---- sweeps


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """One sweep over all four networks and both depths: {(network, depth, seed): run directory}."""
    folder = tmp_path_factory.mktemp("swept")
    factors = "transfer.network=AnB,AnB+,BnB,BnB+ transfer.depth=1,2 seed=0,1"
    done = call(folder, "train", f"-m {LAYERS} {factors} trainer.max_epochs=1 dir=sweep output=json")
    assert done.code == 0, done.err
    jobs = rundir.read_json(folder / "sweep/sweep.json")["jobs"]
    return done, {
        (j["levels"]["transfer.network"], j["levels"]["transfer.depth"], j["seed"]): folder / "sweep" / j["dir"]
        for j in jobs
    }


def test_sources_of_a_sweep_are_trained_once_and_first(swept):
    done, runs = swept
    assert "first 4 sources to start from" in done.err  # A and B of two seeds
    assert done.err.index("[4/4] source") < done.err.index("[ 1/16]")
    sources = list((runs["AnB", 1, 0].parents[1] / "runs/train/sources").iterdir())
    assert len(sources) == 4
    ended = max(rundir.get_status(source).ended for source in sources)
    assert all(rundir.get_status(run).started >= ended for run in runs.values())
    assert all(rundir.get_status(source).resumed == 0 for source in sources)
    by_task = {(network[0], seed): source_of(run) for (network, _, seed), run in runs.items()}
    assert set(by_task.values()) == {source.resolve() for source in sources}
    for (half, seed), source in by_task.items():
        asked = rundir.read_json(source / "run.json")
        assert (asked["config"]["data"]["class_half"], asked["config"]["seed"]) == (half.lower(), seed)
        for (network, _, other), run in runs.items():
            assert (source_of(run) == source) == ((network[0], other) == (half, seed))


def test_the_first_n_layers_are_the_sources_and_only_with_plus_change(swept):
    _, runs = swept
    for (network, depth, _), run in runs.items():
        theirs, ours = weights(source_of(run)), weights(run)
        begins = rundir.read_json(run / "run.json")["transfer"]
        for n in (1, 2):
            same = equal(block(ours, n), block(theirs, n))
            if n > depth:
                assert not same[f"block{n}_conv1.weight"]
            elif network.endswith("+"):
                # they started from them, and were trained on: in two steps of 0.001 they do not get far
                assert not same[f"block{n}_conv1.weight"]
                far = (ours[f"block{n}_conv1.weight"] - theirs[f"block{n}_conv1.weight"]).abs().max()
                assert far <= 2 * 0.0011
            else:
                assert set(same.values()) == {True}  # batch norm's statistics as well
        copied = {name.split("_")[0] for name in begins["loaded"]}
        assert copied == {f"block{n}" for n in range(1, depth + 1)}
        assert (begins["frozen"] == begins["loaded"]) == (not network.endswith("+"))
        assert "head_classes" in begins["new"]


def test_the_verdict_has_the_figure_with_base_b(swept):
    done, runs = swept
    found = done.document["verdict"]["layers"]
    bases = [rundir.get_status(source_of(runs["BnB", 1, seed])).metrics["test/acc"] for seed in (0, 1)]
    assert found["base"]["mean"] == pytest.approx(sum(bases) / 2)
    own = [rundir.get_status(runs["AnB", 2, seed]).metrics["test/acc"] for seed in (0, 1)]
    assert found["networks"]["AnB"][1]["mean"] == pytest.approx(sum(own) / 2)
    assert len(found["sentences"]) == 3
    sweep = runs["AnB", 2, 0].parent
    assert (sweep / "plots/layer_transfer.png").exists()
    for said in found["sentences"]:
        assert said.split(" (")[0] in (sweep / "report.html").read_text()


def test_fresh_layers_do_not_begin_where_the_source_began(command):
    """With a rate too small to matter, BnB's later layers are as they were drawn, and so are baseB's."""
    done = command("train", f"{LAYERS} transfer.network=BnB transfer.depth=1 optimizer.lr=1e-12 dir=run")
    assert done.code == 0, done.err
    ours, theirs = weights("run"), weights(source_of("run"))
    assert torch.allclose(ours["block1_conv1.weight"], theirs["block1_conv1.weight"])
    assert not torch.allclose(ours["block2_conv1.weight"], theirs["block2_conv1.weight"], atol=1e-3)


def test_plan_counts_the_sources(command):
    line = f"-m {LAYERS} transfer.network=AnB,AnB+,BnB transfer.depth=1,2 seed=0,1,2 output=json"
    found = command("plan", line).document
    assert (found["runs"], found["sources"]) == (18, 6)
    assert command("plan", f"-m {LINE} transfer=retrain,random_features {ON_A} output=json").document["sources"] == 0
    assert not Path("runs").exists()


def test_a_sweep_that_grows_trains_only_the_sources_that_it_lacks(command):
    line = f"-m {LAYERS} transfer.network=AnB transfer.depth=1 trainer.max_epochs=1 dir=sweep"
    assert command("train", f"{line} seed=0").code == 0
    done = command("train", f"{line} seed=0,1")
    assert done.code == 0, done.err
    assert "first 1 source to start from" in done.err
    assert len(list(Path("runs/train/sources").iterdir())) == 2


def test_runs_say_why_they_cannot_start_where_their_source_failed(command, monkeypatch):
    def diverge(self, trainer, pl_module, loss):
        if "sources" in str(self.path):
            raise RuntimeError("on purpose")
        return original(self, trainer, pl_module, loss)

    original = guard.Guard.on_before_backward
    monkeypatch.setattr(guard.Guard, "on_before_backward", diverge)
    line = f"-m {LAYERS} transfer.network=AnB transfer.depth=1 seed=0 dir=sweep output=json"
    done = command("train", line)
    assert done.code == 1
    (run,) = done.document["runs"]
    assert run["status"] == "failed"
    assert "source digits/a,seed=0: failed: RuntimeError: on purpose" in run["error"]
    monkeypatch.setattr(guard.Guard, "on_before_backward", original)
    done = command("train", f"{line} retry=true")
    assert done.code == 0, done.err


# ---- interrupted, and several at once


def test_a_source_that_was_stopped_goes_on_to_the_same_weights(command, monkeypatch):
    assert command("train", f"{HEAD} dir=undisturbed runs_dir=whole").code == 0
    original = guard.Guard.on_before_backward
    steps = []

    def before(self, trainer, pl_module, loss):
        if "sources" in str(self.path):
            steps.append(trainer.global_step)
            if len(steps) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
        return original(self, trainer, pl_module, loss)

    monkeypatch.setattr(guard.Guard, "on_before_backward", before)
    assert command("train", f"{HEAD} dir=run").code == 75
    (source,) = Path("runs/train/sources").iterdir()
    assert rundir.get_status(source).status == "interrupted"
    done = command("train", f"{HEAD} dir=run")
    assert done.code == 0, done.err
    assert rundir.get_status(source).resumed == 1
    (whole,) = Path("whole/train/sources").iterdir()
    assert whole.name == source.name
    assert set(equal(weights(source), weights(whole)).values()) == {True}
    assert set(equal(weights("run"), weights("undisturbed")).values()) == {True}


def start(folder, line):
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.train", *shlex.split(line)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@SLOW
def test_a_source_that_was_killed_goes_on(workdir):
    line = f"{HEAD} trainer.max_epochs=200 dir=run output=json"
    process = start(workdir, line)
    sources = workdir / "runs/train/sources"
    while not list(sources.glob("*/metrics.jsonl")):
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    (source,) = sources.iterdir()
    assert rundir.get_status(source).status == "running"
    process = start(workdir, line)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert json.loads(out)["status"] == "finished"
    assert rundir.get_status(source).resumed == 1


@SLOW
def test_two_processes_that_want_one_source_train_it_once(workdir):
    lines = [f"{HEAD} trainer.max_epochs=20 dir=run{n} output=json" for n in range(2)]
    processes = [start(workdir, line) for line in lines]
    for process in processes:
        _, err = process.communicate(timeout=280)
        assert process.returncode == 0, err
    (source,) = (workdir / "runs/train/sources").iterdir()
    assert rundir.get_status(source).resumed == 0
    rows = [row.step for row in rundir.metric_rows(source)]
    assert len(rows) == len(set(rows)) or rows[-1] == rows[-2] == 20  # the last row but one is the end's
    assert source_of(workdir / "run0") == source_of(workdir / "run1")


@SLOW
def test_sources_are_shown_on_mlflow(command):
    from mlflow import MlflowClient

    done = command("train", f"-m {LAYERS} tracking=local transfer.network=AnB,BnB transfer.depth=1 seed=0 output=json")
    assert done.code == 0, done.err
    client = MlflowClient("sqlite:///mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("train").experiment_id
    shown = {run.data.tags.get("run_key"): run for run in client.search_runs([experiment])}
    sources = list(Path("runs/train/sources").iterdir())
    assert len(sources) == 2
    for source in sources:
        run = shown[rundir.read_json(source / "run.json")["key"]]
        assert run.info.status == "FINISHED"
        assert run.data.metrics["test/acc"] == pytest.approx(rundir.get_status(source).metrics["test/acc"])


def test_a_single_run_finds_the_source_that_it_had_trained(command, workdir):
    # with what the configuration leaves open (precision, threads) settled for the source, then for the run
    line = TINY.replace("trainer.threads=1", "") + " transfer=head_only data@transfer.pretrain=photo_patches"
    done = command("train", f"{line} transfer.pretrain.limit_train=64 dir=run output=json")
    assert (done.code, done.document["status"]) == (0, "finished"), done.err
    (source,) = (workdir / "runs/train/sources").iterdir()
    assert rundir.get_status(source).status == "finished"
