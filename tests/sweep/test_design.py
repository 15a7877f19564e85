"""What is unfair between the arms of a sweep, found before its first run."""

import shlex
from types import SimpleNamespace

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, flag_override

from hydra_plugins.controlled_sweep import ControlledSweeper, _composer
from pipeline import cli, config, names
from pipeline.errors import InputError
from pipeline.sweep import design, fairness


@pytest.fixture
def loader():
    """Hydra's loader over our conf/, outside any command."""
    config.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def sweep(loader, monkeypatch):
    """The sweep that a command would be given: sweep("kernel_size=3,5 seed=0,1") -> Sweep."""

    def make(line):
        lines = shlex.split(line)
        # An experiment brings hydra.sweeper.params: Hydra composes them before it splits the sweep.
        chosen = [one for one in lines if one.startswith("experiment=")]
        master = loader.load_configuration("config", chosen, run_mode=RunMode.MULTIRUN)
        found = []
        monkeypatch.setattr(cli, "multirun", found.append)
        sweeper = ControlledSweeper(master.hydra.sweeper.params)
        sweeper.config, sweeper.launcher = master, SimpleNamespace()
        sweeper.hydra_context = SimpleNamespace(config_loader=loader)
        sweeper.sweep(lines)
        return found[0]

    return make


@pytest.fixture
def jobs(sweep):
    """Factors and jobs of a sweep of 1x8x8 scans: jobs("architecture.kernel_size=3,5")."""
    return lambda line: design.expand(sweep(line))


# One block of 10 filters, no pool, gap head on 1x8x8. By hand, with kernel k:
# parameters 10*(k*k+1) + 110, MACs 640*k*k + 100: 130 and 740 for 1, 210 and 5,860 for 3, 370 and 16,100 for 5.
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
        ("optimizer.lr=0.1,0", "arm lr=0: optimizer.lr=0.0: must be greater than 0"),
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
    }
    assert {one["reference"] for one in named} == {3}
    assert [one["text"] for one in named] == [
        "kernel_size 5 has 1.8 times the parameters of 3",
        "kernel_size 1 has 0.62 times the parameters of 3",
        "kernel_size 5 has 2.7 times the MACs of 3",
        "kernel_size 1 has 0.13 times the MACs of 3",
    ]


def test_confounds_are_means_over_the_other_factors(jobs):
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5 architecture.padding=same,valid")
    named = {(one["factor"], one["quantity"]): one["ratio"] for one in fairness.confounds(factors, found)}
    # 5,860 and 3,340 MACs with kernel 3 (same, valid), 16,100 and 4,100 with kernel 5
    assert named == {
        ("architecture.kernel_size", "params"): pytest.approx(370 / 210),
        ("architecture.kernel_size", "macs"): pytest.approx((16100 + 4100) / (5860 + 3340)),
        ("architecture.padding", "macs"): pytest.approx((3340 + 4100) / (5860 + 16100)),
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
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5 experiment.meant_to_differ=[macs]")
    named = fairness.confounds(factors, found)
    assert {one["quantity"]: one["meant"] for one in named} == {"params": False, "macs": True}
    assert fairness.warnings(factors, found) == ["kernel_size 5 has 1.8 times the parameters of 3"]
    factors, found = jobs(f"{TEN} architecture.kernel_size=3,5 experiment.meant_to_differ=[macs,params]")
    assert fairness.warnings(factors, found) == []


def test_nothing_is_confounded_where_nothing_but_the_factor_differs(jobs):
    factors, found = jobs("architecture.activation=relu,tanh optimizer.lr=0.1,0.01 seed=0,1")
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
    for swept in ("optimizer.lr=0.1,0.2", "data.limit_train=64,128", "trainer.max_epochs=1,2", "data.batch_size=16,32"):
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
    assert {one["quantity"] for one in fairness.confounds(factors, found)} == {"macs"}


def test_unmatched_arm_is_a_warning(jobs):
    # The reference is 3x3 of 1 filter: 30. With 1x1 kernels 1 filter has 22 and 2 have 34: 13 % off at best.
    line = f"{ONE} architecture.filters=[1] architecture.match_reference={{kernel_size:3}}"
    factors, found = jobs(f"{line} architecture.kernel_size=3,1 seed=0,1 experiment.meant_to_differ=[params,macs]")
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
        *fairness.unmatched(found),
    ]
    assert len(fairness.unmatched(found)) == 2


# What composes a job quickly has to give what Hydra gives.

SAME = {
    "nothing": [],
    "a value": ["architecture.kernel_size=5"],
    "the same key twice: the last one counts": ["seed=1", "seed=2"],
    "numbers": ["optimizer.lr=1e-4", "optimizer.weight_decay=1", "data.limit_train=0.5"],
    "a group": ["architecture=mlp"],
    "a preset on top of another": ["architecture=lenet5", "architecture.kernel_size=3"],
    "a value before its group": ["architecture.hidden=[8]", "architecture=mlp"],
    "several groups": ["optimizer=sgd", "trainer=ddp_cpu", "tracking=none", "data=mnist", "architecture=timm"],
    "a list": ["architecture.filters=[1,2]"],
    "an empty list": ["architecture.dense=[]"],
    "null": ["architecture.pool_stride=null", "tracking.uri=null"],
    "a list of dicts": ["architecture.layers=[{conv:{filters:4,kernel_size:3}},{gap:{}},{dense:{}}]"],
    "a preset of layers": ["architecture=all_conv"],
    "a dict": ["architecture.match=params", "architecture.match_reference={kernel_size:3,filters:[4]}"],
    "an addition": ["+architecture.match_reference.kernel_size=3"],
    "a new key": ["+architecture.foo=3"],
    "a forced new key": ["++foo.bar=3", "++seed=4"],
    "a forced value": ["++architecture.kernel_size=4", "++architecture.filters=[3]"],
    "quotes": ["runs_dir='a, b=c'", "experiment.question=\"is 'it' so?\"", "experiment.name='x'"],
    "an escape": ["dir=a\\,b", "experiment.question='it\\'s'"],
    "an interpolation": ["runs_dir=runs/${seed}", "dir='${runs_dir}/x'", "experiment.smallest_effect=${optimizer.lr}"],
    "the environment": ["runs_dir=${oc.env:HOME}/runs"],
    "an experiment": ["experiment=demo", "architecture.padding=valid"],
    "an experiment that is overridden": ["experiment=depth", "data.size=8", "architecture.head=flatten", "seed=9"],
    "an experiment, then a group it sets keys of": ["experiment=head", "architecture=vgg_small", "optimizer=adamw"],
    "a group given twice": ["optimizer=sgd", "optimizer=adamw"],
    "a key without a value": ["tracking.artifacts="],
    "a group taken out": ["~experiment", "experiment.name=x"],
}


def hydras_own(loader, master, job):
    found = loader.load_sweep_config(master, list(job))
    with flag_override(found, ["struct", "readonly"], [False, False]):
        del found["hydra"]
    return found


def typed(node):
    """Every section's values as written, as resolved, and the schema that they are held to."""
    types = {key: OmegaConf.get_type(node, key) for key in node}
    return OmegaConf.to_yaml(node), OmegaConf.to_yaml(node, resolve=True), types, OmegaConf.is_struct(node)


@pytest.mark.parametrize("kind", SAME)
def test_composer_equals_hydra(loader, kind):
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    compose = _composer(loader, master)
    expected = outcome(lambda: hydras_own(loader, master, SAME[kind]))
    assert expected[0], expected
    assert outcome(lambda: compose(SAME[kind])) == expected
    assert outcome(lambda: compose(SAME[kind])) == expected, "a job changes what the next one is composed from"


def outcome(compose):
    """What is composed, or the error in its stead."""
    try:
        return (True, typed(compose()))
    except HydraException as error:
        return (False, type(error), str(error))


REFUSED = {
    "an unknown key": ["architecture.kernel_sise=3"],
    "a key of another group's choice": ["architecture=mlp", "architecture.kernel_size=3"],
    "a value of the wrong type": ["architecture.kernel_size=three"],
    "no such choice": ["data=nosuch"],
    "an addition that is there": ["+seed=3"],
    "a package": ["seed@foo=3"],
    "a key taken out that is not there": ["~nosuch"],
    "a key taken out with another value": ["~seed=3"],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_composer_refuses_what_hydra_refuses(loader, kind):
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    expected = outcome(lambda: hydras_own(loader, master, REFUSED[kind]))
    assert not expected[0]
    with pytest.raises(InputError) as refused:  # in our words: those of tests/test_cli.py
        _composer(loader, master)(REFUSED[kind])
    assert "\n" not in str(refused.value)


def test_composer_serves_jobs_of_different_groups_in_turn(loader):
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    compose = _composer(loader, master)
    row = [SAME[kind] for kind in ("a value", "a group", "numbers", "an experiment", "a list", "a group", "nothing")]
    assert [typed(compose(job)) for job in row] == [typed(hydras_own(loader, master, job)) for job in row]
