"""Help, versions and flags of all commands."""

import json
import re

import pytest
import yaml
from running import left_in, refused

from pipeline import architecture, cli, groups, options
from pipeline.__main__ import COMMANDS
from pipeline.config import Contrast


def test_nothing_to_sweep_over_is_one_run(command):
    done = command("plan", "-m hydra.sweeper.params=null output=json")
    assert (done.code, done.document["runs"]) == (0, 1)


def test_help_names_groups_and_keys(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    said = command("train", "--help").out
    for row in (
        r"architecture=cnn +all_conv, cnn, lenet5",
        r"tracking=local +local, none, server",
        r"experiment=null +across, activation, augmentation, cnn_vs_mlp,",
        r"hydra/launcher=workers +basic, joblib, ray, slurm, workers",
        r"architecture.kernel_size=3 +side of a kernel in pixels; between 1 and 11\n",
        r"architecture.padding=same +of convolutions, as in Keras; one of same, valid\n",
        r"architecture.pool_stride=2 +null: as pool_size; at least 1\n",
        r"trainer.deterministic=true +the same numbers",
        r"data.num_workers=0 ",
        r"seed=0 +the replicate",
        r"seeds=null +with -m, auto",
    ):
        assert re.search(f"^  {row}", said, re.M), row
    assert "schema" not in said
    assert "preview=" not in said


def test_help_fits_the_terminal(command, monkeypatch):
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert max(map(len, command("plan", "--help").out.splitlines())) <= columns


def test_help_shows_the_keys_of_what_is_chosen(command, monkeypatch):
    """And what they are now; what is swept says nothing."""
    monkeypatch.setenv("COLUMNS", "160")
    said = command("train", "-m --help architecture=mlp data@transfer.pretrain=digits seed=3 data.size=8,16").out
    assert re.search(r"^  architecture.hidden=\[256,128\] +sizes of the hidden layers", said, re.M)
    assert "architecture.kernel_size=3" not in said
    assert re.search(r"^  transfer.pretrain.size=8 +side of an image or map, tokens of a text; at least 1$", said, re.M)
    assert re.search(r"^  seed=3 ", said, re.M)
    assert re.search(r"^  data.size=8 ", said, re.M)


def test_help_of_one_key_or_section(command):
    said = command("train", "--help transfer.network experiment.contrasts").out
    assert said.startswith("  transfer.network=null ")
    assert "one of AnB, AnB+, BnB, BnB+" in said  # which transfer=first_layers alone looks at
    assert re.search(r"^  experiment.contrasts\[\].expects .*\n?.*better, +worse|better", said, re.M)
    assert {line.split("=")[0].split()[0] for line in said.splitlines() if re.match(r"  \w", line)} == {
        "transfer.network",
        "experiment.contrasts",
        *(f"experiment.contrasts[].{name}" for name in options.hints(Contrast)),
    }
    refused(command("compare", "--help loks"), "--help loks: no such key. Did you mean 'looks'?")
    refused(command("train", "--help architecture=nosuch"), "architecture=nosuch: no such architecture.")
    refused(command("train", "--help hydra.mode=MULTIRUN"), "-m: this command runs one configuration at a time")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_the_keys_of_each_command_alone(name, command, workdir):
    done = command(name, "--help")
    assert (done.code, done.err) == (0, "")
    kind = options.kind_of(name)
    listed = re.findall(r"^  ([a-z_]+)(?==|\.)", done.out.split("Keys, with")[1], re.M)
    assert list(dict.fromkeys(listed)) == list(groups.READ.get(name, options.hints(kind)))
    assert ("Groups" in done.out) == (name in groups.READ)
    assert f"python -m pipeline.{name}" in done.out  # its examples
    assert left_in(workdir) == []


def test_each_key_is_of_a_command():
    read = {key for keys in groups.READ.values() for key in keys}
    assert read == set(options.hints(options.kind_of("train")))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_key_says_what_it_means(name):
    values = {"transfer": {"pretrain": {"name": "digits"}}}
    for kind in architecture.SCHEMAS if name in groups.READ else ("",):
        for one in options.of_command(name, {**values, "architecture": {"type": kind}} if kind else {}):
            assert one.meaning, f"{one.key}: say what it means in a comment beside its field"
            assert ".py" not in one.meaning, one.key  # who asks has not read our files


@pytest.mark.parametrize(
    ("key", "must", "words"),
    [
        ("data.resize", "must be one of pad, stretch, crop", ("pad", "stretch", "crop")),
        ("data.class_half", "must be one of a, b", ("a", "b", "null")),
        ("data.size", "must be at least 1", ()),
        ("data.root", "", ()),
        ("architecture.weight_sharing", "must be true or false", ("true", "false")),
        ("transfer.network", "must be one of AnB, AnB+, BnB, BnB+", ("AnB", "AnB+", "BnB", "BnB+", "null")),
        ("optimizer.lr", "must be greater than 0, or tuned", ("tuned",)),
        ("optimizer.lr_grid", "must be rates greater than 0", ()),
        ("trainer.stack", "must be off, auto, or how many seeds of an arm train at once", ("off", "auto")),
        ("experiment.contrasts[].expects", "must be one of better, worse, equal, not_worse",
         ("better", "worse", "equal", "not_worse", "null")),
    ],
)  # fmt: skip
def test_a_check_says_what_its_key_may_be(key, must, words):
    (one,) = [one for one in options.of_command("train") if one.key == key]
    assert (one.must, one.words) == (must, words)


@pytest.mark.parametrize("module", COMMANDS)
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
        "data", "architecture", "augmentation", "transfer", "optimizer", "loss", "trainer", "tracking", "experiment",
        "seed", "seeds", "runs_dir", "dir", "resume", "retry", "accept", "output", "preview",
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
    assert "architecture.kernel_size=3" in done.out
    assert left_in(workdir) == []
