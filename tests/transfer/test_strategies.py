"""What each strategy keeps, trains, makes new and leaves out, from the command line to the checkpoint."""

import shutil

import pytest
import torch
from running import refused
from transfer_runs import FROZEN, SOURCE, TARGET, of_layers, same, state

from pipeline import rundir

pytestmark = pytest.mark.slow  # each trains networks, sources first


@pytest.fixture
def train(command, workdir, source):
    """Train on from the source: train("head_only", "more=...") -> (run directory, document)."""

    def run(strategy, more="", folder="run"):
        line = f"transfer={strategy} transfer.source={source} {TARGET} {more} dir={folder} output=json"
        done = command("train", line)
        assert done.code == 0, done.err
        return workdir / folder, done.document

    return run


def test_head_only_leaves_the_trunk_as_it_was_to_the_last_bit(train, source, command):
    run, document = train("head_only")
    before, after = state(source, "best"), state(run)
    trunk = of_layers(after, *FROZEN)
    assert len(trunk) == 14  # for each block: conv weight and bias; norm weight, bias, mean, variance, count
    assert same(trunk, before) == sorted(trunk)
    assert same(of_layers(after, "head"), before) == []
    assert same({k: after[k] for k in ("mean", "std")}, before) == ["mean", "std"]
    assert document["parameters"] == {"total": 690, "trainable": 330}
    evaluated = command("evaluate", f"run={run} invariance=false output=json")
    assert evaluated.document["metrics"] == document["metrics"]


def test_run_json_says_what_was_resolved(train, source):
    run, _ = train("head_only")
    asked = rundir.read_json(run / "run.json")
    found = asked["transfer"]
    assert found["strategy"] == "head_only"
    assert found["loaded"] == found["frozen"] == ["block1_conv1", "block1_norm1", "block2_conv1", "block2_norm1"]
    assert found["new"] == ["head_classes"]
    assert found["parameters"] == {"trained": 330, "frozen": 360}
    assert found["source"]["named"] == str(source)
    assert len(found["source"]["digest"]) == 64
    assert found["source"]["tensors_loaded"] == 14
    assert found["source"]["tensors_left_out"] == ["head_classes.bias", "head_classes.weight"]
    assert asked["config"]["architecture"]["filters"] == [4, 8]  # the source's own, which nobody typed


def test_early_layers_drops_the_later_ones(train, source, command):
    run, document = train("early_layers", "transfer.depth=1")
    after = state(run)
    assert of_layers(after, "block2") == {}
    assert same(of_layers(after, "block1"), state(source, "best")) == sorted(of_layers(after, "block1"))
    assert after["network.head_classes.weight"].shape == (10, 64)  # sixteen means of each of four maps
    assert document["parameters"] == {"total": 48 + 650, "trainable": 650}
    evaluated = command("evaluate", f"run={run} invariance=false output=json")
    assert evaluated.document["metrics"] == document["metrics"]


@pytest.mark.parametrize(("head", "values"), [("gap", 4), ("flatten", 64)])
def test_what_follows_the_kept_maps_can_be_chosen(train, command, head, values):
    run, document = train("early_layers", f"transfer.depth=1 transfer.head={head}")
    assert state(run)["network.head_classes.weight"].shape == (10, values)
    assert rundir.read_json(run / "run.json")["transfer"]["network"] == {"channels": 1, "depth": 1, "head": head}
    evaluated = command("evaluate", f"run={run} invariance=false output=json")
    assert evaluated.document["metrics"] == document["metrics"]


def test_a_head_for_another_strategy_is_refused(command, source):
    refused(
        command("train", f"transfer=head_only transfer.source={source} {TARGET} transfer.head=gap"),
        "transfer.head=gap: has no effect with transfer=head_only, only with early_layers, auto",
    )


def test_what_was_cut_can_be_started_from(train, command, workdir, source):
    first, _ = train("early_layers", "transfer.depth=1", "first")
    done = command("train", f"transfer=head_only transfer.source={first} {TARGET} dir=second output=json")
    assert done.code == 0, done.err
    after = state(workdir / "second")
    assert same(of_layers(after, "block1"), state(source, "best")) == sorted(of_layers(after, "block1"))
    assert done.document["parameters"] == {"total": 698, "trainable": 650}


def test_fine_tune_trains_everything_at_rates_by_stage(train, source):
    run, document = train("fine_tune", "optimizer.lr=0.01")
    before, after = state(source, "best"), state(run)
    assert same(of_layers(after, *FROZEN, "head"), before) == []
    assert document["parameters"] == {"total": 690, "trainable": 690}
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in saved] == [0.01, 0.005, 0.0025]  # head, block2, block1: lr_decay is 0.5
    assert [len(group["params"]) for group in saved] == [2, 4, 4]


def test_the_head_learns_alone_at_first(train, source):
    run, _ = train("fine_tune", "transfer.warmup_epochs=2")
    trunk = of_layers(state(run), *FROZEN)
    assert same(trunk, state(source, "best")) == sorted(trunk)  # batch norm's statistics too


def test_stages_are_unfrozen_one_by_one(train, source):
    run, _ = train("fine_tune", "transfer.warmup_epochs=1 transfer.unfreeze_every=1")
    before, after = state(source, "best"), state(run)
    assert same(of_layers(after, "block1"), before) == sorted(of_layers(after, "block1"))
    assert same(of_layers(after, "block2", "head"), before) == []


def test_retrain_takes_the_architecture_alone(train, source, command, workdir):
    run, document = train("retrain", "seed=1")  # with the source's own seed it would be the source
    assert document["parameters"] == {"total": 690, "trainable": 690}
    assert same(of_layers(state(run), *FROZEN), state(source, "best")) == []
    plain = "architecture.block=CNAP architecture.filters=[4,8]"
    done = command("train", f"{plain} {TARGET} seed=1 dir=plain output=json")
    assert done.document["metrics"] == document["metrics"]  # the same as never to have heard of a source


def test_the_key_is_of_the_weights_and_not_of_their_place(train, source, workdir, command):
    run, _ = train("head_only")
    shutil.copytree(source, workdir / "elsewhere")
    line = f"transfer=head_only {TARGET} output=json"
    assert command("train", f"{line} transfer.source=elsewhere dir=second").code == 0
    key = rundir.read_json(run / "run.json")["key"]
    assert rundir.read_json(workdir / "second" / "run.json")["key"] == key
    assert command("train", f"{SOURCE} seed=1 dir=another").code == 0
    assert command("train", f"{line} transfer.source=another dir=third").code == 0
    assert rundir.read_json(workdir / "third" / "run.json")["key"] != key


def test_another_size_gets_another_head(train, source):
    run, document = train("head_only", "data.size=16")
    assert state(run)["network.head_classes.weight"].shape == (10, 4 * 4 * 8)
    assert document["parameters"]["trainable"] == 10 * (4 * 4 * 8 + 1)


def test_the_plan_shows_what_is_frozen(command, source):
    line = f"transfer=head_only transfer.source={source}"
    found = command("plan", f"{line} output=json").document
    rows = {row["name"]: row["transfer"] for row in found["layers"]}
    assert rows["block2_conv1"] == {"role": "frozen", "trained": 0, "frozen": 296}
    assert rows["block2_pool1"] == {"role": "", "trained": 0, "frozen": 0}
    assert rows["head_classes"] == {"role": "new", "trained": 330, "frozen": 0}
    assert found["total"]["params"] == 690
    assert (found["total"]["trained"], found["total"]["frozen"]) == (330, 360)
    assert found["transfer"]["source"]["tensors_loaded"] == 14
    assert "330 parameters are trained, 360 are frozen" in command("plan", line).out


def test_the_plan_of_a_sweep_counts_by_arm(command, source):
    line = f"-m transfer=head_only,early_layers,fine_tune,retrain transfer.source={source} {TARGET} output=json"
    found = command("plan", line).document
    # early_layers keeps one of two stages: 48 frozen, 10*(64+1) new
    counts = {arm["levels"]["transfer"]: (arm["total"]["trained"], arm["total"]["frozen"]) for arm in found["arms"]}
    assert counts == {"head_only": (330, 360), "early_layers": (650, 48), "fine_tune": (690, 0), "retrain": (690, 0)}
    assert found["duplicates"] == []


def test_strategies_are_a_factor(command, source, workdir):
    line = f"-m transfer=head_only,retrain transfer.source={source} {TARGET} trainer.max_epochs=1 dir=sweep output=json"
    done = command("train", line)
    assert done.code == 0, done.err
    assert [one["parameters"]["trainable"] for one in done.document["runs"]] == [330, 690]
    assert list(done.document["verdict"]["factors"]) == ["transfer"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("transfer.strategy=head_onli", "transfer.strategy=head_onli: must be one of none, head_only, early_layers"),
        ("transfer=head_only", "transfer.source=None: transfer=head_only needs a network to start from: a run"),
        ("transfer.source=x", "transfer.source=x: nothing is loaded by transfer=none. Choose transfer=head_only, "),
        ("transfer=head_only transfer.source=x", "transfer.source=x: no such run. It must be a run directory, an"),
        ("transfer=head_only transfer.source=.", "transfer.source=.: not a run directory; it holds no run.json."),
        (
            "transfer=head_only transfer.source={s} transfer.depth=1",
            "transfer.depth=1: has no effect with",
        ),
        ("transfer=early_layers transfer.source={s} transfer.depth=3", "transfer.depth=3: the source has 2 stages bef"),
        ("transfer=head_only transfer.source={s} transfer.lr_decay=0.5", "transfer.lr_decay=0.5: has no effect with"),
        ("transfer=fine_tune transfer.source={s} transfer.lr_decay=0", "transfer.lr_decay=0.0: must be above 0"),
        ("transfer=head_only transfer.source={s} transfer.weights=x", "transfer.weights=x: belongs to transfer.source"),
        ("transfer=head_only transfer.source={s} architecture.filters=[3]", "architecture: is another one than that"),
        ("transfer=head_only transfer.source=timm", "transfer.source=timm: needs the model's name: architecture=timm"),
        ("transfer=head_only transfer.source=" + 32 * "0", "tracking.uri=None has no runs."),
    ],
)
def test_what_cannot_be_is_refused(line, said, command, source, workdir):
    refused(command("train", f"tracking=none {line.format(s=source)}"), said)
    assert list(workdir.iterdir()) == []


def test_a_size_that_the_trunk_does_not_take(command, mlp_source, workdir):
    line = f"transfer=head_only transfer.source={mlp_source} tracking=none"
    # 8 hidden units: 8*(64+1) at 8x8, 8*(256+1) at 16x16
    said = ("layer block1_dense1 has 520 parameters at data.size=8 and would have 2,056", "Use data.size=8.")
    refused(command("train", f"{line} data.size=16"), *said)
    assert list(workdir.iterdir()) == []
    assert command("train", f"{line} {TARGET} trainer.max_epochs=1").code == 0
