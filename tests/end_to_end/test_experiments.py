"""Every claim of the notes that ships as conf/experiment/NAME.yaml: a fair design, and a road to its verdict."""

import pytest
import yaml
from running import REPOSITORY

FILES = sorted((REPOSITORY / "conf/experiment").glob("*.yaml"))
NAMES = [file.stem for file in FILES]

# What the issues ask for by name.
ASKED = {
    *("demo", "kernel_size", "padding", "pool_order"),
    *("stride", "filters", "depth", "pool_type", "head", "activation", "weight_sharing", "cnn_vs_mlp"),
}

# How many arms each crosses, counted from its question, and at most how many seeds.
ARMS = {
    "across": (64, 8),
    "activation": (6, 13),
    "augmentation": (5, 13),
    "cnn_vs_mlp": (4, 13),
    "demo": (8, 8),
    "depth": (4, 13),
    "filters": (3, 13),
    "head": (4, 13),
    "input_size": (4, 13),
    "kernel_size": (5, 13),
    "kernel_size_sound": (5, 13),
    "kernel_size_game": (5, 13),
    "kernel_size_text": (5, 13),
    "layer_transfer": (24, 6),
    "learning_curve": (5, 13),
    "localization": (8, 8),
    "padding": (2, 13),
    "padding_sound": (2, 13),
    "padding_game": (2, 13),
    "padding_text": (2, 13),
    "pool_order": (3, 13),
    "pool_order_sound": (3, 13),
    "pool_order_game": (3, 13),
    "pool_order_text": (3, 13),
    "pool_type": (3, 13),
    "pool_type_sound": (3, 13),
    "pool_type_game": (3, 13),
    "pool_type_text": (3, 13),
    "stride": (2, 13),
    "transfer": (24, 6),
    "weight_sharing": (6, 13),
}


# Of these a neighbour is run, which differs by its levels alone; `across` has 64 arms, of which each is a neighbour's.
ALIKE = {f"{name}_{kind}" for name in ("kernel_size", "padding", "pool_type") for kind in ("game", "sound", "text")}
ALIKE |= {"across"}


def said(name):
    """The section `experiment` of a file, with what the experiment that it builds on says."""
    file = yaml.safe_load((REPOSITORY / f"conf/experiment/{name}.yaml").read_text())
    base = next((one for one in file.get("defaults", []) if one in NAMES), None)
    return {**(said(base) if base else {}), **file["experiment"]}


PLANNED = {}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Where the data of all plans is prepared: sounds and texts once each."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def planned(command, monkeypatch, prepared):
    """The plan of an experiment, its estimate without the seconds of timing; asked for once."""
    from pipeline.training import calibrate

    def plan(name, line=""):
        if (name, line) not in PLANNED:
            monkeypatch.setattr(calibrate, "time_step", lambda *_: (0.01, 0.0001))
            done = command("plan", f"-m experiment={name} data.prepared_dir={prepared} {line} output=json")
            assert done.code == 0, done.err
            PLANNED[name, line] = done.document
        return PLANNED[name, line]

    return plan


def test_the_experiments_that_were_asked_for_exist():
    assert set(NAMES) >= ASKED


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_header_says_claim_and_command(file):
    lines = file.read_text().splitlines()
    header = [line for line in lines[: lines.index("experiment:")] if line.startswith("#")]
    assert header[0] == "# @package _global_"
    assert any(line.startswith("# Claim: ") for line in header) or file.stem == "demo"
    commands = [line for line in header if "python -m" in line]
    assert commands[0].removeprefix("#").split()[:5] == [
        "python", "-m", "pipeline.train", "-m", f"experiment={file.stem}",
    ]  # fmt: skip
    section = yaml.safe_load(file.read_text())["experiment"]
    assert section["name"] == file.stem
    assert section["question"].endswith("?")


@pytest.mark.parametrize("name", NAMES)
def test_plans_without_a_warning_that_is_not_meant(planned, name):
    found = planned(name)
    assert found["duplicates"] == []
    assert [one["text"] for one in found["confounds"] if not one["meant"]] == []
    assert found["unmatched"] == []
    arms, seeds = ARMS[name]
    assert (len(found["arms"]), len(found["seeds"]), found["runs"]) == (arms, seeds, arms * seeds)
    assert found["looks"][-1:] == ([] if name in ("transfer", "layer_transfer") else [seeds])


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_of_levels_that_are_run(planned, name):
    """A contrast of a level that no arm has would be left out with a warning."""
    arms = planned(name)["arms"]
    section = said(name)
    assert all(one["claim"] and one["expects"] for one in section["contrasts"])
    for one in section["contrasts"]:
        for factor, level in [(f, x) for f, pair in one["compare"].items() for x in pair] + list(
            one.get("at", {}).items()
        ):
            assert level in [arm["levels"][factor] for arm in arms], one["claim"]


@pytest.mark.parametrize("name", NAMES)
def test_means_to_differ_only_in_what_does(planned, name):
    """A quantity that is excused and does not differ would hide a mistake that is made later."""
    excused = planned(name, "experiment.meant_to_differ=[]")["confounds"]
    assert {one["quantity"] for one in excused} == set(said(name).get("meant_to_differ", []))
    assert not any(one["meant"] for one in excused)


@pytest.mark.parametrize(
    "name",
    ["depth", "filters", "head", "pool_order", "pool_order_sound", "pool_order_text", "pool_type", "pool_type_sound"],
)
def test_matched_where_the_question_asks_for_it(planned, name):
    arms = planned(name)["arms"]
    targets = {arm["match"]["target"] for arm in arms}
    assert len(targets) == 1
    assert all(abs(arm["total"]["params"] / target - 1) <= 0.05 for arm in arms for target in targets)
    asked = planned(name, "architecture.match=none")["arms"]
    costs = [arm["total"]["params"] for arm in asked]
    assert max(costs) / min(costs) > 1.05, "there was nothing to match"


def test_stride_costs_the_same_parameters(planned):
    # 320 + 64*(9*32+1) + 10*(64+1), as a gap head does not see how large the maps are
    arms = planned("stride")["arms"]
    assert {arm["total"]["params"] for arm in arms} == {320 + 18_496 + 650}


def test_weight_sharing_keeps_the_geometry(planned):
    shared, _, local, *_ = planned("weight_sharing")["arms"]
    assert shared["total"]["macs"] == local["total"]["macs"]
    # every filter once for each of 64, 16, 4 positions, and the same class layer of 10*(128+1)
    assert shared["total"]["params"] == 320 + 18_496 + 73_856 + 1_290
    assert local["total"]["params"] == 64 * 320 + 16 * 18_496 + 4 * 73_856 + 1_290


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ALIKE])
def test_runs_end_to_end(planned, command, name):
    """One seed and one epoch of every arm, in a verdict that has each level."""
    found = planned(name)
    quickly = "optimizer.lr=0.003 trainer.max_epochs=1 trainer.threads=1 tracking=none"
    line = f"-m experiment={name} seed=0 {quickly} output=json"
    done = command("train", line)
    assert done.code == 0, done.err
    assert "mind:" not in done.err
    document = done.document
    assert [run["status"] for run in document["runs"]] == ["finished"] * len(found["arms"])
    for run, arm in zip(document["runs"], found["arms"], strict=True):
        if arm["levels"].get("transfer") != "auto":  # whose network is advised once its source is trained
            assert run["parameters"]["total"] == arm["total"]["params"]
    assert all(0 <= run["metrics"]["test/acc"] <= 1 for run in document["runs"])
    verdict = document["verdict"]
    section = yaml.safe_load((REPOSITORY / f"conf/experiment/{name}.yaml").read_text())["experiment"]
    assert (verdict["experiment"], verdict["metric"]) == (name, section.get("metric", "test/acc"))
    for factor, entry in verdict["factors"].items():
        asked = list(dict.fromkeys(str(arm["levels"][factor]) for arm in found["arms"]))
        assert [str(level["level"]) for level in entry["levels"]] == asked
        assert all(level["n"] == 1 for level in entry["levels"])
        assert str(entry["best"]) in asked
    assert list(verdict["factors"]) == list(found["arms"][0]["levels"])
