"""What is unfair in a design: costs that differ besides the factor, arms that are the same."""

import pytest
from running import TINY

from pipeline.sweep import fairness

# One block of 10 filters, no pool, gap head on 1x8x8. By hand, with kernel k:
# parameters 10*(k*k+1) + 110, MACs 640*k*k + 100: 130 and 740 for 1, 210 and 5,860 for 3, 370 and 16,100 for 5.
TEN = "architecture.filters=[10] architecture.block=CA architecture.head=gap"


# confounds


def by_quantity(found):
    return {(one["level"], one["quantity"]): one["ratio"] for one in found}


def test_confounds_against_the_first_level(jobs):
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5,1 seed=0,1")
    named = fairness.confounds(factors, found)
    assert by_quantity(named) == {
        (5, "params"): pytest.approx(370 / 210),
        (1, "params"): pytest.approx(130 / 210),
        (5, "macs"): pytest.approx(16100 / 5860),
        (1, "macs"): pytest.approx(740 / 5860),
        (5, "field"): pytest.approx(5 / 3),
        (1, "field"): pytest.approx(1 / 3),
    }
    assert {one["reference"] for one in named} == {3}
    assert [one["text"] for one in named] == [
        "kernel_size 5 has 1.8 times the parameters of 3",
        "kernel_size 1 has 0.62 times the parameters of 3",
        "kernel_size 5 has 2.7 times the MACs of 3",
        "kernel_size 1 has 0.13 times the MACs of 3",
        "kernel_size 5 has 1.7 times the receptive field (as a share of the image) of 3",
        "kernel_size 1 has 0.33 times the receptive field (as a share of the image) of 3",
    ]


def test_confounds_are_means_over_the_other_factors(jobs):
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5 architecture.padding=same,valid")
    named = {(one["factor"], one["quantity"]): one["ratio"] for one in fairness.confounds(factors, found)}
    # 5,860 and 3,340 MACs with kernel 3 (same, valid), 16,100 and 4,100 with kernel 5
    assert named == {
        ("architecture.kernel_size", "params"): pytest.approx(370 / 210),
        ("architecture.kernel_size", "macs"): pytest.approx((16100 + 4100) / (5860 + 3340)),
        ("architecture.padding", "macs"): pytest.approx((3340 + 4100) / (5860 + 16100)),
        ("architecture.kernel_size", "field"): pytest.approx(5 / 3),
        # maps of 8x8, and without padding of 6x6 and 4x4
        ("architecture.kernel_size", "map"): pytest.approx((64 + 16) / (64 + 36)),
        ("architecture.padding", "map"): pytest.approx((36 + 16) / (64 + 64)),
    }


def test_confounds_count_layers_with_weights(jobs):
    # CACA: two convs of 10 and 910 parameters; 3 layers with weights against 2
    factors, found = jobs(f"{TEN} architecture.block=CA,CACA")
    named = by_quantity(fairness.confounds(factors, found))
    assert named["CACA", "layers"] == pytest.approx(1.5)
    assert named["CACA", "params"] == pytest.approx((100 + 910 + 110) / 210)


@pytest.mark.parametrize(
    ("filters", "reported"),
    [
        # 20f + 10 parameters of 3x3 kernels with a gap head: 20 filters 410, 21 filters 430, which is 4.9 % more
        ("[20],[21]", False),
        # 10 filters 210, 11 filters 230: 9.5 % more
        ("[10],[11]", True),
    ],
)
def test_costs_within_five_percent_are_the_same(jobs, filters, reported):
    factors, found = jobs(f"architecture.block=CA architecture.head=gap architecture.filters={filters}")
    assert any(one["quantity"] == "params" for one in fairness.confounds(factors, found)) == reported


def test_confound_that_is_meant(jobs):
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5 experiment.meant_to_differ=[macs,field]")
    named = fairness.confounds(factors, found)
    assert {one["quantity"]: one["meant"] for one in named} == {"params": False, "macs": True, "field": True}
    assert fairness.warnings(factors, found) == ["kernel_size 5 has 1.8 times the parameters of 3"]
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5 experiment.meant_to_differ=[macs,params,field]")
    assert fairness.warnings(factors, found) == []


def test_nothing_is_confounded_where_nothing_but_the_factor_differs(jobs):
    factors, found = jobs("architecture.activation=relu,tanh optimizer.lr=0.1,0.01 seed=0,1")
    assert fairness.confounds(factors, found) == []


def test_what_is_seen_at_once_ends_at_the_edge_of_the_image(jobs):
    # 3x3 kernels of three and of five layers see 7 and 11 pixels, of which the image has 8
    line = "architecture.filters=[10] architecture.block=CACACA,CACACACACA architecture.head=gap"
    factors, found = jobs(line)
    (ratio,) = (one["ratio"] for one in fairness.confounds(factors, found) if one["quantity"] == "field")
    assert ratio == pytest.approx(8 / 7)


def test_steps_go_with_epochs_batches_and_images(jobs):
    factors, found = jobs(f"{TEN} data.limit_train=0.5,1.0 data.batch_size=32,16 trainer.max_epochs=2,3")
    named = {one["factor"]: one["ratio"] for one in fairness.confounds(factors, found) if one["quantity"] == "steps"}
    assert named == pytest.approx({"data.limit_train": 2, "data.batch_size": 2, "trainer.max_epochs": 1.5})
    factors, found = jobs(f"{TEN} data.limit_train=0.5,100")  # how many images the half is, is not known yet
    assert fairness.confounds(factors, found) == []


# duplicates


def test_duplicates_name_their_arms(jobs):
    _, found = jobs("architecture.pool=none,max architecture.block=CAP,CA,CPA seed=0,1")
    (one,) = fairness.duplicates(found)
    # without a pool P says nothing, and CA has none to begin with
    assert one["text"] == (
        "pool=none,block=CAP and pool=none,block=CA and pool=none,block=CPA and pool=max,block=CA are the same"
    )
    assert one["arms"] == [
        {"architecture.pool": "none", "architecture.block": "CAP"},
        {"architecture.pool": "none", "architecture.block": "CA"},
        {"architecture.pool": "none", "architecture.block": "CPA"},
        {"architecture.pool": "max", "architecture.block": "CA"},
    ]


def test_seeds_are_no_duplicates(jobs):
    assert fairness.duplicates(jobs("seed=0,1,2")[1]) == []


def test_arms_that_differ_in_training_alone_are_no_duplicates(jobs):
    rare = ("loss.type=focal,cross_entropy", "loss.class_weights=none,balanced", "data.sampling=natural,balanced")
    for swept in (
        "optimizer.lr=0.1,0.2",
        "data.limit_train=64,128",
        "trainer.max_epochs=1,2",
        "data.batch_size=16,32",
        *rare,
    ):
        assert fairness.duplicates(jobs(swept)[1]) == []


def test_networks_of_the_same_shape_and_cost_are_no_duplicates(jobs):
    for swept in ("pool=max,avg", "activation=relu,gelu", "block=CAP,CPA", "block=CADP,CAPD"):
        line = f"architecture.{swept} " + "architecture.dropout=0.5" * ("D" in swept)
        assert fairness.duplicates(jobs(line)[1]) == []


def test_backbones_are_told_apart_by_name(jobs):
    swept = "architecture=timm architecture.name=test_resnet architecture.small_input=true,false data.size=32"
    assert fairness.duplicates(jobs(swept)[1]) == []


# unmatched

# A gap head on kernels of k: (k*k + 11) f + 10 parameters.
ONE = "architecture.block=CA architecture.head=gap architecture.match=params"


def test_matched_arms_cost_the_same(jobs):
    # The reference is 3x3 of 30 filters: 20 * 30 + 10 = 610. With 1x1 kernels 12f + 10: 50 filters; with 5x5
    # kernels 36f + 10: 17 filters have 622, which is 2.0 % more.
    line = f"{ONE} architecture.filters=[30] architecture.match_reference={{kernel_size:3}}"
    factors, found = jobs(f"{line} architecture.kernel_size=1,3,5")
    assert [job.planned.match.widths for job in found] == [(50,), (30,), (17,)]
    assert [job.planned.params for job in found] == [610, 610, 622]
    assert fairness.unmatched(found) == []
    assert {one["quantity"] for one in fairness.confounds(factors, found)} == {"macs", "field"}


def test_unmatched_arm_is_a_warning(jobs):
    # The reference is 3x3 of 1 filter: 30. With 1x1 kernels 1 filter has 22 and 2 have 34: 13 % off at best.
    line = f"{ONE} architecture.filters=[1] architecture.match_reference={{kernel_size:3}}"
    factors, found = jobs(
        f"{line} architecture.kernel_size=3,1 seed=0,1 experiment.meant_to_differ=[params,macs,field]"
    )
    (text,) = fairness.unmatched(found)
    assert text.startswith("kernel_size=1: not matched within 5 %: the nearest widths are [2] in place of [1]")
    assert "params 34 against 30 of the reference (+13.3%)" in text
    assert fairness.warnings(factors, found) == [text]


def test_warnings_are_all_three_kinds(jobs):
    line = f"{ONE} architecture.filters=[1] architecture.match_reference={{kernel_size:3}} architecture.pool=none"
    factors, found = jobs(f"{line} architecture.kernel_size=3,1 architecture.block=CA,CAP")
    assert fairness.warnings(factors, found) == [
        "kernel_size=3,block=CA and kernel_size=3,block=CAP are the same",
        "kernel_size=1,block=CA and kernel_size=1,block=CAP are the same",
        "kernel_size 1 has 1.1 times the parameters of 3",
        # 64 positions * 2 filters * 1 + 20, against 64 * 9 + 10
        "kernel_size 1 has 0.25 times the MACs of 3",
        "kernel_size 1 has 0.33 times the receptive field (as a share of the image) of 3",
        *fairness.unmatched(found),
    ]
    assert len(fairness.unmatched(found)) == 2


@pytest.mark.parametrize(("factor", "apart"), [("data.test_fraction=0.2,0.4", True), ("data.size=8,16", False)])
def test_arms_that_are_tested_on_different_images_are_told(factor, apart, command, workdir):
    done = command("train", f"-m {TINY} {factor} seed=0 dir=sweep output=json")
    assert done.code == 0, done.err
    assert ("are tested on different examples" in done.err) == apart
