"""What `-m` makes of a command line: its factors, its arms, its directories."""

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import TINY, begin, call, hydra_reset, left_in, refused, strict_json

from pipeline import cli, config, names, rundir
from pipeline.sweep import schedule

BARE = TINY.replace("architecture.filters=[4,8]", "")  # for any architecture


@pytest.fixture
def sweep(command):
    """Run a sweep into `sweep/`; returns its document and sweep.json."""

    def run(line):
        done = command("train", f"-m {TINY} {line} dir=sweep output=json")
        assert done.code == 0, done.err
        return done.document, rundir.read_json(Path("sweep/sweep.json"))

    return run


@pytest.fixture
def expanded(command, monkeypatch):
    """The factors and the (levels, seed) that a command line makes, without training."""
    found = {}
    expand = schedule.expand

    def note(asked):
        found["factors"], jobs = expand(asked)
        found["jobs"] = [(job.levels, job.seed) for job in jobs]
        raise KeyboardInterrupt

    monkeypatch.setattr(schedule, "expand", note)

    def run(line):
        assert command("train", f"-m {line}").code == 75
        return found["factors"], found["jobs"]

    return run


# ---- factors and levels


def test_every_arm_gets_every_seed(expanded):
    factors, jobs = expanded("architecture.kernel_size=3,5 architecture.padding=same,valid data.size=16 seed=0,1 "
                             "architecture.filters=[4,8]")  # fmt: skip
    assert factors == ["architecture.kernel_size", "architecture.padding"]
    assert jobs == [
        ({"architecture.kernel_size": kernel, "architecture.padding": padding}, seed)
        for kernel in (3, 5)
        for padding in ("same", "valid")
        for seed in (0, 1)
    ]


def test_levels_keep_their_types(expanded):
    _, jobs = expanded("optimizer.lr=0.1,1e-3")
    assert [job[0]["optimizer.lr"] for job in jobs] == [0.1, 0.001]
    _, jobs = expanded("architecture.filters=[4],[4,8]")
    assert [job[0]["architecture.filters"] for job in jobs] == [[4], [4, 8]]
    _, jobs = expanded("architecture.weight_sharing=true,false")
    assert [job[0]["architecture.weight_sharing"] for job in jobs] == [True, False]
    _, jobs = expanded("data.limit_train=100,0.5,null")
    assert [job[0]["data.limit_train"] for job in jobs] == [100, 0.5, None]
    _, jobs = expanded("architecture.block='CAP','CPA'")
    assert [job[0]["architecture.block"] for job in jobs] == ["CAP", "CPA"]


def test_ranges_and_choices_sweep_too(expanded):
    _, jobs = expanded("architecture.kernel_size=range(2,5) seed=range(2)")
    assert [(job[0]["architecture.kernel_size"], job[1]) for job in jobs] == [(k, s) for k in (2, 3, 4) for s in (0, 1)]
    _, jobs = expanded("architecture.kernel_size=choice(5,3)")
    assert [job[0]["architecture.kernel_size"] for job in jobs] == [5, 3]


def test_a_group_can_be_a_factor(expanded):
    factors, jobs = expanded("architecture=cnn,mlp optimizer=adam,sgd")
    assert factors == ["architecture", "optimizer"]
    assert [tuple(job[0].values()) for job in jobs] == [
        ("cnn", "adam"),
        ("cnn", "sgd"),
        ("mlp", "adam"),
        ("mlp", "sgd"),
    ]


def test_what_is_typed_replaces_the_experiments_own_levels(expanded):
    factors, jobs = expanded("experiment=padding seed=7,8")
    assert factors == ["architecture.padding"]
    assert [job[1] for job in jobs] == [7, 8, 7, 8]
    factors, jobs = expanded("experiment=kernel_size architecture.kernel_size=2,3 seed=0")
    assert jobs == [({"architecture.kernel_size": kernel}, 0) for kernel in (2, 3)]


def test_a_fixed_value_in_place_of_levels_is_no_factor(expanded):
    factors, jobs = expanded("experiment=demo architecture.padding=same seed=0")
    assert factors == ["architecture.kernel_size", "architecture.block"]
    assert len(jobs) == 4


def test_only_seeds_make_one_arm(expanded):
    factors, jobs = expanded("seed=0,1,2")
    assert factors == []
    assert jobs == [({}, 0), ({}, 1), ({}, 2)]


def test_nothing_swept_is_one_run(expanded):
    assert expanded("architecture.kernel_size=5") == ([], [({}, 0)])


# ---- what comes of it


def test_seeds_alone_end_without_a_factor(sweep):
    document, asked = sweep("seed=0,1")
    assert len(document["runs"]) == 2
    assert document["verdict"]["factors"] == {}
    assert [job["dir"] for job in asked["jobs"]] == ["000_seed-0", "001_seed-1"]


def test_a_sweep_of_one_run_ends_too(sweep):
    document, asked = sweep("")
    assert [run["status"] for run in document["runs"]] == ["finished"]
    assert [job["dir"] for job in asked["jobs"]] == ["000_seed-0"]


def test_each_job_trains_what_its_arm_says(command):
    done = command("train", f"-m {BARE} architecture=cnn,mlp optimizer.lr=0.1,0.01 output=json")
    document = done.document
    configs = [rundir.read_json(Path(run["run"]) / "run.json")["config"] for run in document["runs"]]
    assert [(one["architecture"]["type"], one["optimizer"]["lr"]) for one in configs] == [
        ("cnn", 0.1), ("cnn", 0.01), ("mlp", 0.1), ("mlp", 0.01),
    ]  # fmt: skip
    arms = [rundir.read_json(Path(run["run"]) / "run.json")["arm"] for run in document["runs"]]
    assert arms[2] == "architecture=mlp,lr=0.1"


@pytest.mark.parametrize("line", ["architecture.kernel_size=3,3 seed=0,1", "architecture.kernel_size=3,5 seed=0,0"])
def test_the_same_run_twice_is_refused(line, command, workdir):
    refused(command("train", f"-m {line}"), "kernel_size=3, seed=0: is listed twice")
    assert left_in(workdir) == []


def test_the_directories_names_can_be_typed(sweep):
    document, _ = sweep("'architecture.layers=[{flatten:{}},{dense:{}}],null' architecture.filters=[32,64,128]")
    for run in document["runs"]:
        assert re.fullmatch(r"[\w.-]+", Path(run["run"]).name)
        assert len(Path(run["run"]).name) <= 130


def test_a_sweep_may_lie_in_any_folder(command, monkeypatch):
    here = Path("a b,c=d'é[1]{x}$HOME(y)")
    here.mkdir()
    monkeypatch.chdir(here)
    done = command("train", f"-m {TINY} seed=0,1 output=json")
    assert done.code == 0, done.err
    assert len(list(Path.cwd().glob("runs/train/*/*/run.json"))) == 2


def test_a_sweep_directory_may_have_any_name(command, workdir):
    done = command("train", f"""-m {TINY} seed=0,1 "dir='a b,c=d\\'e'" output=json""")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (workdir / "a b,c=d'e").glob("0*")) == ["000_seed-0", "001_seed-1"]


def test_the_sweeps_own_file_says_what_was_asked(sweep):
    _, asked = sweep("seed=0,1 'experiment.question=Why?'")
    assert asked["experiment"]["question"] == "Why?"
    assert asked["command"][0] == "-m"
    assert asked["git_sha"]
    assert [("seed=0" in job["overrides"], "seed=1" in job["overrides"]) for job in asked["jobs"]] == [
        (True, False),
        (False, True),
    ]


def test_a_verdict_says_how_to_run_it_again_and_lies_there_as_tables(sweep, command, workdir):
    document, _ = sweep("architecture.kernel_size=3,5 seed=0,1 'experiment.question=Which one?'")
    origin = document["verdict"]["origin"]
    assert origin["command"].startswith("python -m pipeline.train -m data.limit_train=64")
    assert "'experiment.question=Which one?'" in origin["command"]
    assert [one for one in origin["versions"] if one.startswith("torch ")]
    assert (origin["runs"], len(origin["git_sha"]), len(origin["machine"])) == (4, 1, 1)
    assert origin["seconds"] == pytest.approx(
        sum(rundir.get_status(Path(run["run"])).seconds for run in document["runs"])
    )
    assert "How to run this again" in Path("sweep/report.html").read_text()
    for kind, name in (("markdown", "verdict.md"), ("latex", "verdict.tex"), ("csv", "verdict.csv")):
        done = command("compare", f"sweep=sweep out=out output={kind}")
        assert (
            done.out.splitlines()
            == Path(f"sweep/{name}").read_text().splitlines()
            == (Path(f"out/{name}").read_text().splitlines())
        )
    told = {one["name"]: one for one in document["verdict"]["gates"]}
    assert list(told)[:2] == ["runs finished", "comparisons without a pair"]
    # Of the digits the test split has 359, at most 37 of a class.
    assert told["accuracy above guessing"]["result"].endswith(f"and {37 / 359:.3f} for calling all the largest class")
    assert document["verdict"]["guardrails"][0]["gap"]["n"] == 2


def test_data_is_prepared_once_for_all_jobs(command, monkeypatch):
    from pipeline.data import preparing

    made = []
    make = preparing._make
    monkeypatch.setattr(preparing, "_make", lambda *args: made.append(args[2]) or make(*args))
    assert command("train", f"-m {TINY} data.size=8,16 seed=0,1").code == 0
    assert [path.name.rsplit("-", 1)[0] for path in made] == ["digits-8-stretch", "digits-16-stretch"]


def test_prepared_content_is_hashed_once_in_a_sweep(command, monkeypatch):
    from pipeline.data import soundness

    assert command("prepare").code == 0
    soundness._checked.clear()
    hashed = []
    sha256 = soundness.sha256
    monkeypatch.setattr(soundness, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    assert command("train", f"-m {TINY} seed=0,1").code == 0
    assert hashed.count("images.npy") == 1


NASTY = ["${x}", "${oc.env:HOME}", "a'b\"c", "a, b=c {d} [e]", "back\\slash", "end\\", "b\\'c", "b\\\\'c", "a\\${x}'"]


@pytest.mark.parametrize("name", NASTY)
def test_a_folder_of_any_name_stands_on_hydra_s_command_line(name):
    from hydra import compose, initialize_config_dir

    config.register()
    with hydra_reset(), initialize_config_dir(str(cli.CONF), version_base="1.3"):
        settings = config.from_hydra(compose("config", overrides=[f"dir={schedule.quoted(Path('/a') / name)}"]))
    assert settings.dir == f"/a/{name}"


@pytest.mark.parametrize("name", ["${x}", "a'b\"c"])
def test_a_sweep_in_a_folder_of_an_odd_name(workdir, name):
    folder = workdir / name
    for label in ("${y}", "d'e\"f", "[red]"):
        (folder / "photos" / label).mkdir(parents=True)
        for i in range(8):
            noise = np.random.default_rng([len(label), i]).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(noise).save(folder / "photos" / label / f"{i}.png")
    line = "data=image_folder data.root=photos data.size=8 data.batch_size=4"
    found = call(folder, "prepare", line)
    assert [words for words in ("${y}", "d'e\"f", "[red]") if words not in found.out] == []
    # MLflow itself writes a path with both quotes into SQL as it is.
    small = "trainer.max_epochs=1 trainer.threads=1 architecture.filters=[4,8]"
    tracking = "local" if "$" in name else "none"
    done = call(folder, "train", f"-m {line} {small} tracking={tracking} seed=0 output=json")
    assert done.code == 0, done.err
    assert done.document["runs"][0]["status"] == "finished"
    absolute = str(folder / "photos").replace("${", "\\${")
    if "$" in name:  # quotes are Hydra's to read
        assert call(folder, "prepare", f"data=image_folder data.size=8 'data.root={absolute}'").code == 0
        refused(call(folder, "prepare", f"data=image_folder 'data.root={folder}'"), "is written '\\${'")


def test_a_run_by_itself_ignores_the_levels_of_an_experiment(command):
    done = command("train", f"{TINY} experiment=padding optimizer.lr=0.001 output=json")
    assert done.code == 0
    asked = rundir.read_json(Path(done.document["run"]) / "run.json")
    assert asked["config"]["experiment"]["name"] == "padding"
    assert asked["config"]["architecture"]["padding"] == "same"


def test_arms_are_named_by_the_last_part_of_their_keys():
    assert names.arm({"architecture.kernel_size": 3, "data.size": 8}) == "kernel_size=3,size=8"
    assert names.arm({"a.x": 1, "b.x": [1, 2]}) == "a.x=1,b.x=[1,2]"
    assert names.arm({}) == ""


@pytest.mark.slow
def test_two_sweeps_at_once_keep_apart(workdir):
    line = f"-m {TINY} trainer.max_epochs=100 seed=0,1 output=json"
    first = begin(workdir, line)
    while first.poll() is None and not any(workdir.glob("runs/*/*/*/checkpoints/last.ckpt")):
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)  # or it might end before the second begins, which would find it finished
    try:
        second = call(workdir, "train", line)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    out, err = first.communicate(timeout=200)
    assert (first.returncode, second.code) == (0, 0), (err, second.err)
    documents = [strict_json(out), second.document]
    assert documents[0]["sweep"] != documents[1]["sweep"]
    assert [run["metrics"] for run in documents[0]["runs"]] == [run["metrics"] for run in documents[1]["runs"]]


def test_compare_refuses_a_sweep_that_has_no_runs(command, workdir):
    (workdir / "sweep").mkdir()
    (workdir / "sweep" / "sweep.json").write_text("{}")
    refused(command("compare", "sweep=sweep"), "sweep.json")


def test_a_run_and_a_sweep_do_not_share_a_directory(sweep, command, workdir):
    sweep("seed=0")
    assert command("train", f"{TINY} dir=run").code == 0
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    refused(command("train", f"{TINY} dir=sweep"), "dir=sweep: holds a sweep, not a run", "-m")
    refused(command("train", f"-m {TINY} seed=0,1 dir=run"), "dir=run: holds a run, not a sweep", "-m")
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == before
