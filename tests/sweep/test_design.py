"""What is unfair between the arms of a sweep, found before its first run."""

import pytest

from pipeline import names
from pipeline.errors import InputError
from pipeline.sweep import design

TEN = "architecture.filters=[10] architecture.block=CA architecture.head=gap"

# expand


def test_expand_crosses_factors_and_seeds(jobs):
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5 architecture.padding=same,valid seed=0,7")
    assert factors == ["architecture.kernel_size", "architecture.padding"]
    assert [(*job.levels.values(), job.seed) for job in found] == [
        (3, "same", 0), (3, "same", 7), (3, "valid", 0), (3, "valid", 7),
        (5, "same", 0), (5, "same", 7), (5, "valid", 0), (5, "valid", 7),
    ]  # fmt: skip
    settings = [job.settings.architecture for job in found]
    assert [(one.kernel_size, one.padding) for one in settings] == [tuple(job.levels.values()) for job in found]
    # valid: 64 positions become 36 with kernel 3, 16 with kernel 5
    assert [job.planned.macs for job in found[::2]] == [5860, 36 * 90 + 100, 16100, 16 * 250 + 100]


def test_expand_plans_once_for_all_seeds(jobs):
    _, found = jobs(f"{TEN} architecture.kernel_size=3,5 seed=0,1")
    assert found[0].planned is found[1].planned
    assert found[0].planned is not found[2].planned
    assert [job.planned.params for job in found] == [210, 210, 370, 370]


def test_expand_takes_what_is_given_on_top_of_an_experiment(jobs):
    """A level list typed on the command line replaces the experiment's own; the others stay."""
    factors, found = jobs("experiment=kernel_size architecture.kernel_size=2,4 seed=3")
    assert factors == ["architecture.kernel_size"]
    assert [(job.levels["architecture.kernel_size"], job.seed) for job in found] == [(2, 3), (4, 3)]
    assert {job.settings.experiment.name for job in found} == {"kernel_size"}
    assert {job.settings.data.size for job in found} == {16}


def test_expand_without_factors(jobs):
    factors, found = jobs("seed=4,5")
    assert factors == []
    assert [(job.levels, job.arm, job.seed) for job in found] == [({}, "", 4), ({}, "", 5)]


def test_levels_keep_their_types(jobs):
    _, found = jobs("architecture.filters=[8],[8,16] architecture.pool_stride=1,null optimizer.lr=0.1 seed=0")
    assert [tuple(job.levels.values()) for job in found] == [([8], 1), ([8], None), ([8, 16], 1), ([8, 16], None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("architecture.kernel_size=3,9", "arm kernel_size=9: architecture.kernel_size=9: is larger than the 8x8 image"),
        (
            "architecture.padding=same,valid architecture.kernel_size=5 seed=0,1",
            "arm padding=valid: architecture.kernel_size=5: layer block2_conv1 gets a 2x2 input",
        ),
        ("optimizer.lr=0.1,0", "arm lr=0: optimizer.lr=0: must be greater than 0"),
        ("architecture.kernel_size=9 seed=0,1", "architecture.kernel_size=9: is larger than the 8x8 image"),
        ("seed=0,-1", "seed=-1: must lie between 0 and 4294967295"),
    ],
)
def test_impossible_arm_is_named(jobs, line, message):
    with pytest.raises(InputError) as refused:
        jobs(line)
    assert str(refused.value).startswith(message)


# arm names


@pytest.mark.parametrize(
    ("levels", "name"),
    [
        ({}, ""),
        ({"architecture.kernel_size": 3, "architecture.padding": "same"}, "kernel_size=3,padding=same"),
        ({"architecture": "cnn", "optimizer": "adam"}, "architecture=cnn,optimizer=adam"),
        ({"architecture.filters": [8, 16]}, "filters=[8,16]"),
        ({"architecture.dense": []}, "dense=[]"),
        ({"architecture.pool_stride": None}, "pool_stride=None"),
        # the last parts alone would say size=8,size=2: whole keys
        ({"data.size": 8, "other.size": 2}, "data.size=8,other.size=2"),
        ({"data.size": 8, "other.size": 2, "optimizer.lr": 0.1}, "data.size=8,other.size=2,optimizer.lr=0.1"),
        ({"architecture.dropout": 0.5, "dropout": 1}, "architecture.dropout=0.5,dropout=1"),
    ],
)
def test_arm_name(levels, name):
    assert names.arm(levels) == name


def test_arms_are_one_for_each_combination_in_order(jobs):
    _, found = jobs(f"{TEN} seed=0,1,2 architecture.kernel_size=5,3 architecture.padding=valid,same")
    assert [job.arm for job in design.arms(found)] == [
        "kernel_size=5,padding=valid", "kernel_size=5,padding=same",
        "kernel_size=3,padding=valid", "kernel_size=3,padding=same",
    ]  # fmt: skip
    assert {job.seed for job in design.arms(found)} == {0}
