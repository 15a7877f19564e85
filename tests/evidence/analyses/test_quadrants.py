"""Strategies by quadrant, and the regret of an advice, from runs whose numbers are made up."""

import itertools

import numpy as np
import pytest

from pipeline.config import Experiment
from pipeline.evidence import Run, verdict, write_page
from pipeline.evidence.analyses import quadrants
from pipeline.evidence.analyses.quadrants import TABLE
from pipeline.evidence.plots import figures

SIZE, SOURCE = "data.limit_train", "data@transfer.pretrain"
STRATEGIES = ("head_only", "early_layers", "fine_tune", "retrain")


def sweep(value, strategies=STRATEGIES, sizes=(50, 600), sources=("digits", "photos"), seeds=(0, 1, 2, 3)):
    """One run for each strategy, size, source and seed; `value` gives its accuracy."""
    return [
        Run({"transfer": strategy, SIZE: size, SOURCE: source}, seed, {"test/acc": value(strategy, size, source, seed)})
        for strategy, size, source, seed in itertools.product(strategies, sizes, sources, seeds)
    ]


def asked(factors):
    return Experiment(quadrants=factors)


def judged(runs):
    doc = verdict(runs, ["transfer", SIZE, SOURCE], "test/acc", smallest_effect=0.01)
    doc.analyses["quadrants"] = quadrants.find(doc, runs, asked([SIZE, SOURCE]))
    return doc


def as_in_the_table(strategy, size, source, seed):
    where = ("small" if size == 50 else "large", "similar" if source == "digits" else "dissimilar")
    return 0.9 + 0.01 * seed - (0.0 if TABLE[where] == strategy else 0.05 + 0.001 * (seed % 2))


def fine_tune_wins(strategy, size, source, seed):
    lost = {"head_only": 0.04, "early_layers": 0.03, "fine_tune": 0.0, "retrain": 0.1}[strategy]
    return 0.9 + 0.01 * seed - lost * (0.9 if seed == 0 else 1.0)


def test_a_table_that_is_right_has_no_regret():
    found = judged(sweep(as_in_the_table)).analyses["quadrants"]
    assert {(cell["size"], cell["source"]): cell["best"] for cell in found["cells"]} == TABLE
    assert found["regret"]["table"].mean == 0
    # each strategy alone is right in one of four, and 0.05 to 0.051 behind in three
    assert found["regret"]["always retrain"].mean == pytest.approx(0.75 * 0.0505)
    assert all("which has the best mean here" in cell["sentence"] for cell in found["cells"])


def test_the_regret_of_a_table_that_is_wrong_by_hand():
    found = judged(sweep(fine_tune_wins)).analyses["quadrants"]
    assert [cell["best"] for cell in found["cells"]] == ["fine_tune"] * 4
    # head_only 0.04, early_layers 0.03, fine_tune 0, retrain 0.1; nine tenths of it at seed 0
    by_seed = np.array([0.9, 1, 1, 1]) * (0.04 + 0.03 + 0.0 + 0.1) / 4
    regret = found["regret"]["table"]
    assert regret.mean == pytest.approx(by_seed.mean())
    # the lead of fine_tune is its own paired difference, in an interval that holds with all others of all quadrants
    assert 0 < regret.low < regret.mean < regret.high
    assert regret.high - regret.low > 2 * 3.18245 * by_seed.std(ddof=1) / 2
    assert found["regret"]["always fine_tune"].mean == 0
    small = found["cells"][0]["sentence"]
    assert small.startswith("small, similar (limit_train=50, pretrain=digits): fine_tune beats early_layers by 0.029")
    assert "The table says head_only: regret 0.039 (95 % interval" in small
    assert found["sentences"][-1].startswith(
        "Of one strategy for all quadrants it is least for always fine_tune: 0.000"
    )


def test_advice_is_measured_and_never_the_best_by_itself():
    def value(strategy, size, source, seed):
        return fine_tune_wins("early_layers" if strategy == "auto" and size == 50 else
                              "fine_tune" if strategy == "auto" else strategy, size, source, seed)  # fmt: skip

    found = judged(sweep(value, (*STRATEGIES, "auto"))).analyses["quadrants"]
    assert [cell["best"] for cell in found["cells"]] == ["fine_tune"] * 4
    assert found["regret"]["auto"].mean == pytest.approx(0.5 * 0.03 * 3.9 / 4)
    assert "always auto" not in found["regret"]
    assert any(
        said.startswith("Over 4 quadrants the regret of the advisor (auto) is 0.015") for said in found["sentences"]
    )


def test_of_one_strategy_there_is_nothing_to_regret():
    found = judged(sweep(lambda one, *_: 0.9 + 0.01 * (one == "auto"), ("head_only", "auto"))).analyses["quadrants"]
    assert (found["regret"]["always head_only"].low, found["regret"]["always head_only"].high) == (0.0, 0.0)


def test_quadrants_are_the_ends_of_their_factors():
    found = judged(sweep(fine_tune_wins, sizes=(50, 200, 600))).analyses["quadrants"]
    assert [cell["levels"][SIZE] for cell in found["cells"]] == [50, 50, 600, 600]


def test_without_both_factors_there_are_none():
    runs = sweep(fine_tune_wins, sizes=(50,))
    doc = verdict(runs, ["transfer", SOURCE], "test/acc", smallest_effect=0.01)
    assert quadrants.find(doc, runs, asked([SIZE, SOURCE])) is None
    assert judged(runs).analyses["quadrants"] is None  # of one level
    assert quadrants.find(doc, runs, asked([])) is None


def test_a_quadrant_without_results_is_left_out():
    runs = [run for run in sweep(fine_tune_wins) if (run.levels[SIZE], run.levels[SOURCE]) != (50, "photos")]
    found = judged(runs).analyses["quadrants"]
    assert [(cell["size"], cell["source"]) for cell in found["cells"]] == [
        ("small", "similar"), ("large", "similar"), ("large", "dissimilar"),
    ]  # fmt: skip


def test_quadrants_on_the_page_and_in_the_figure(tmp_path):
    runs = sweep(fine_tune_wins)
    doc = judged(runs)
    drawn = figures(doc, runs)
    titles = [axes.get_title(loc="left") for axes in drawn["quadrants"].axes]
    assert titles == ["small, similar", "small, dissimilar", "large, similar", "large, dissimilar"]
    write_page(doc, runs, tmp_path / "report.html", drawn=drawn)
    page = (tmp_path / "report.html").read_text()
    assert "Which strategy in which quadrant" in page
    assert "Regret of each advice" in page
    drawn["quadrants"].savefig(tmp_path / "quadrants.png", dpi=120)


@pytest.mark.parametrize("lead", [0.0, 0.02])
def test_the_intervals_of_all_regrets_hold_the_true_ones_at_once(lead):
    """Of equals none is above zero; picked by the mean, 18 to 32 % of sweeps said so. Or fine_tune leads everywhere."""
    rng, held, outside = np.random.default_rng(0), 0, 0
    for _ in range(100):
        found = judged(
            sweep(lambda one, *_: 0.9 + lead * (one == "fine_tune") + 0.01 * rng.normal(), seeds=range(6))
        ).analyses["quadrants"]
        regrets = {name: one for name, one in found["regret"].items() if name.startswith("always ")}
        true = {name: 0.0 if name == "always fine_tune" else lead for name in regrets}
        held += all(one.low <= true[name] <= one.high for name, one in regrets.items())
        outside += regrets["always fine_tune"].low > 0
    assert held >= 91  # 95, less two standard errors
    assert outside <= 9
