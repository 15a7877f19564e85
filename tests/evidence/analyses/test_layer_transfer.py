"""The figure of Yosinski et al. and its sentences, from runs whose numbers are made up."""

import itertools
import math

import numpy as np
import pytest

from pipeline.config import Experiment
from pipeline.evidence import Run, verdict, write_page
from pipeline.evidence.analyses import layer_transfer
from pipeline.evidence.analyses.layer_transfer import DEPTH, NETWORK
from pipeline.evidence.plots import figures

DEPTHS = (1, 2, 3, 4, 5, 6)
NETWORKS = ("AnB", "AnB+", "BnB", "BnB+")


def sweep(effect, seeds=(0, 1, 2, 3), noise=0.002):
    """baseB at 0.9, 0.91, ... by seed; a network lies `effect(network, n)` above it, give or take `noise`."""
    generator = np.random.default_rng(0)
    return [
        Run(
            {NETWORK: network, DEPTH: n},
            seed,
            {"test/acc": 0.9 + 0.01 * seed + effect(network, n) + noise * generator.uniform(-1, 1)},
            base={"test/acc": 0.9 + 0.01 * seed if network[0] == "B" else 0.1},
        )
        for network, n, seed in itertools.product(NETWORKS, DEPTHS, seeds)
    ]


def judged(runs, **options):
    doc = verdict(runs, [NETWORK, DEPTH], "test/acc", smallest_effect=0.01, **options)
    doc.analyses["layers"] = layer_transfer.find(doc, runs, Experiment())
    return doc


def as_in_the_paper(network, n):
    """BnB falls in the middle, AnB more and more; what is trained on does not."""
    drop = {"AnB": -0.02 * max(0, n - 2), "BnB": -0.03 if n in (3, 4) else 0.0, "AnB+": 0.01, "BnB+": 0.0}
    return drop[network]


def test_the_paper_s_findings_are_found_in_numbers_that_have_them():
    found = judged(sweep(as_in_the_paper)).analyses["layers"]
    first, second, third = found["sentences"]
    # the middle is n = 2 to 5: (0 + 0.03 + 0.03 + 0) / 4
    assert first.startswith("Fragile co-adaptation is shown: over n=2 to 5 BnB lies 0.015 below baseB"), first
    assert "most at n=3 (by 0.03" in first or "most at n=4 (by 0.03" in first
    # late is n = 4 to 6: AnB - BnB is -0.04 + 0.03, -0.06, -0.08
    assert second.startswith("The late-layer drop is shown: over n=4 to 6 AnB lies 0.050 below BnB"), second
    # early is n = 1 to 3: 0, 0, -0.02 + 0.03
    assert second.endswith("over n=1 to 3 the difference is +0.004."), second  # and noise
    assert third.startswith(
        "That layers from A, trained on, help B is shown: over n=1 to 6 AnB+ lies 0.010 above baseB"
    )


def test_their_absence_is_said_with_its_interval():
    first, second, third = judged(sweep(lambda network, n: 0.0)).analyses["layers"]["sentences"]
    for said in (first, second, third):
        assert "not shown" in said
        assert "95 % interval" in said
        assert said.endswith("any difference is smaller than 0.010.") or "the difference is" in said


def test_a_lead_that_does_not_grow_with_depth_is_no_late_layer_drop():
    second = judged(sweep(lambda network, n: -0.05 if network == "AnB" else 0.0)).analyses["layers"]["sentences"][1]
    assert second.startswith("The late-layer drop is not shown: over n=4 to 6 AnB lies 0.050 below BnB"), second
    assert second.endswith("over n=1 to 3 the difference is -0.050, and that it grows with n is not shown."), second


def test_of_a_loss_more_is_worse():
    runs = [
        Run(run.levels, run.seed, {"test/loss": -run.metrics["test/acc"]}, base={"test/loss": -run.base["test/acc"]})
        for run in sweep(as_in_the_paper)
    ]
    doc = verdict(runs, [NETWORK, DEPTH], "test/loss", smallest_effect=0.01, mode="min")
    first, second, _ = layer_transfer.find(doc, runs, Experiment())["sentences"]
    assert first.startswith("Fragile co-adaptation is shown: over n=2 to 5 BnB lies 0.015 above baseB"), first
    assert second.startswith("The late-layer drop is shown"), second


def test_numbers_by_hand():
    base = {0: 0.90, 1: 0.92}
    runs = [
        Run({NETWORK: "BnB", DEPTH: n}, seed, {"test/acc": base[seed] + d}, base={"test/acc": base[seed]})
        for n, by_seed in ((1, (0.0, 0.02)), (2, (-0.01, -0.03)))
        for seed, d in enumerate(by_seed)
    ]
    found = judged(runs).analyses["layers"]
    assert found["base"].mean == pytest.approx(0.91)
    assert [one.mean for one in found["networks"]["BnB"]] == pytest.approx([0.92, 0.89])
    one, two = found["differences"]["BnB - baseB"]
    assert (one.mean, two.mean) == pytest.approx((0.01, -0.02))
    # sd 0.01414, two seeds: 12.706 * 0.01414 / sqrt(2)
    assert two.low == pytest.approx(-0.02 - 0.12706, abs=1e-5)
    assert list(found["networks"]) == ["BnB"]


def test_one_seed_concludes_nothing():
    for said in judged(sweep(as_in_the_paper, seeds=(0,))).analyses["layers"]["sentences"]:
        assert "not shown" in said
        assert "one seed, which cannot show what is chance" in said


def test_other_sweeps_have_no_such_figure(one_factor):
    runs = one_factor({3: [0.9, 0.91], 5: [0.92, 0.93]})
    doc = verdict(runs, ["architecture.kernel_size"], "test/acc", smallest_effect=0.01)
    assert layer_transfer.find(doc, runs, Experiment()) is None
    assert "layer_transfer" not in figures(doc, runs)


def test_figure_and_page(tmp_path):
    runs = sweep(as_in_the_paper)
    doc = judged(runs)
    drawn = figures(doc, runs)
    axes = drawn["layer_transfer"].axes[0]
    curves = {line.get_label(): line for line in axes.lines if line.get_label() in NETWORKS}
    assert set(curves) == set(NETWORKS)
    means = [one.mean for one in doc.analyses["layers"]["networks"]["AnB"]]
    assert curves["AnB"].get_ydata() == pytest.approx(means)
    assert curves["AnB"].get_xdata() == pytest.approx(DEPTHS, abs=0.2)
    base = next(line for line in axes.lines if line.get_label() == "baseB")
    assert (base.get_xdata()[0], base.get_ydata()[0]) == (0, pytest.approx(0.915))
    write_page(doc, runs, tmp_path / "report.html", drawn=drawn)
    page = (tmp_path / "report.html").read_text()
    assert "How transferable each layer is" in page
    for said in doc.analyses["layers"]["sentences"]:
        assert said.split(" (")[0] in page
    drawn["layer_transfer"].savefig(tmp_path / "layer_transfer.png", dpi=120)
    drawn["layer_transfer.difference"].savefig(tmp_path / "difference.png", dpi=120)


def test_intervals_within_seeds_leave_out_what_halves_differ_in():
    """Three networks at two seeds, by hand: Cousineau (2005) with Morey's (2008) correction."""
    values = {("AnB", 1): (0.5, 0.8), ("BnB", 1): (0.7, 0.9)}
    runs = [
        Run({NETWORK: network, DEPTH: n}, seed, {"test/acc": value}, base={"test/acc": (0.6, 1.0)[seed]})
        for (network, n), row in values.items()
        for seed, value in enumerate(row)
    ]
    found = judged(runs).analyses["layers"]["within"]
    # the means of the seeds are 0.6 and 0.9: AnB becomes 0.65, 0.65; BnB 0.85, 0.75; baseB 0.75, 0.85
    (a,), (b,) = found["networks"]["AnB"], found["networks"]["BnB"]
    assert (a.mean, a.low, a.high) == pytest.approx((0.65, 0.65, 0.65))
    half = 12.7062 * 0.1 / math.sqrt(2) / math.sqrt(2) * math.sqrt(3 / 2)
    for one in (b, found["base"]):
        assert (one.mean, one.high - one.mean) == pytest.approx((0.8, half), rel=1e-4)
