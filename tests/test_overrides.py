"""Any override ends in a valid plan, or in one clear message: never in a traceback, never in leftovers."""

import shlex
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import hydra_reset, left_in

from pipeline import config
from pipeline.config import Config
from pipeline.run.resolve import plan_run

GROUPS = {
    "data": ["digits", "mnist", "image_folder", "npz"],
    "architecture": ["cnn", "mlp", "text_cnn", "lenet5", "all_conv", "locally_connected", "resnet"],
    "augmentation": ["none", "affine", "all", "rotat"],
    "optimizer": ["adam", "sgd", "adamw", "lion"],
    "trainer": ["cpu", "ddp_cpu", "gpu", "tpu"],
    "tracking": ["local", "none", "server"],
    "transfer": ["none", "head_only", "fine_tune"],
    "experiment": ["kernel_size", "demo", "padding", "nosuch"],
}
KEYS = sorted({*config.flat(config.to_dict(Config())), *(f"architecture.{k}" for k in (
    "block", "filters", "kernel_size", "stride", "padding", "pool", "pool_size", "pool_stride", "pool_padding", "head",
    "dense", "weight_sharing", "activation", "layers", "match", "head_dropout", "name", "hidden", "embedding",
    "widths"))})  # fmt: skip
LAYERS = [
    "[{conv:{filters:8,kernel_size:3}},{gap:{}},{dense:{units:10}}]",
    "[{conv:{filters:8}}]",
    "[{pool:{}}]",
    "[{conv:3}]",
    "[[]]",
    "[{nosuch:{}}]",
]
PLAIN = st.one_of(
    st.integers(-3, 300).map(str),
    st.sampled_from([10**30, -(10**20), 2**31, 2**63]).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(["null", "true", "false", "same", "valid", "max", "avg", "CAP", "CACAP", "CPNAD", "none", "''"]),
    st.sampled_from(["${seed}", "${nosuch}", "${oc.env:HOME}", "${architecture}", "???", "{}", "[]", "{a:1}", "[[1]]"]),
    st.lists(st.integers(-1, 64), max_size=6).map(lambda values: "[" + ",".join(map(str, values)) + "]"),
    st.sampled_from(LAYERS),
    st.text("abcxyz019_-./ =:,'\"[]{}$~+%é\\\t", max_size=12),
)
KEY = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(KEYS).map(lambda key: f"+{key}"),
    st.sampled_from(KEYS).map(lambda key: f"++{key}"),
    st.sampled_from(KEYS).map(lambda key: f"~{key}"),
    st.sampled_from(KEYS).map(lambda key: key[:-1]),
    st.sampled_from(KEYS).map(lambda key: f"{key}.more"),
    st.text("abcdefgh._@/+~", min_size=1, max_size=10),
)
GROUP = st.sampled_from(sorted(GROUPS)).flatmap(
    lambda group: st.sampled_from([*GROUPS[group], "null", "[a,b]"]).map(lambda choice: f"{group}={choice}")
)
OVERRIDES = st.lists(st.one_of(GROUP, st.builds(lambda key, value: f"{key}={value}", KEY, PLAIN)), max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(line=OVERRIDES)
def test_the_command_plans_or_says_why_not(line, command, workdir):
    if any(word.startswith("-") for word in line):  # an option, not an override
        return
    before = [path for path in left_in(workdir) if not path.startswith("prepared")]
    done = command("plan", shlex.join([*line, "output=json"]))
    if done.code == 0:
        assert done.document["total"]["params"] >= 0
    else:
        assert (done.code, done.out) == (2, ""), (line, done.err)
        assert done.err.startswith("error: "), done.err
        assert done.err.count("\n") == 1, done.err
    assert [path for path in left_in(workdir) if not path.startswith("prepared")] == before


@pytest.fixture(scope="module")
def compose():
    """A line's overrides -> its configuration, as a job of a sweep gets it: 5 ms, where the command needs 100."""
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.types import RunMode

    from hydra_plugins.controlled_sweep import _composer
    from pipeline import cli, no_code

    no_code.refuse_code()
    with hydra_reset():
        config.register()
        made = Hydra.create_main_hydra2("train", create_config_search_path(str(cli.CONF)))
        master = made.compose_config("config", [], RunMode.MULTIRUN)
        yield _composer(made.config_loader, master)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_thousand_overrides(endurance, compose, workdir):
    from pipeline import cli

    ends = Counter()

    @settings(max_examples=10_000 // endurance, deadline=None, suppress_health_check=list(HealthCheck))
    @given(line=OVERRIDES)
    def each(line):
        try:
            cli.check_arguments(line)
            assert plan_run(config.from_hydra(compose(line))).outline.plan.params >= 0
            ends["planned"] += 1
        except Exception as error:
            message = cli.explain(error, "config", line)
            if message is None:  # a mistake of ours
                raise
            assert message.strip()
            assert "\n" not in message
            ends["refused"] += 1
        assert [path for path in left_in(workdir) if not path.startswith("prepared")] == []

    each()
    print(ends)
    assert min(ends["planned"], ends["refused"]) > 10, ends
