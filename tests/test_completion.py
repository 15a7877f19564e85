"""What Tab offers: by the module that is asked, and at real shells."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest
from running import REPOSITORY, left_in

from pipeline import cli, completion, groups
from pipeline.__main__ import COMMANDS


def offered(line):
    """What the line up to the cursor may end in."""
    return [text for text, _ in completion.offers(completion.split(line), COMMANDS)]


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("convtrial ", [*COMMANDS, "completion", "--help", "--version"]),
        ("convtrial t", ["train"]),
        ("convtrial train", ["train"]),
        ("FOO=1 nice .venv/bin/convtrial pl", ["plan"]),
        ("convtrial nosuch ", []),
        ("other train ", []),
        ("convtrial completion ", ["bash", "zsh", "fish"]),
        ("convtrial completion bash ", []),
        ("python -m pipeline.tr", ["pipeline.train"]),
        ("python3.12 -W error -m pipeline.train experiment=pool_order_g", ["experiment=pool_order_game"]),
        ("python -m pipeline prep", ["prepare"]),
        ("python -m other.train ", []),
        ("python pipeline.tr", []),
        # keys: groups and sections first, then the keys of a section
        ("convtrial train arch", ["architecture=", "architecture."]),
        ("convtrial train architecture.pad", ["architecture.padding="]),
        ("convtrial train architecture=mlp architecture.", [
            f"architecture.{key}="
            for key in ("type", "hidden", "activation", "norm", "dropout", "match", "match_reference", "embedding")]),
        ("convtrial train architecture=cnn,mlp architecture.hid", ["architecture.hidden="]),
        ("convtrial train kernel_s", ["architecture.kernel_size="]),  # by its last name
        ("convtrial train +seed", ["+seed=", "+seeds="]),
        ("convtrial train data@", ["data@transfer.pretrain="]),
        ("convtrial train transfer.pretrain.siz", []),
        ("convtrial train data@transfer.pretrain=mnist transfer.pretrain.siz", ["transfer.pretrain.size="]),
        ("convtrial train hydra", ["hydra/launcher=", "hydra."]),
        ("convtrial train hydra/launcher=slurm hydra.launcher.gpus_per_n", ["hydra.launcher.gpus_per_node="]),
        ("convtrial prepare opt", []),  # which it does not read
        ("convtrial plan run", ["runs_dir="]),
        ("convtrial sync ", ["runs_dir=", "uri=", "artifacts=", "again=", "output="]),
        # values, and the rest of a sweep or a list
        ("convtrial train architecture.padding=", ["architecture.padding=same", "architecture.padding=valid"]),
        ("convtrial train -m architecture.padding=same,", ["architecture.padding=same,valid"]),
        ("convtrial train -m architecture.padding=same,v", ["architecture.padding=same,valid"]),
        ("convtrial train augmentation.transforms=ro", ["augmentation.transforms=[rotate"]),
        ("convtrial train augmentation.transforms=[rotate,ro", []),
        ("convtrial train optimizer.lr=", ["optimizer.lr=tuned"]),
        ("convtrial train trainer.deterministic=f", ["trainer.deterministic=false"]),
        ("convtrial train transfer.network=BnB", ["transfer.network=BnB", "transfer.network=BnB+"]),
        ("convtrial train -m experiment=demo,dep", ["experiment=demo,depth"]),
        ("convtrial train data@transfer.pretrain=mn", ["data@transfer.pretrain=mnist"]),
        ("convtrial train hydra/launcher=w", ["hydra/launcher=workers"]),
        ("convtrial train nosuch=", []),
        ("convtrial train seed=", []),
        ("convtrial train 'architecture.padding=v", ["architecture.padding=valid"]),
        ("convtrial compare output=", [f"output={name}" for name in ("table", "json", "markdown", "latex", "csv")]),
        # flags
        ("convtrial train --hy", ["--hydra-help"]),
        ("convtrial train --cfg ", ["job", "hydra", "all"]),
        ("convtrial train --cfg=j", ["--cfg=job"]),
        ("convtrial train --help trainer.st", ["trainer.strategy", "trainer.stack"]),
        ("convtrial train --help arch", ["architecture"]),
    ],
)  # fmt: skip
def test_what_is_offered(line, texts):
    assert offered(line) == texts


def test_every_flag_of_ours_is_offered():
    offers = offered("convtrial train -")
    assert {"-m", "--multirun", "--help", "--cfg", "--config-dir"} <= set(offers)
    assert not {f"--{flag.replace('_', '-')}" for flag in cli.REFUSED} & set(offers)


def test_every_group_and_each_of_its_files_is_offered():
    for group in groups.defaults():
        folder = REPOSITORY / "conf" / group.partition("@")[0]
        names = {path.stem for path in folder.glob("*.yaml")} | ({"basic"} if group == "hydra/launcher" else set())
        assert set(offered(f"convtrial train {group}=")) == {f"{group}={name}" for name in names}


def test_what_it_means_stands_beside_it():
    said = dict(completion.offers(["convtrial", "train", "architecture.kernel"], COMMANDS))
    assert said == {"architecture.kernel_size=": "side of a kernel in pixels"}
    said = dict(completion.offers(["convtrial", "train", "experiment=padd"], COMMANDS))
    assert said["experiment=padding"] == "same padding gives better results than valid"


def test_a_folder_of_ones_own(workdir):
    (workdir / "mine/experiment").mkdir(parents=True)
    (workdir / "mine/experiment/odd.yaml").write_text(
        "# @package _global_\n# Is it odd?\ndefaults: [{override /architecture: small}]\n"
    )
    (workdir / "mine/architecture").mkdir()
    (workdir / "mine/architecture/small.yaml").write_text("defaults: [mlp, _self_]\n")
    for flag in ("--config-dir mine", "-cd mine", "--config-dir=mine"):
        assert offered(f"convtrial train {flag} experiment=od") == ["experiment=odd"]
        assert offered(f"convtrial train {flag} architecture=small architecture.hid") == ["architecture.hidden="]
        assert offered(f"convtrial train {flag} experiment=odd architecture.hid") == ["architecture.hidden="]
    assert offered("convtrial train experiment=od") == []
    assert offered("convtrial train --config-dir m") == ["mine/"]


def test_files_runs_and_sweeps(workdir):
    for name in ("photos/ants", "runs/kernel_size/first/a", ".hidden"):
        (workdir / name).mkdir(parents=True)
    (workdir / "photos.csv").touch()
    (workdir / "runs/kernel_size/first/sweep.json").touch()
    (workdir / "runs/kernel_size/first/a/run.json").touch()
    assert offered("convtrial train data.root=pho") == ["data.root=photos/", "data.root=photos.csv"]
    assert offered("convtrial train data.root=photos/") == ["data.root=photos/ants/"]
    assert offered("convtrial train data.root=") == ["data.root=photos/", "data.root=photos.csv", "data.root=runs/"]
    assert offered("convtrial train data.root=nowhere/") == []
    assert offered("convtrial compare sweep=") == ["sweep=latest", "sweep=runs/"]
    assert offered("convtrial compare sweep=runs/kernel_size/") == ["sweep=runs/kernel_size/first"]
    assert offered("convtrial evaluate run=runs/kernel_size/f") == ["run=runs/kernel_size/first/"]
    assert offered("convtrial evaluate run=runs/kernel_size/first/") == ["run=runs/kernel_size/first/a"]
    assert offered("convtrial evaluate run=pho") == ["run=photos/"]


def test_a_folder_of_somebody_elses_is_listed_and_never_obeyed(workdir, capsys):
    """Nothing said, nothing run, nothing waited for, whatever lies there."""
    folder = workdir / "theirs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text("# \x1b]0;title\x07 \t bad\ndefaults: !!python/object/apply:os.mkdir [ran]\n")
    (folder / "worse.yaml").write_text("defaults: [\n")
    (folder / "$(touch ran).yaml").touch()
    (folder / "x\ny.yaml").touch()
    os.mkfifo(folder / "pipe.yaml")
    before = left_in(workdir)
    for word in ("experiment=", "experiment=worse architecture.", "experiment=bad architecture.pad"):
        typed = ["convtrial", "train", "--config-dir", "theirs", *word.split()]
        for shell in ("zsh", "fish"):
            assert completion.main([shell, *typed], COMMANDS) == 0
        assert completion.main(["bash", " ".join(typed), ""], COMMANDS) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "experiment=bad" in said.out
    assert "architecture.padding=" in said.out
    assert not re.search(r"touch|pipe\b|\x1b|\x07", said.out)
    assert left_in(workdir) == before


@pytest.mark.parametrize(
    "line", ["", "convtrial", "convtrial train '", 'convtrial train "a\\', "convtrial train \\", "é"]
)
def test_no_line_is_too_odd(line, capsys):
    assert completion.main(["bash", line, ""], COMMANDS) == 0
    assert capsys.readouterr().err == ""


def test_a_shell_that_is_none(capsys):
    assert completion.main(["fisch"], COMMANDS) == 2
    assert "completion fisch: must be one of bash, zsh, fish. Did you mean 'fish'?" in capsys.readouterr().err
    assert completion.main([], COMMANDS) == 2


# ---- real shells


class Shell:
    """A shell at a terminal of its own, in which Ctrl-G shows the line that is typed, and clears it."""

    def __init__(self, program, words, setup, folder):
        pid, self.end = pty.fork()
        if pid == 0:
            os.chdir(folder)
            home = {"HOME": str(folder / "home"), "XDG_CONFIG_HOME": str(folder / "home"), "INPUTRC": "/dev/null"}
            kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
            os.execve(program, [program, *words], {**kept, **home, "TERM": "dumb", "COLUMNS": "200"})
        self.pid = pid
        self.send(f"{setup}\necho rea''dy\n")
        self.wait(r"(ready)\r?\n")

    def send(self, text):
        os.write(self.end, text.encode())

    def wait(self, pattern):
        seen, limit = "", time.monotonic() + 60
        while not (found := re.search(pattern, seen, re.S)):
            assert time.monotonic() < limit, seen
            if select.select([self.end], [], [], 0.2)[0]:
                seen += os.read(self.end, 65536).decode(errors="replace")
        return found[1]

    def after_tab(self, line):
        self.send(f"{line}\t\x07")
        return self.wait(r"<<(.*?)>>")

    def close(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.end)


SETUPS = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        'bind "set bell-style none"; bind "set enable-bracketed-paste off"; bind "set page-completions off"\n'
        'shown() { printf "<<%s>>\\n" "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }\n'
        "bind -x '\"\\C-g\": shown'\nsource ./script\n",
    ),
    "zsh": (
        ["-f", "-i"],
        "unset zle_bracketed_paste; setopt no_beep; LISTMAX=1000\n"
        'shown() { print -r -- "<<$BUFFER>>"; BUFFER=; }; zle -N shown; bindkey "^G" shown\nsource ./script\n',
    ),
    "fish": (
        ["--private", "-i"],
        "function shown; printf '<<%s>>\\n' (commandline); commandline ''; end; bind \\cg shown\nsource ./script\n",
    ),
}


@pytest.fixture(scope="module", params=SETUPS)
def shell(request, tmp_path_factory):
    """(its name, its terminal) in a folder with a file; what `completion` printed is sourced."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"no {request.param} here")
    folder = tmp_path_factory.mktemp(request.param)
    for name in ("home", "my photos", "mine/experiment"):
        (folder / name).mkdir(parents=True)
    (folder / "mine/experiment/odd.yaml").touch()
    (folder / "notes.txt").touch()
    # From another folder, without the environment on the path: the script knows whom to ask.
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "completion", request.param],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (folder / "script").write_text(done.stdout)
    words, setup = SETUPS[request.param]
    made = Shell(program, words, setup, folder)
    yield request.param, made
    made.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("convtrial tra", "convtrial train "),
        ("convtrial train architec", "convtrial train architecture"),
        ("convtrial train architecture.pad", "convtrial train architecture.padding="),
        ("convtrial train architecture.padding=s", "convtrial train architecture.padding=same "),
        ("convtrial train -m architecture.pool=max,a", "convtrial train -m architecture.pool=max,avg "),
        ("convtrial train kernel_s", "convtrial train architecture.kernel_size="),
        ("convtrial train data@transfer.pretrain=fash", "convtrial train data@transfer.pretrain=fashion_mnist "),
        ("convtrial train --config-dir mine experiment=o", "convtrial train --config-dir mine experiment=odd "),
        ("convtrial train 'architecture.padding=v", "convtrial train 'architecture.padding=valid' "),
        ("convtrial train data.root=my", "convtrial train data.root=my\\ photos/"),
        ("convtrial train data.root=my\\ ph", "convtrial train data.root=my\\ photos/"),
        ("python -m pipeline.comp", "python -m pipeline.compare "),
        ("python -m pipeline.compare sweep=la", "python -m pipeline.compare sweep=latest "),
        ("python no", "python notes.txt "),  # none of ours
    ],
)  # fmt: skip
def test_tab(typed, line, shell):
    name, terminal = shell
    wanted = line.rstrip() if name == "bash" and "'" in line else line  # bash closes the quote and stays there
    assert terminal.after_tab(typed) == wanted
