"""Every file in conf/ composes into a typed configuration, and every choice trains a step."""

import functools
import itertools
import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from running import REPOSITORY, TINY, hydra_reset, restored_torch

from pipeline import architecture, config, rundir
from pipeline.config.run import Config, Experiment
from pipeline.config.tracking import Tracking
from pipeline.config.trainer import Optimizer, Trainer
from pipeline.data import Data
from pipeline.errors import InputError
from pipeline.run.source import source_run
from pipeline.run.start import describe, train_run, train_source

CONF = REPOSITORY / "conf"
GROUPS = ("data", "architecture", "optimizer", "trainer", "tracking", "experiment")
FILES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


def names(group):
    return [line.split("=")[1] for line in FILES if line.startswith(f"{group}=")]


@pytest.fixture
def composed():
    """Compose conf/config.yaml with overrides, as the commands do; returns Hydra's DictConfig."""
    config.register()
    with hydra_reset(), initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *overrides: compose("config", overrides=list(overrides))


@pytest.fixture
def built(composed):
    """Compose, and build the typed whole."""
    return lambda *overrides: config.from_hydra(composed(*overrides))


def test_every_group_of_the_design_has_files():
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert set(GROUPS) <= folders
    assert all(names(group) for group in GROUPS)


# ---- composing


def test_the_defaults(built):
    defaults = built()
    assert defaults == Config(architecture=architecture.Cnn())
    assert defaults.data.name == "digits"
    assert defaults.tracking.uri == f"sqlite:///{Path.cwd()}/mlruns/mlflow.db"


@pytest.mark.parametrize("line", FILES)
def test_every_file_composes_into_the_typed_whole_and_survives_json(line, built):
    made = built(line)
    assert isinstance(made, Config)
    sections = (made.data, made.optimizer, made.trainer, made.tracking, made.experiment)
    assert [type(section) for section in sections] == [Data, Optimizer, Trainer, Tracking, Experiment]
    assert type(made.architecture) in architecture.SCHEMAS.values()
    plain = config.to_dict(made)
    assert config.from_dict(json.loads(json.dumps(plain))) == made
    assert config.to_dict(config.from_dict(plain)) == plain


@pytest.mark.parametrize("line", FILES)
def test_every_file_says_what_it_is(line):
    group, name = line.split("=")
    first = (CONF / group / f"{name}.yaml").read_text().splitlines()
    assert next(text for text in first if not text.startswith("# @package")).startswith("# ")


@pytest.mark.parametrize("name", names("experiment"))
def test_an_experiment_asks_its_question_in_its_own_name(name, built):
    asked = built(f"experiment={name}").experiment
    assert asked.name == name
    assert asked.question.endswith("?")
    header = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert f"python -m pipeline.train -m experiment={name}" in header


def test_what_the_files_say_is_what_comes_out(built):
    assert built("data=fashion_mnist").data.size == 32
    assert built("trainer=ddp_cpu").trainer.devices == 2
    assert built("optimizer=sgd").optimizer == Optimizer("sgd", 0.05, 0.0005, 0.9, "cosine")
    assert built("tracking=none").tracking.uri is None
    assert built("architecture=vgg_small").architecture.block == "CACAP"
    assert built("architecture=mlp").architecture.hidden == [256, 128]
    assert built("experiment=demo", "architecture.filters=[2]").architecture.filters == [2]


# ---- what is refused


@pytest.mark.parametrize(
    ("size", "devices", "fits"), [(32, 1, None), (32, 4, None), (33, 2, 32), (30, 4, 28), (2, 4, 4)]
)
def test_the_global_batch_divides_evenly(size, devices, fits):
    make = {"architecture": architecture.Cnn(), "data": Data(batch_size=size), "trainer": Trainer(devices=devices)}
    if fits is None:
        assert Config(**make).data.batch_size == size
        return
    with pytest.raises(InputError) as error:
        Config(**make)
    assert f"data.batch_size={size}: " in str(error.value)
    assert str(error.value).endswith(f"try {fits}.")
    make["data"] = Data(batch_size=fits)
    assert Config(**make).data.batch_size == fits


def test_keys_that_no_section_has_are_refused(built):
    with pytest.raises(InputError, match=r"^\+optimizer.lrr=1: no such key. Did you mean 'lr'\? Allowed: type, lr, "):
        built("+optimizer.lrr=1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimizer(type="adamm"), "optimizer.type=adamm: must be one of adam, adamw, sgd."),
        (lambda: Optimizer(lr=0), "optimizer.lr=0: must be greater than 0, or tuned."),
        (lambda: Optimizer(lr=float("nan")), "optimizer.lr=nan: must be greater than 0, or tuned."),
        (lambda: Optimizer(weight_decay=-1), "optimizer.weight_decay=-1: must be at least 0."),
        (lambda: Optimizer(momentum=2), "optimizer.momentum=2: must lie between 0 and 1."),
        (lambda: Optimizer(warmup_epochs=-0.5), "optimizer.warmup_epochs=-0.5: must be at least 0."),
        (lambda: Trainer(accelerator="tpu"), "trainer.accelerator=tpu: must be one of cpu, gpu."),
        (lambda: Trainer(devices=0), "trainer.devices=0: must be at least 1."),
        (lambda: Trainer(strategy="fsdp"), "trainer.strategy=fsdp: must be one of auto, ddp."),
        (lambda: Trainer(threads=0), "trainer.threads=0: must be at least 1."),
        (lambda: Trainer(early_stopping_min_delta=-1), "trainer.early_stopping_min_delta=-1: must be 0 or more"),
        (lambda: Trainer(early_stopping_patience=0), "trainer.early_stopping_patience=0: must be at least 1."),
        (lambda: Trainer(gradient_clip_val=-1.0), "trainer.gradient_clip_val=-1.0: must be greater than 0, or null."),
        (lambda: Trainer(monitor="test/acc"), "trainer.monitor=test/acc: must be one of val/acc, val/loss."),
        (lambda: Tracking(uri="file:mlruns"), "tracking.uri=file:mlruns: must start with sqlite:///, http:// or"),
        (lambda: Tracking(push_every_s=0), "tracking.push_every_s=0: must be greater than 0."),
        (lambda: Experiment(mode="best"), "experiment.mode=best: must be one of max, min."),
        (lambda: Experiment(name=""), "experiment.name=: must name a folder: letters, digits"),
        (lambda: Experiment(name="../up"), "experiment.name=../up: must name a folder: letters, digits"),
        (lambda: Experiment(name="a b"), "experiment.name=a b: must name a folder: letters, digits"),
        (lambda: Config(seed=-1), "seed=-1: must lie between 0 and 4294967295."),
        (lambda: Config(output="yaml"), "output=yaml: must be one of table, json."),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)


def test_several_devices_mean_ddp():
    assert Trainer(devices=2).strategy == "ddp"
    assert Trainer(devices=1).strategy == "auto"


# ---- plain forms


def test_flat_names_are_what_people_type():
    assert config.flat({"a": {"b": 1, "c": {"d": None}}, "e": [1, {"f": 2}], "g": {}}) == {
        "a.b": 1,
        "a.c.d": None,
        "e": [1, {"f": 2}],
        "g": {},
    }


def test_every_flat_name_can_be_typed(built):
    flat = config.flat(config.to_dict(built()))
    assert flat["architecture.kernel_size"] == 3
    assert flat["seed"] == 0
    for name, value in flat.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert config.flat(config.to_dict(built(f"{name}={value}")))[name] == value


# ---- one step of everything


@pytest.fixture
def prepared_dir(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / "prepared"


@pytest.fixture
def step(tmp_path, built, prepared_dir):
    """Train one batch of digits as the overrides say, through the run directory; returns its directory."""

    def train(*overrides):
        made = built(
            "tracking=none", "trainer.max_epochs=1", "trainer.threads=1", "trainer.precision=32-true",
            "data.limit_train=64", f"data.prepared_dir={prepared_dir}", f"runs_dir={tmp_path}", *overrides,
        )  # fmt: skip
        run = tmp_path / "run"
        with restored_torch():
            if source := source_run(made):
                train_source(source)
            train_run(run, made, functools.partial(describe, made))
        return run

    return train


def learned(run):
    """Whether the run finished, with numbers, and moved its weights."""
    status = rundir.get_status(run)
    assert status.status == "finished", status
    assert all(torch.tensor(value).isfinite() for value in status.metrics.values())
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] >= 2
    asked = rundir.read_json(run / "run.json")
    torch.manual_seed(asked["config"]["seed"])
    fresh = architecture.build(
        asked["config"]["architecture"], asked["dataset"]["input_shape"], len(asked["dataset"]["classes"])
    )
    moved = [
        name for name, weights in fresh.named_parameters() if not weights.equal(state["state_dict"][f"network.{name}"])
    ]
    return len(moved) == len(list(fresh.parameters()))


@pytest.mark.parametrize("name", [name for name in names("architecture") if name != "text_cnn"])
def test_every_architecture_trains(name, step):
    small = {"lenet5": ["data.size=16"], "timm": ["architecture.name=resnet10t"]}.get(name, [])
    assert learned(step(f"architecture={name}", *small))


@pytest.mark.parametrize("name", names("optimizer"))
def test_every_optimizer_trains(name, step):
    assert learned(step(f"optimizer={name}", "architecture.filters=[4,8]"))


def levels(name, composed):
    """{key: [override, ...]} of what an experiment sweeps over, seeds left out."""
    composed()  # the schemas are known, and Hydra is ready
    params = compose("config", overrides=[f"experiment={name}"], return_hydra_config=True).hydra.sweeper.params
    lines = [f"{key}={text}" for key, text in OmegaConf.to_container(params).items() if key != "seed"]
    return [
        [f"{o.get_key_element()}={level}" for level in o.sweep_string_iterator()]
        for o in OverridesParser.create().parse_overrides(lines)
    ]


@pytest.mark.parametrize("name", names("experiment"))
def test_the_first_arm_of_every_experiment_trains(name, step, composed):
    first = next(itertools.product(*levels(name, composed)))
    assert learned(step(f"experiment={name}", "optimizer.lr=0.001", *first))


def test_the_arms_of_an_experiment_are_those_of_its_file(command):
    done = command("train", f"-m experiment=padding {TINY} seed=0,1 dir=sweep output=json")
    assert done.code == 0
    arms = [(job["levels"], job["seed"]) for job in rundir.read_json(Path("sweep/sweep.json"))["jobs"]]
    assert arms == [({"architecture.padding": padding}, seed) for padding in ("same", "valid") for seed in (0, 1)]
    assert done.document["verdict"]["experiment"] == "padding"
