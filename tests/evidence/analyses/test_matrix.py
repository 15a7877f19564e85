"""Levels against perturbations, worked by hand, and how the page shows them."""

import numpy as np
import pytest

from pipeline.config import Experiment
from pipeline.evidence import Run, figures, verdict, write_page
from pipeline.evidence.analyses import matrix
from pipeline.evidence.paired import interval

KINDS = ("rotation", "scale", "shift")


def sweep(seeds=(1, 2), factor="augmentation"):
    """rotate stands turns 0.2 better than none, by 0.19 and 0.21, and has half its gap."""
    area = {("none", 1): 0.4, ("none", 2): 0.5, ("rotate", 1): 0.59, ("rotate", 2): 0.71}
    return [
        Run(
            {factor: level},
            seed,
            {
                "test/acc": 0.9,
                "invariance/rotation": area[level, seed],
                "invariance/scale": 0.6,
                "gap/acc": {"none": 0.1, "rotate": 0.05}[level] + seed / 1000,
            },
            curves={
                f"invariance/{kind}": [(-90, 0.1), (0, area[level, seed]), (90, 0.1)]
                if kind == "rotation"
                else [(1, 1)]
                for kind in KINDS
            },
        )
        for level in ("none", "rotate")
        for seed in seeds
    ]


def judged(runs, factor="augmentation"):
    doc = verdict(runs, [factor], "test/acc", smallest_effect=0.01)
    doc.analyses["matrix"] = matrix.find(doc, runs, Experiment())
    return doc


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_all_runs_of_the_verdict_count_in_every_column(overlap):
    """A gap far from the others, or a loss, is no run that failed to learn: the verdict's metric tells that."""
    gaps = {"a": [0.05, 0.047, 0.001, 0.052, 0.049, 0.05], "b": [0.03, 0.031, 0.029, 0.030, 0.032, 0.03]}
    runs = [
        Run({"f": level}, seed, {"test/acc": 0.9 + seed / 1000, "gap/acc": gap})
        for level, row in gaps.items()
        for seed, gap in enumerate(row)
    ]
    doc = verdict(runs, ["f"], "test/acc", smallest_effect=0.01, overlap=overlap)
    a, b = (row["cells"][1] for row in matrix.find(doc, runs, Experiment())["f"]["levels"])
    assert (a.n, b.n) == (6, 6)
    assert a.mean == pytest.approx(np.mean(gaps["a"]))
    assert b.difference == pytest.approx(np.mean(gaps["b"]) - np.mean(gaps["a"]))
    # t(0.975, 5) = 2.570582
    half = 2.570582 * np.std(np.subtract(gaps["b"], gaps["a"]), ddof=1) * np.sqrt(1 / 6 + overlap)
    assert b.difference_high - b.difference == pytest.approx(half, rel=1e-6)


def test_what_failed_to_learn_counts_in_no_column():
    runs = [
        Run({"f": level}, seed, {"test/acc": 0.1 if (level, seed) == ("a", 3) else 0.9, "gap/acc": 0.01 * seed})
        for level in "ab"
        for seed in range(6)
    ]
    doc = verdict(runs, ["f"], "test/acc", smallest_effect=0.01)
    a, b = (row["cells"] for row in matrix.find(doc, runs, Experiment())["f"]["levels"])
    assert [cell.n for cell in a] == [5, 5]
    assert [cell.n for cell in b] == [6, 6]


def test_the_matrix_by_hand():
    found = judged(sweep()).analyses["matrix"]["augmentation"]
    assert found["reference"] == "none"
    assert found["columns"] == ["test/acc", "invariance/rotation", "invariance/scale", "gap/acc"]
    none, rotate = found["levels"]
    assert (none["level"], rotate["level"]) == ("none", "rotate")
    cell = rotate["cells"][1]
    assert cell.n == 2
    assert cell.mean == pytest.approx(0.65)
    # Two seeds: t(0.975, 1) = 12.7062; the mean's standard error is 0.06, the difference's 0.01.
    assert (cell.low, cell.high) == pytest.approx((0.65 - 12.7062 * 0.06, 0.65 + 12.7062 * 0.06), abs=1e-5)
    assert cell.difference == pytest.approx(0.2)
    assert (cell.difference_low, cell.difference_high) == pytest.approx((0.072938, 0.327062), abs=1e-5)
    assert rotate["cells"][3].difference == pytest.approx(-0.05)
    assert none["cells"][1].difference == 0


def test_one_seed_has_no_interval():
    assert interval([0.5]) == (0.5, None, None)
    assert interval([]) == (None, None, None)
    cell = judged(sweep((1,))).analyses["matrix"]["augmentation"]["levels"][1]["cells"][1]
    assert (cell.mean, cell.low, cell.difference_low) == (0.59, None, None)
    assert cell.difference == pytest.approx(0.19)


def test_the_first_level_is_the_reference_where_there_is_no_none():
    runs = [Run({"k": k}, s, {"test/acc": 0.5, "gap/acc": k / 10}) for k in (3, 5) for s in (1, 2)]
    assert judged(runs, "k").analyses["matrix"]["k"]["reference"] == 3


def test_runs_without_it_have_no_matrix():
    runs = [Run({"k": k}, s, {"test/acc": 0.5}) for k in (3, 5) for s in (1, 2)]
    assert judged(runs, "k").analyses["matrix"] == {}


def test_a_level_whose_runs_failed_is_shown_empty(tmp_path):
    runs = sweep()
    for run in runs[2:]:
        run.status, run.metrics, run.curves = "failed", {}, {}
    doc = judged(runs)
    assert doc.analyses["matrix"]["augmentation"]["levels"][1]["cells"][1].mean is None
    write_page(doc, runs, tmp_path / "page.html")


def test_the_page_shows_the_matrix_and_the_curves(tmp_path):
    runs = sweep()
    doc = judged(runs)
    drawn = figures(doc, runs)
    assert {f"augmentation.invariance_{kind}" for kind in KINDS} <= set(drawn)
    rotation = drawn["augmentation.invariance_rotation"].axes[0]
    assert [line.get_ydata().tolist() for line in rotation.lines] == [
        pytest.approx([0.1, 0.45, 0.1]),
        pytest.approx([0.1, 0.65, 0.1]),
    ]
    assert len(rotation.collections) == 2  # the bands of the seeds
    write_page(doc, runs, tmp_path / "page.html", drawn)
    page = (tmp_path / "page.html").read_text()
    assert "What each level buys" in page
    assert "<span class=v-best>+0.200 ± 0.127</span>" in page
    assert "<span class=v-best>-0.050 " in page  # a smaller gap is better
    assert page.index("What each level buys") < page.index("augmentation.invariance_rotation")


def test_the_learning_curve_is_drawn_against_the_number_of_examples():
    runs = [
        Run({"data.limit_train": share}, seed, {"test/acc": share, "train/acc": 1.0}, examples=round(1000 * share))
        for share in (0.1, 0.5, 1.0)
        for seed in (1, 2)
    ]
    axes = figures(judged(runs, "data.limit_train"), runs)["data.limit_train.examples"].axes[0]
    assert [(line.get_label(), line.get_xdata().tolist()) for line in axes.lines] == [
        ("test/acc", [100, 500, 1000]),
        ("train/acc", [100, 500, 1000]),
    ]
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.5, 1.0]
