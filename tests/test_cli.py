"""One clear message per mistake: the key, the value, what is allowed; exit code 2 and nothing left behind."""

import os
import signal
import sys
import time

import pytest
from running import TINY, left_in, refused

from pipeline import __main__, cli, stopping, train
from pipeline.errors import InputError

# The command line, and what its one message has to say.
MISTAKES = {
    # unknown keys, with the nearest one and those that stand there
    "architecture.kernel_sise=3": [
        "architecture.kernel_sise=3: no such key",
        "Did you mean 'architecture.kernel_size'?",
        "Allowed under architecture: type, block, filters",
    ],
    "sede=1": ["sede=1: no such key", "Did you mean 'seed'?", "Allowed: data, architecture"],
    "nosuch=1": ["nosuch=1: no such key", "Allowed: data, architecture"],
    "architecture=mlp architecture.kernel_size=3": [
        "architecture.kernel_size=3: no such key",
        "Allowed under architecture: type, hidden",
    ],
    "trainer.epochs=3": [
        "trainer.epochs=3: no such key",
        "Did you mean 'trainer.max_epochs'?",
        "Allowed under trainer: accelerator, devices",
    ],
    "+foo=1": ["+foo=1: no such key", "Allowed: data, architecture"],
    "+architecture.kernel_sise=3": [
        "+architecture.kernel_sise=3: no such key",
        "Did you mean 'kernel_size'?",
        "type, block, filters",
    ],
    "++data.foo=1": ["data.foo=1: no such key", "source, name, root"],
    # values out of range, of the wrong type, not among the allowed
    "architecture.kernel_size=0": ["architecture.kernel_size=0: must lie between 1 and 11."],
    "architecture.kernel_size=12": ["architecture.kernel_size=12: must lie between 1 and 11."],
    "architecture.kernel_size=three": ["architecture.kernel_size=three: ", "could not be converted to Integer"],
    "architecture.filters=3": ["architecture.filters=3: ", "list"],
    "architecture.filters=[a]": ["architecture.filters=[a]: ", "could not be converted to Integer"],
    "architecture.padding=sane": [
        "architecture.padding=sane: must be one of same, valid.",
        "Did you mean 'same'?",
    ],
    "architecture.block=CAX": ["architecture.block=CAX: unknown letter 'X'", "C conv, N norm"],
    "architecture.layers=[3]": ["architecture.layers[0]=3: ", "{conv: {filters: 8}}"],
    "dir=фото": ["dir=фото: not understood", "need quotes of their own within the shell's: \"dir='фото'\"."],
    "optimizer.lr=fast": ["optimizer.lr=fast: must be greater than 0, or tuned."],
    "optimizer.lr=0": ["optimizer.lr=0: must be greater than 0, or tuned."],
    "optimizer.lr=nan": ["optimizer.lr=nan: must be greater than 0, or tuned."],
    "optimizer.lr=inf": ["optimizer.lr=inf: must be a finite number."],
    "optimizer.weight_decay=inf": ["optimizer.weight_decay=inf: must be a finite number."],
    "optimizer.warmup_epochs=inf": ["optimizer.warmup_epochs=inf: must be a finite number."],
    "trainer.gradient_clip_val=inf": ["trainer.gradient_clip_val=inf: must be a finite number."],
    "trainer.checkpoint_every_s=inf": ["trainer.checkpoint_every_s=inf: must be a finite number"],
    "trainer.sync_timeout_s=1e300": ["trainer.sync_timeout_s=1e+300: must be a finite number, at most 1,000,000"],
    "tracking.wait_s=inf": ["tracking.wait_s=inf: must be a finite number"],
    "augmentation.strength=inf": ["augmentation.strength=inf: must lie between 0 and 4."],
    "architecture=mlp architecture.match_reference={dropout:inf}": [
        "architecture.match_reference.dropout=inf: must be"
    ],
    "experiment.smallest_effect=inf": ["experiment.smallest_effect=inf: must be a finite number."],
    "-m experiment.smallest_effect=nan seed=0,1": ["experiment.smallest_effect=nan: must be greater than 0."],
    "experiment.metric=test/f2": ["experiment.metric=test/f2: must be one of test/acc, ", "Did you mean 'test/f1'?"],
    "experiment.metric=test/accuracy": ["Did you mean 'test/acc'?"],
    "-m experiment=padding experiment.metric=tset/loss": ["experiment.metric=tset/loss: ", "Did you mean 'test/loss'?"],
    "experiment.metric=invariance/scale": ["experiment.metric=invariance/scale: ", "experiment.invariance=true"],
    "-m hydra.sweeper.params=3": ["hydra.sweeper.params=3: must be written as keys with their levels as text"],
    "-m hydra.sweeper.params=[seed]": ["hydra.sweeper.params=['seed']: must be written as keys"],
    "-m hydra.sweeper.params={seed:[0,1]}": ["hydra.sweeper.params.seed=[0, 1]: must be written as keys"],
    "-m +hydra.sweeper.params.data.size=8": ["hydra.sweeper.params.data={'size': 8}: ", "say KEY=3,5 itself"],
    "optimizer.momentum=1.5": ["optimizer.momentum=1.5: must lie between 0 and 1."],
    "optimizer.schedule=cos": ["optimizer.schedule=cos: must be one of constant, cosine.", "Did you mean 'cosine'?"],
    "trainer.max_epochs=0": ["trainer.max_epochs=0: must be at least 1."],
    "trainer.precision=float16": ["trainer.precision=float16: must be one of auto, 32-true, bf16-mixed, 16-mixed."],
    "trainer.precision=16-mixed": ["trainer.precision=16-mixed: needs trainer.accelerator=gpu"],
    "trainer.gradient_clip_val=0": ["trainer.gradient_clip_val=0.0: must be greater than 0, or null."],
    "data.size=0": ["data.size=0: must be at least 1."],
    "data.batch_size=0": ["data.batch_size=0: must be at least 1."],
    "data.val_fraction=0.9": ["data.val_fraction=0.9 and data.test_fraction=0.2: must add up to less than 1"],
    "trainer=ddp_cpu data.batch_size=33": [
        "data.batch_size=33: the global batch must divide evenly among the processes of trainer.devices=2",
        "try 32.",
    ],
    "trainer=ddp_cpu trainer.nodes=2": ["trainer.nodes=2: no such key", "accelerator, devices"],
    "seed=-1": ["seed=-1: must lie between 0 and 4294967295."],
    "seed=null": ["seed=null: "],
    "seed=1.5": ["seed=1.5: ", "could not be converted to Integer"],
    "seed=18446744073709551616": ["seed=18446744073709551616: must lie between 0 and 4294967295."],
    "output=xml": ["output=xml: must be one of table, json."],
    "experiment.name=a/b": ["experiment.name=a/b: must name a folder: letters, digits, '-', '_' and '.'"],
    "experiment.mode=most": ["experiment.mode=most: must be one of max, min."],
    "experiment.smallest_effect=0": ["experiment.smallest_effect=0.0: must be greater than 0."],
    "tracking.uri=mlruns": ["tracking.uri=mlruns: must start with sqlite:///, http:// or https://"],
    # groups
    "data=nosuch": ["data=nosuch: no such data. Allowed: ", "cifar10, cifar100, digits, "],
    "data=mnits": ["data=mnits: no such data.", "Did you mean 'mnist'?"],
    "data=3": ["data=3: ", "a group takes the name of one of its files"],
    "architecture=nosuch": ["architecture=nosuch: no such architecture. Allowed: all_conv, cnn, lenet5"],
    "experiment=kernal_size": ["experiment=kernal_size: no such experiment.", "Did you mean 'kernel_size'?"],
    "hydra/launcher=nosuch": ["hydra/launcher=nosuch: no such hydra/launcher. Allowed: basic"],
    # folders
    "data.root=/nowhere": ["data.root=/nowhere: no such folder."],
    "data=fashion_mnist data.root=/nowhere": ["data.root=/nowhere: no such folder."],
    "runs_dir=/proc/x": ["/proc/x"],
    "dir=/proc/x": ["/proc/x"],
    "data.prepared_dir=/proc/x": ["data.prepared_dir=/proc/x"],
    # a network that does not fit its image of 8x8
    "architecture.padding=valid architecture.kernel_size=9": [
        "architecture.kernel_size=9: layer block1_conv1 gets a 8x8 input, and a valid 9x9 kernel needs at least 9x9.",
        "data.size=",
    ],
    "architecture.kernel_size=9": ["architecture.kernel_size=9: ", "8x8"],
    "architecture.filters=[4,4,4,4]": ["block4", "data.size="],
    # the command line itself
    "architecture.kernel_size=3,5": ["architecture.kernel_size=3,5: several values need -m", "key=[a,b]"],
    "seed=0,1,2": ["seed=0,1,2: several values need -m"],
    "architecture=cnn,mlp": ["architecture=cnn,mlp: several values need -m"],
    "architecture.filters=[1,": ["architecture.filters=[1,: not understood"],
    "seed": ["seed: not understood"],
    "mnist": ["mnist: not understood; an override is key=value, "],
    "-m architecture.kernel_size=3,50": ["arm kernel_size=50: architecture.kernel_size=50: must lie between 1 and 11."],
    "-m architecture.padding=same,valid architecture.kernel_size=3,9": ["kernel_size=9", "8x8"],
    "-m architecture.kernel_sise=3,5": [
        "arm kernel_sise=3: architecture.kernel_sise=3: no such key",
        "'architecture.kernel_size'",
    ],
    "-m architecture=cnn,mlp architecture.filters=[4,8]": [
        "arm architecture=mlp: ",
        "architecture.filters=[4,8]: no such key",
        "type, hidden",
    ],
    "-m data=digits,nosuch": ["data=nosuch: no such data. Allowed: ", "cifar10, cifar100, digits, "],
    "-m seed=0,-1": ["seed=-1: must lie between 0 and 4294967295."],
    # what would let a command line name code to run
    "hydra.launcher._target_=os.system": ["hydra.launcher._target_=os.system: a configuration cannot name code"],
    "+architecture._target_=os.system": ["+architecture._target_=os.system: a configuration cannot name code"],
    "+hydra.callbacks.x.y=1": ["+hydra.callbacks.x.y=1: a configuration cannot name code"],
    "hydra/callbacks=x": ["hydra/callbacks=x: a configuration cannot name code"],
    "hydra/job_logging=default": ["hydra/job_logging=default: a configuration cannot name code"],
    "hydra.job_logging.version=1": ["hydra.job_logging.version=1: a configuration cannot name code"],
    "--experimental-rerun=job.pickle": ["--experimental-rerun: not supported"],
    "--experimental-rerun job.pickle": ["--experimental-rerun: not supported"],
}


@pytest.fixture
def no_gpu(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_gets_one_clear_message_and_leaves_nothing(line, command, workdir):
    done = command("train", line)
    refused(done, *MISTAKES[line])
    assert left_in(workdir) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data.limit_train=2000", "data.limit_train=2000: there are only 1258 training examples."),
        ("data.limit_train=5", "data.limit_train=5: leaves no training example of"),
        ("-m data.limit_train=100,2000", "data.limit_train=2000: there are only 1258 training examples."),
    ],
)
def test_what_only_the_data_can_tell_leaves_no_more_than_prepared_data(line, said, command, workdir):
    refused(command("train", line), said)
    assert [name for name in left_in(workdir) if not name.startswith("prepared")] == []


def test_a_missing_gpu_is_named(command, workdir, no_gpu):
    refused(command("train", "trainer=gpu"), "trainer.devices=1: this machine has 0 GPUs. Use trainer=cpu.")
    refused(command("train", "trainer=ddp"), "trainer.devices=2: this machine has 0 GPUs.")
    assert left_in(workdir) == []


def test_a_folder_below_a_file_is_refused(command, workdir):
    (workdir / "file").touch()
    refused(command("train", "tracking=none runs_dir=file/runs"), "file/runs")
    refused(command("train", "tracking=none data.prepared_dir=file/prepared"), "data.prepared_dir=file/prepared")
    refused(command("train", "tracking=none data=mnist data.root=file"), "data.root=file: is a file, not a folder.")
    assert left_in(workdir) == ["file"]


def test_a_tracking_database_that_is_none_is_named(command, workdir):
    (workdir / "mlflow.db").write_bytes(b"not a database, but longer than its header of 16 bytes")
    done = command("train", f"tracking.uri=sqlite:///{workdir}/mlflow.db")
    refused(done, f"tracking.uri=sqlite:///{workdir}/mlflow.db: cannot be used", "tracking=none")


def test_a_directory_that_holds_a_run_is_not_written_again(command, workdir):
    assert command("train", f"{TINY} dir=here").code == 0
    before = {path: path.read_bytes() for path in (workdir / "here").rglob("*") if path.is_file()}
    refused(command("train", f"{TINY} seed=1 dir=here"), "dir=here: holds another run.")
    assert {path: path.read_bytes() for path in (workdir / "here").rglob("*") if path.is_file()} == before


def test_a_directory_that_holds_a_sweep_is_not_written_again(command, workdir):
    (workdir / "here").mkdir()
    (workdir / "here" / "sweep.json").write_text('{"jobs": []}')
    refused(command("train", f"-m {TINY} seed=0,1 dir=here"), "here/sweep.json: is damaged, or was written by another")
    assert (workdir / "here" / "sweep.json").read_text() == '{"jobs": []}'
    assert command("train", f"-m {TINY} seed=0 dir=sweep").code == 0
    before = (workdir / "sweep" / "sweep.json").read_bytes()
    refused(command("train", f"-m {TINY} seed=1 dir=sweep"), "dir=sweep: holds another sweep.")
    assert (workdir / "sweep" / "sweep.json").read_bytes() == before


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("init", "", ["no folder is named.", "convtrial init my-project"]),
        ("init", "one two", ["one two: one folder at a time."]),
        ("init", "a=b", ["a=b: no such key.", "Allowed: output"]),
        ("init", "mine output=xml", ["output=xml: must be one of table, json."]),
        ("init", "/proc/x", ["/proc/x: cannot be made or written"]),
        ("prepare", "data=nosuch", ["data=nosuch: no such data.", "digits"]),
        ("prepare", "data.root=/nowhere", ["data.root=/nowhere: no such folder."]),
        ("prepare", "data.siez=8", ["data.siez=8: no such key", "Did you mean 'data.size'?"]),
        ("prepare", "-m data.size=8,16", ["-m: this command runs one configuration at a time"]),
        ("prepare", "data.size=8,16", ["data.size=8,16: "]),
        ("compare", "sweep=latest", ["sweep=latest: no sweep under runs_dir=runs."]),
        ("compare", "sweep=/nowhere", ["sweep=/nowhere: not a sweep directory"]),
        ("compare", "swep=latest", ["swep=latest: no such key", "Did you mean 'sweep'?"]),
        ("compare", "output=xml", ["output=xml: must be one of table, json, markdown, latex, csv"]),
        ("compare", "-m sweep=a,b", ["-m: this command runs one configuration at a time"]),
        ("evaluate", "", ["run=null: name a run directory"]),
        ("evaluate", "run=/nowhere", ["run=/nowhere: not a run directory"]),
        ("evaluate", "run=. checkpoint=first", ["checkpoint=first: must be one of best, last."]),
        ("evaluate", "run=. output=xml", ["output=xml: must be one of table, json."]),
        (
            "evaluate",
            "+foo=1",
            ["+foo=1: no such key", "run, against, checkpoint, invariance, diagnosis, inside"],
        ),
        ("claims", "", ["runs_dir=runs: no such folder."]),
        ("claims", "runs_dir=.", ["runs_dir=.: no sweep with a verdict below it.", "python -m pipeline.train -m"]),
        (
            "claims",
            "runs/claims",
            ["runs/claims: not understood; an override is key=value, ", "Keys are runs_dir, out"],
        ),
        ("claims", "output=xml", ["output=xml: must be one of table, json, markdown."]),
        ("dashboard", "", ["sweep=latest: no sweep under runs_dir=runs."]),
        ("dashboard", "output=xml", ["output=xml: must be one of table, json."]),
        ("dashboard", "port=70000", ["port=70000: must lie between 1 and 65535."]),
        ("compare", "+foo=1", ["+foo=1: no such key", "sweep, runs_dir, out, output"]),
    ],
)
def test_the_other_commands_are_as_clear(module, line, said, command, workdir):
    refused(command(module, line), *said)
    assert left_in(workdir) == []


def test_our_own_errors_are_not_dressed_up_as_the_users(command, monkeypatch):
    def broken(cfg):
        raise KeyError("ours")

    monkeypatch.setattr(train, "job", broken)
    with pytest.raises(KeyError, match="ours"):
        command("train", "")


def test_input_errors_are_the_users(command, monkeypatch):
    def broken(cfg):
        raise InputError("x=1: must be 2.")

    monkeypatch.setattr(train, "job", broken)
    refused(command("train", ""), "error: x=1: must be 2.\n")


def test_interrupted_exits_with_75(command, monkeypatch):
    def interrupted(cfg):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "job", interrupted)
    assert command("train", "").code == cli.INTERRUPTED == 75


def test_a_signal_that_came_out_as_a_mistake_of_the_users(command, monkeypatch):
    def mistaken(cfg):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except stopping.Stopped:
            raise InputError("x=1: must be 2.") from None

    monkeypatch.setattr(train, "job", mistaken)
    done = command("train", "")
    assert (done.code, done.err) == (75, "Interrupted.\n")


def test_an_exit_code_passes_through(command, monkeypatch):
    monkeypatch.setattr(train, "job", lambda cfg: cli.FAILED)
    assert command("train", "").code == 1
    monkeypatch.setattr(train, "job", lambda cfg: cli.DONE)
    assert command("train", "").code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian seed=1", "error: trian: no such command. Did you mean 'train'? Commands: init, prepare, plan, train"),
        ("completon", "error: completon: no such command. Did you mean 'completion'?"),
        ("seed=1", "error: seed=1: no such command. Commands: init, prepare"),
        ("-m experiment=demo", "error: -m: a command comes first. Commands: init, prepare"),
        ("completion", "error: completion: must be one of bash, zsh, fish. As in: source <(convtrial completion bash)"),
    ],
)
def test_what_is_no_command(line, said, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["convtrial", *line.split()])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(said)


@pytest.mark.parametrize("line", ["", "--help", "-h"])
def test_no_command_lists_them(line, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["convtrial", *line.split()])
    __main__.main()
    out, err = capfd.readouterr()
    assert err == ""
    for name, does in __main__.COMMANDS.items():
        assert f"  {name:10} {does}\n" in out
    assert "source <(convtrial completion bash)" in out


@pytest.mark.parametrize("line", ["architecture.kernel_sise=3", "-m architecture.kernel_size=3,50"])
def test_a_mistake_in_a_process_of_its_own(line, process, workdir):
    done = process("train", line)
    refused(done, *MISTAKES[line])
    assert left_in(workdir) == []
