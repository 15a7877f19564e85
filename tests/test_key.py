"""What decides a run's numbers is in its key, and nothing else."""

import dataclasses
import json
import textwrap
from types import SimpleNamespace

import pytest
from a_run import a_run
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config, key
from pipeline.architecture import Cnn
from pipeline.config import Config
from pipeline.config.trainer import Trainer
from pipeline.data import Data
from pipeline.transfer import Transfer


def settings():
    return Config(architecture=Cnn())


def options(section, prefix=()):
    """The path of every option: [("data", "size"), ("seed",), ...]."""
    for one in dataclasses.fields(section):
        value = getattr(section, one.name)
        if dataclasses.is_dataclass(value):
            yield from options(value, (*prefix, one.name))
        else:
            yield (*prefix, one.name)


def put(section, path, value):
    """The section with another value, unchecked: what a key is made of need not be possible."""
    head, *rest = path
    object.__setattr__(section, head, put(getattr(section, head), rest, value) if rest else value)
    return section


# Where it is written, shown or read from cannot change what comes out; everything else may.
FREE = {
    *(path for path in options(settings()) if path[0] in ("tracking", "experiment")),
    *((name,) for name in ("runs_dir", "dir", "output", "preview", "resume", "retry", "accept", "seeds")),
    *(("optimizer", name) for name in ("lr_grid", "tuning_seeds")),
    *(("data", name) for name in ("root", "manifest", "columns", "max_pixels", "prepared_dir", "num_workers")),
    *(("transfer", name) for name in ("source", "weights", "pretrain")),  # the digest of the weights stands for them
    *(("trainer", name) for name in ("checkpoint_every_s", "max_restarts", "loader_timeout_s")),
    *(("trainer", name) for name in ("rdzv_endpoint", "sync_timeout_s")),
} - {("experiment", "invariance"), ("experiment", "localization")}


def digest(asked, data="data", code="code", source=()):
    return key.of(asked, data, code, list(source)).digest


@given(path=st.sampled_from(sorted(options(settings()))), value=st.integers() | st.text() | st.none() | st.booleans())
def test_the_key_changes_exactly_with_what_decides_the_result(path, value):
    before = settings()
    after = put(settings(), path, value)
    same = json.dumps(config.to_dict(before)) == json.dumps(config.to_dict(after))
    assert (digest(before) == digest(after)) == (same or path in FREE)


def test_both_kinds_of_options_were_tried():
    assert (
        {("tracking", "uri"), ("experiment", "name")} <= FREE <= set(options(settings())) | {("transfer", "pretrain")}
    )
    deciding = set(options(settings())) - FREE
    assert {("seed",), ("data", "limit_train"), ("architecture", "kernel_size"), ("trainer", "threads")} <= deciding


def test_the_data_of_a_source_is_not_part_of_the_options():
    source = Transfer(strategy="fine_tune", pretrain=Data())
    other = dataclasses.replace(source, pretrain=Data(size=16))
    first, second = (digest(dataclasses.replace(settings(), transfer=one)) for one in (source, other))
    assert first == second


def test_each_part_changes_the_key_and_is_named():
    first = key.of(settings(), "data", "code", [])
    others = {
        "config": key.of(dataclasses.replace(settings(), seed=1), "data", "code", []),
        "data": key.of(settings(), "other", "code", []),
        "code": key.of(settings(), "data", "other", []),
        "source": key.of(settings(), "data", "code", ["weights"]),
    }
    record = a_run(key=first.digest, key_parts=dataclasses.asdict(first))
    assert len({first.digest, *(other.digest for other in others.values())}) == 5
    for part, other in others.items():
        assert key.changed(record, other) == [part]
        assert key.same(record, other, accept=None) is False
        assert key.same(record, other, accept="code") is (part == "code")
    assert key.same(record, first, accept=None)
    assert others["code"].under("code") == first.digest


def test_a_record_without_parts_is_another_run():
    assert not key.same(a_run(key="k"), key.of(settings(), "data", "code", []), accept="code")
    assert not key.same(a_run(key="k"), key.of(settings(), "data", "code", []), accept=None)


def test_the_key_leaves_its_configuration_as_it_is():
    asked = settings()
    digest(asked)
    assert asked == settings()


# ---- threads


@pytest.mark.parametrize(
    ("macs", "given", "devices", "threads"),
    [(299_999_999, None, 1, 1), (300_000_000, None, 1, 2), (10**12, None, 1, 2), (10**12, None, 2, 1), (1, 6, 2, 6)],
)
def test_threads_follow_from_configuration_and_network_alone(macs, given, devices, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # what a launcher grants
    assert Trainer(threads=given, devices=devices).cpu_threads(macs) == threads


def test_the_threads_that_were_asked_for_and_those_that_follow_are_one_run():
    def of(threads, macs):
        asked = dataclasses.replace(settings(), trainer=Trainer(threads=threads))
        return digest(config.settled(asked, SimpleNamespace(macs=macs, layers=[])))

    assert of(None, 1000) == of(1, 1000) != of(2, 1000)
    assert of(None, 10**9) == of(2, 10**9)


# ---- code


@pytest.fixture
def package(tmp_path):
    """A package of one module that decides, one that does not by its name, and one outside."""
    for name in ("training/fit.py", "training/record.py", "evidence/report.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SOURCE)
    return tmp_path


SOURCE = textwrap.dedent('''
    """A module."""

    def half(x):  # of x
        """Half of it."""
        return x / 2
    ''')


def digests(package):
    key.code.cache_clear()
    found = key.code(package)
    key.code.cache_clear()
    return found


@pytest.mark.parametrize(
    ("name", "old", "new", "decides"),
    [
        ("training/fit.py", "# of x", "# of any x", False),
        ("training/fit.py", "A module.", "This module.", False),
        ("training/fit.py", "Half of it.", "It, halved.", False),
        ("training/fit.py", "x / 2", "(x / 2)", False),
        ("training/fit.py", "x / 2", "x / 3", True),
        ("training/fit.py", "half(x)", "half(x, y=None)", True),
        ("training/record.py", "x / 2", "x / 3", False),
        ("evidence/report.py", "x / 2", "x / 3", False),
    ],
)
def test_code_decides_by_what_it_computes(name, old, new, decides, package):
    before = digests(package)
    assert SOURCE.count(old) == 1
    (package / name).write_text(SOURCE.replace(old, new))
    assert (digests(package) != before) is decides


def test_a_module_that_is_new_or_renamed_decides(package):
    before = digests(package)
    assert list(before) == ["training/fit.py"]
    (package / "training/fit.py").rename(package / "training/trained.py")
    renamed = digests(package)
    assert list(renamed) == ["training/trained.py"]
    (package / "training/more.py").write_text("x = 1")
    assert len(digests(package)) == 2


def test_what_is_left_aside_is_there():
    modules = {path.relative_to(key.PACKAGE).as_posix() for path in key.PACKAGE.rglob("*.py")}
    assert modules >= key.ASIDE
    assert {"training/fit.py", "data/splitting.py", "evaluation/predict.py", "transfer/advise.py"} <= key.code().keys()
