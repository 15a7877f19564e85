"""Jobs composed by our own way equal Hydra's, and are refused where it refuses."""

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.controlled_sweep import _composer
from pipeline.config import from_hydra
from pipeline.errors import InputError
from pipeline.sweep.design import Multirun, _configs

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


@pytest.mark.parametrize("kind", SAME)
def test_seeds_of_an_arm_are_as_each_composed_by_itself(loader, kind):
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    compose = _composer(loader, master)
    asked = []

    def counted(job):
        asked.append(job)
        return compose(job)

    configs = _configs(Multirun(jobs=[], swept=[], compose=counted, launcher=None))
    for line in (["seed=3"], ["seed=7"], ["seed=11"]):
        for job in (line + SAME[kind], SAME[kind] + line):
            assert refusal(lambda job=job: configs(job)) == refusal(lambda job=job: from_hydra(compose(job))), job
    if kind == "a group":
        assert len(asked) == 1, asked
    if "${seed}" in str(SAME[kind]):
        assert len(asked) == 6, asked


def test_a_bad_seed_is_refused_after_a_good_one(loader):
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    configs = _configs(Multirun(jobs=[], swept=[], compose=_composer(loader, master), launcher=None))
    assert configs(["seed=3"]).seed == 3
    for line in ("seed=-1", "seed=4294967296", "seed=07x", "seed=null", "seed="):
        with pytest.raises(InputError, match="seed"):
            configs([line])


def refusal(made):
    """What is made, or the message in its stead."""
    try:
        return made()
    except (InputError, OmegaConfBaseException) as error:
        return str(error)


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
