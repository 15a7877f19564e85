"""Help, versions and flags of all commands."""

import json
import re

import pytest
import yaml
from running import left_in, refused

from pipeline import cli


def test_nothing_to_sweep_over_is_one_run(command):
    done = command("plan", "-m hydra.sweeper.params=null output=json")
    assert (done.code, done.document["runs"]) == (0, 1)


def test_help_names_groups_and_keys(command):
    said = command("train", "--help").out
    for words in ("architecture: all_conv, cnn, lenet5", "tracking: local, none, server", "kernel_size: 3", "seed: 0"):
        assert words in said
    assert re.search(r"experiment: .*demo.*kernel_size.*padding.*pool_order", said)
    assert "schema" not in said


@pytest.mark.parametrize("module", ["init", "prepare", "plan", "train", "evaluate", "compare", "claims", "sync"])
def test_hydras_own_help(module, process, workdir):
    done = process(module, "--hydra-help")
    assert (done.code, done.err) == (0, "")
    for words in ("--config-dir, -cd", "--multirun, -m", "hydra/launcher=joblib|ray|slurm"):
        assert words in done.out
    for words in cli.REFUSED:
        assert words.replace("_", "-") not in done.out
    assert left_in(workdir) == []


def test_the_version_and_what_hydra_found(process, workdir):
    assert re.fullmatch(r"convtrial \d+\.\d+\.\d+, with Hydra \d+\.\d+\.\d+\n", process("compare", "--version").out)
    for what in ("", "searchpath", "defaults", "defaults-tree", "plugins", "config"):
        done = process("evaluate", f"--info {what}")
        assert (done.code, done.err) == (0, "")
        assert done.out.strip()
    assert left_in(workdir) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--resolve", "--resolve: goes with --cfg or --help."),
        ("--package data", "--package: goes with --cfg."),
        ("--cfg job -m", "--multirun --cfg: one of them at a time."),
        ("--info -m", "--multirun --info: one of them at a time."),
        ("--run --cfg job", "--run --cfg: one of them at a time."),
        ("--cfg all --cfg", "expected one argument"),
        ("--cfg everything", "invalid choice: 'everything'"),
        ("--info everything", "invalid choice: 'everything'"),
        ("--nosuch", "unrecognized arguments: --nosuch"),
        ("seed=1 --cfg job seed=2", "unrecognized arguments: seed=2. Flags stand before or after all overrides."),
        ("--config", "ambiguous option: --config could match"),
        ("--config-dir", "expected one argument"),
        ("--shell-completion install=bash", "--shell-completion: not supported"),
        ("-sc query=bash", "--shell-completion: not supported"),
    ],
)
@pytest.mark.parametrize("module", ["train", "sync"])
def test_flags_that_say_nothing(module, line, said, command, workdir):
    refused(command(module, line), said)
    assert left_in(workdir) == []


def test_a_package_that_is_none(command):
    done = command("train", "--cfg job --package nosuch")
    assert (done.code, done.out, done.err) == (2, "", "package 'nosuch' not found in config\n")


def test_cfg_job_prints_the_configuration_alone(command, workdir):
    done = command("train", "--cfg job architecture.kernel_size=5 seed=7")
    assert (done.code, done.err) == (0, "")
    shown = yaml.safe_load(done.out)
    assert shown["architecture"]["kernel_size"] == 5
    assert shown["seed"] == 7
    assert shown["optimizer"]["lr"] == 0.001
    assert list(shown) == [
        "data", "architecture", "augmentation", "transfer", "optimizer", "trainer", "tracking", "experiment", "seed",
        "seeds", "runs_dir", "dir", "resume", "retry", "accept", "output", "preview",
    ]  # fmt: skip
    assert left_in(workdir) == []


def test_cfg_job_of_a_mistake(command):
    refused(command("train", "--cfg job architecture.kernel_sise=3"), "Did you mean 'architecture.kernel_size'?")


def test_a_users_own_experiment_comes_from_a_folder_of_theirs(command, workdir):
    (workdir / "mine" / "experiment").mkdir(parents=True)
    (workdir / "mine" / "experiment" / "odd.yaml").write_text(
        "# @package _global_\nexperiment: {name: odd}\nhydra: {sweeper: {params: {architecture.kernel_size: '3,50'}}}\n"
    )
    refused(command("train", "--config-dir mine -m experiment=odd"), "arm kernel_size=50: architecture.kernel_size=50")
    refused(command("train", "--config-dir nowhere -m experiment=odd"), "nowhere")


def test_emit_prints_either_the_table_or_the_document(capsys):
    cli.emit("table", {"a": 1}, lambda: print("a table"))
    assert capsys.readouterr().out == "a table\n"
    cli.emit("json", {"a": 1}, lambda: print("a table"))
    assert json.loads(capsys.readouterr().out) == {"a": 1}


# What a shell sees: stderr of a whole process, the interpreter's warnings included.


def test_help_in_a_process_of_its_own(process, workdir):
    done = process("train", "--help")
    assert (done.code, done.err) == (0, "")
    assert "architecture: all_conv, cnn" in done.out
    assert left_in(workdir) == []
