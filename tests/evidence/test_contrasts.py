"""Claims about levels of one factor at levels of another: what averages over the other cannot answer."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from pipeline.config import Contrast
from pipeline.errors import InputError
from pipeline.evidence import Run, tables, verdict

CLAIMS = [
    Contrast(
        {"architecture": ["mlp", "cnn"]}, {"messy": 0.0}, claim="An MLP keeps up on clean digits.", expects="not_worse"
    ),
    Contrast({"architecture": ["mlp", "cnn"]}, {"messy": 0.5}, claim="It falls behind on messy ones.", expects="worse"),
    Contrast(
        {"architecture": ["mlp", "cnn"]},
        {"messy": 0.5},
        {"messy": 0.0},
        claim="It loses more there.",
        expects="worse",
    ),
]


def sweep(clean: float, messy: float, seeds: int = 16) -> list[Run]:
    """Runs in which the CNN leads the MLP by so much on clean and on messy images."""
    rng = np.random.default_rng(3)
    runs = []
    for seed in range(seeds):
        for level, gap in ((0.0, clean), (0.5, messy)):
            base = 0.9 - level / 5
            for kind, value in (("cnn", base), ("mlp", base - gap)):
                measured = value + float(rng.normal()) * 0.003
                runs.append(Run({"architecture": kind, "messy": level}, seed, {"test/acc": measured}, 100, 100, 1.0))
    return runs


def judge(runs: list[Run], **more: Any) -> dict[str, Any]:
    asked = {"smallest_effect": 0.01, "contrasts": CLAIMS, **more}
    found = verdict(runs, ["architecture", "messy"], "test/acc", **asked).to_json()
    json.dumps(found, allow_nan=False)
    return found


@pytest.mark.parametrize(
    ("clean", "messy", "outcomes"),
    [
        (0.00, 0.20, ["supported", "supported", "supported"]),  # the claim
        (0.20, 0.00, ["refuted", "refuted", "refuted"]),  # its very opposite
        (0.10, 0.10, ["refuted", "supported", "refuted"]),  # the MLP is worse by as much on either
    ],
)
def test_three_worlds_of_one_average_get_three_answers(clean: float, messy: float, outcomes: list[str]):
    doc = judge(sweep(clean, messy))
    assert [one["outcome"] for one in doc["contrasts"]] == outcomes
    assert abs(doc["factors"]["architecture"]["levels"][1]["difference"] + 0.1) < 0.005  # the average, in all three
    assert doc["sentences"][0].startswith(f"An MLP keeps up on clean digits: {outcomes[0]}: mlp less cnn at messy=0.0 ")
    noted = any("An interaction is shown" in note for note in doc["factors"]["architecture"]["notes"])
    assert noted == (clean != messy)


def test_the_difference_of_differences_by_hand():
    runs = []
    for seed, values in enumerate([(0.90, 0.89, 0.80, 0.70), (0.92, 0.90, 0.83, 0.72)]):
        for (kind, level), value in zip([("cnn", 0.0), ("mlp", 0.0), ("cnn", 0.5), ("mlp", 0.5)], values, strict=True):
            runs.append(Run({"architecture": kind, "messy": level}, seed, {"test/acc": value}))
    third = judge(runs)["contrasts"][2]
    # (0.70 - 0.80) - (0.89 - 0.90) = -0.09; (0.72 - 0.83) - (0.90 - 0.92) = -0.09
    assert third["values"] == pytest.approx([-0.09, -0.09])
    assert third["difference"] == pytest.approx(-0.09)
    assert third["n"] == 2


def test_arms_that_differ_in_two_factors():
    both = Contrast({"architecture": ["mlp", "cnn"], "messy": [0.5, 0.0]}, expects="worse")
    found = judge(sweep(0.0, 0.2), contrasts=[both])["contrasts"][0]
    assert found["difference"] == pytest.approx(-0.3, abs=0.005)  # 0.2 behind, on images that cost 0.1
    assert found["sentence"].startswith("mlp with 0.5 less cnn with 0.0 is -0.3")


def test_less_is_better_turns_the_claims_round():
    runs = sweep(0.0, 0.2)
    for run in runs:
        run.metrics = {"test/acc": 1 - run.metrics["test/acc"]}
    doc = judge(runs, mode="min")
    assert [one["outcome"] for one in doc["contrasts"]] == ["supported"] * 3
    assert doc["contrasts"][1]["low"] > 0.15  # in terms of the metric: the MLP has more


def test_all_are_one_family():
    alone, together = judge(sweep(0, 0.2), contrasts=()), judge(sweep(0, 0.2))
    assert alone["rule"]["contrasts"] == 2
    assert together["rule"]["contrasts"] == 5
    width = [one["factors"]["architecture"]["levels"][1] for one in (alone, together)]
    assert width[0]["high"] - width[0]["low"] < width[1]["high"] - width[1]["low"]


def test_a_contrast_that_the_sweep_cannot_answer_is_told():
    runs = [run for run in sweep(0, 0.2) if run.levels["messy"] == 0.5]
    doc = judge(runs)
    assert [one["claim"] for one in doc["contrasts"]] == ["It falls behind on messy ones."]
    assert doc["warnings"][-2:] == [
        "Not asked: An MLP keeps up on clean digits.: no run has messy=0.0.",
        "Not asked: It loses more there.: no run has messy=0.0.",
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"compare": {"a": [1, 2, 3]}}, "must name two levels of a factor"),
        ({}, "must name two levels of a factor"),
        ({"compare": {"a": [1, 1]}}, "must name two levels of a factor"),
        ({"compare": {"a": [1, 2]}, "at": {"a": 1}}, "a is compared"),
        ({"compare": {"a": [1, 2]}, "at": {"b": 1}, "against": {"c": 1}}, "must name the factors of at"),
        ({"compare": {"a": [1, 2]}, "expects": "beter"}, "Did you mean 'better'"),
        ({"compare": {"a": [1, 2]}, "margin": 0}, "must be greater than 0"),
    ],
)
def test_a_contrast_that_says_nothing_is_refused(section: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        Contrast(**section)


# a metric of its own

PAIR = {"augmentation": ["rotate", "none"]}
TURNED = Contrast(PAIR, claim="Turned images buy it", metric="invariance/rotation", expects="better")
GAP = Contrast(PAIR, claim="It overfits less", metric="gap/acc", expects="better")


def augmented(seeds: int = 8) -> list[Run]:
    """Turned training images cost 0.02 on clean ones, buy 0.3 on turned ones, and take 0.05 off the gap."""
    rng = np.random.default_rng(5)
    runs = []
    for kind, seed in itertools.product(("none", "rotate"), range(seeds)):
        more = kind == "rotate"
        true = {"test/acc": 0.9 - 0.02 * more, "invariance/rotation": 0.4 + 0.3 * more, "gap/acc": 0.1 - 0.05 * more}
        measured = {name: value + float(rng.normal()) * 0.002 for name, value in true.items()}
        runs.append(Run({"augmentation": kind}, seed, measured, 100, 100, 1.0))
    return runs


def of_two_metrics(runs: list[Run]) -> dict[str, Any]:
    found = verdict(runs, ["augmentation"], "test/acc", smallest_effect=0.01, contrasts=[TURNED, GAP])
    return found.to_json()


def test_a_claim_is_judged_by_its_own_metric_and_that_ones_better_end():
    doc = of_two_metrics(augmented())
    turned, gap = doc["contrasts"]
    assert (turned["outcome"], turned["difference"]) == ("supported", pytest.approx(0.3, abs=0.005))
    assert (gap["outcome"], gap["difference"]) == ("supported", pytest.approx(-0.05, abs=0.005))
    assert doc["factors"]["augmentation"]["best"] == "none"
    assert turned["sentence"].startswith(
        "Turned images buy it: supported: rotate less none in invariance/rotation is +0.300"
    )
    assert doc["rule"]["contrasts"] == 3
    found = verdict(augmented(), ["augmentation"], "test/acc", smallest_effect=0.01, contrasts=[TURNED, GAP])
    named = [(row.kind, row.metric) for row in tables.rows(found)]
    assert named == [
        ("level", "test/acc"), ("level", "test/acc"), ("contrast", "invariance/rotation"), ("contrast", "gap/acc"),
    ]  # fmt: skip


def test_metrics_are_one_family():
    """Three differences of three metrics are judged more strictly than one."""
    alone = verdict(augmented(), ["augmentation"], "test/acc", smallest_effect=0.01).to_json()
    assert of_two_metrics(augmented())["rule"]["levels"][0] < 0.6 * alone["rule"]["levels"][0]


def test_a_run_that_lacks_a_claims_metric_is_missing_from_that_claim_alone():
    runs = augmented()
    del runs[0].metrics["invariance/rotation"]
    runs[1].metrics["invariance/rotation"] = float("nan")
    doc = of_two_metrics(runs)
    assert [one["n"] for one in doc["contrasts"]] == [6, 8]
    assert doc["runs"]["compared"] == 16


def test_a_metric_that_no_run_can_have_is_refused():
    with pytest.raises(InputError, match=r"experiment\.contrasts\.metric=invariance/rotations"):
        Contrast({"a": [1, 2]}, metric="invariance/rotations")


# arms that ended early


def test_levels_of_a_sequential_design_are_described_by_the_seeds_they_have():
    """Level c was out at 4 seeds; a and b, which nobody can tell apart yet, went on to 6."""
    values = {
        "a": [0.90, 0.92, 0.88, 0.90, 0.94, 0.92],
        "b": [0.91, 0.90, 0.90, 0.89, 0.92, 0.94],
        "c": [0.5, 0.51, 0.49, 0.5],
    }
    runs = [
        Run({"x": level}, seed, {"test/acc": value}, 1, 1, 1.0)
        for level, row in values.items()
        for seed, value in enumerate(row)
    ]
    doc = verdict(runs, ["x"], "test/acc", smallest_effect=0.01, looks=[4, 6, 8]).to_json()
    entry = doc["factors"]["x"]
    assert entry["seeds"] == [0, 1, 2, 3, 4, 5]
    assert {one["level"]: one["mean"] for one in entry["levels"]} == pytest.approx({"a": 0.91, "b": 0.91, "c": 0.5})
    assert entry["levels"][2]["values"] == [0.5, 0.51, 0.49, 0.5, None, None]
    assert [one["n"] for one in entry["levels"]] == [6, 6, 4]
    assert entry["levels"][2]["verdict"] == "worse"
    assert (entry["missing"], entry["notes"]) == ([], [])
    assert "4 seeds" in entry["sentence"]
    # a run that was begun and failed is missing still
    failed = [*runs[:-1], Run({"x": "c"}, 3, {}, 1, 1, 1.0, "failed")]
    (gone,) = verdict(failed, ["x"], "test/acc", smallest_effect=0.01, looks=[4, 6, 8]).factors["x"].missing
    assert (gone["seed"], gone["levels"]) == (3, ["c"])
