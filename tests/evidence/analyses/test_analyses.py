"""What a newcomer has to add for an analysis of a design, or a perturbation: one entry, and all else follows."""

import io
import json

import pytest
from rich.console import Console

from pipeline import rundir
from pipeline.evidence import Run, figures, print_table, verdict
from pipeline.evidence import conclude as evidence
from pipeline.evidence.analyses import ANALYSES, Analysis
from pipeline.evidence.style import new_axes
from pipeline.perturbations import PERTURBATIONS, Perturbation

SWEEP = {
    "experiment": {"name": "e", "question": "", "metric": "test/acc", "mode": "max", "smallest_effect": 0.01},
    "factors": ["k"],
    "jobs": [{"levels": {"k": k}, "seed": 0, "dir": f"{k}", "key": "-"} for k in (3, 5)],
}


@pytest.fixture
def odd_levels(monkeypatch):
    """An analysis that finds the levels that are odd numbers."""
    analysis = Analysis(
        lambda doc, runs, question: {"levels": [run.levels["k"] for run in runs if question.name == "e"]},
        figures=lambda found, doc: {"odd.levels": new_axes(2)[0]},
        section=lambda found, doc, plots: [f"<h2>Odd: {found['levels']}</h2>", plots["odd.levels"]],
        factor_section=lambda found, doc, factor: [f"<p>{factor} has odd levels</p>"],
        lines=lambda found, doc: [f"odd are {found['levels']}"],
    )
    monkeypatch.setitem(ANALYSES, "odd_levels", analysis)


def test_an_analysis_is_one_entry(odd_levels, tmp_path):
    rundir.write_json(tmp_path / "sweep.json", SWEEP)
    found = evidence.conclude(tmp_path)
    assert json.loads((tmp_path / "verdict.json").read_text())["odd_levels"] == {"levels": [3, 5]}
    assert (tmp_path / "plots/odd.levels.png").exists()
    page = (tmp_path / "report.html").read_text()
    assert "Odd: [3, 5]" in page
    assert "k has odd levels" in page
    console = Console(file=io.StringIO(), width=80)
    print_table(found, console)
    assert "odd_levels\nodd are [3, 5]" in console.file.getvalue()


def test_an_analysis_that_finds_nothing_is_not_shown(monkeypatch, tmp_path):
    def never(*_):
        raise AssertionError

    monkeypatch.setitem(ANALYSES, "never", Analysis(lambda *_: None, never, never, never, never))
    rundir.write_json(tmp_path / "sweep.json", SWEEP)
    print_table(evidence.conclude(tmp_path), Console(file=io.StringIO()))
    assert json.loads((tmp_path / "verdict.json").read_text())["never"] is None


def test_the_axis_of_a_new_perturbation_is_its_entry_s(monkeypatch):
    noise = Perturbation(lambda x, amount: x + amount, (0.0, 5.0), 0.0, "grey levels", ticks=(0, 5))
    monkeypatch.setitem(PERTURBATIONS, "noise", noise)
    curve = {"invariance/noise": [(0.0, 0.9), (5.0, 0.5)]}
    runs = [Run({"k": k}, seed, {"test/acc": 0.9 + seed / 100}, curves=curve) for k in (3, 5) for seed in (0, 1)]
    drawn = figures(verdict(runs, ["k"], "test/acc", smallest_effect=0.01), runs)
    axes = drawn["k.invariance_noise"].axes[0]
    assert axes.get_xlabel() == "noise (grey levels)"
    assert axes.get_xticks().tolist() == [0, 5]
