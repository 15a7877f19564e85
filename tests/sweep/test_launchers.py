"""Sweeps by our own workers, joblib's and on a local Ray cluster give what one process gives.

SLURM's are in test_slurm.py, and those of Ray on two nodes in test_ray.py.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from run_state import ledger, state, states, tracked
from running import REPOSITORY, TINY, Done, begin, call, left_in, refused

from hydra_plugins.local_workers import WorkersLauncher
from pipeline import rundir, stopping
from pipeline.sweep import launchers, stop_file

TRACKED = TINY.replace("tracking=none", "tracking=local")
BASIC = "hydra/launcher=basic"  # in the command's own process
WORKERS = ""  # where none is named
JOBLIB = "hydra/launcher=joblib hydra.launcher.n_jobs=2"
RAY = "hydra/launcher=ray hydra.launcher.ray.init.num_cpus=2"

# A run of some seconds after the first epoch, to stop and to kill.
LONG = f"{TINY} trainer.max_epochs=150 architecture.block=CNAP"


def means(verdict):
    """What a verdict says of each level, without what the runs cost."""
    keys = ("level", "n", "mean", "sd", "difference", "low", "high", "verdict")
    return [[level[key] for key in keys] for one in verdict["factors"].values() for level in one["levels"]]


def test_a_signal_that_something_swallowed_stops_the_sweep_all_the_same(tmp_path):
    with stopping.interruptible():
        with contextlib.suppress(stopping.Stopped):  # as a destructor or a library does that was just at work
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(stopping.Stopped, match="SIGTERM"):
            launchers.launch(WorkersLauncher(cores=1), [], tmp_path)


def all_alike(folder, line, runs, engines):
    """The sweep `line` by one process and by each of `engines`, in folders of their own: all there, all equal."""
    found = {}
    for name, engine in {"serial": BASIC, **engines}.items():
        (folder / name).mkdir()
        began = time.monotonic()
        done = call(folder / name, "train", f"-m {line} dir=sweep output=json {engine}", 1100)
        print(f"{name}: {runs} runs in {time.monotonic() - began:.0f} s")
        assert done.code == 0, done.err
        assert [run["status"] for run in done.document["runs"]] == ["finished"] * runs
        assert done.err.count("test/acc 0.") == runs  # the progress line of each
        assert sorted(path.name for path in (folder / name).iterdir()) == ["mlruns", "prepared", "sweep"]
        shown = tracked(folder / name)
        assert len(shown["runs"]) == runs
        assert {status for _, status in shown["runs"]} == {"FINISHED"}
        assert shown["parents"] == ["FINISHED"]
        found[name] = (states(folder / name / "sweep"), shown, means(done.document["verdict"]))
    for name in engines:
        assert found[name] == found["serial"], name


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_sweep_of_200_runs(endurance, tmp_path):
    seeds = ",".join(map(str, range(50 // endurance)))
    kinds = "architecture.filters=[4] architecture.kernel_size=3,5 architecture.padding=same,valid"
    line = f"{TRACKED} {kinds} seed={seeds}"
    all_alike(tmp_path, line, 200 // endurance, {"workers": WORKERS, "joblib": JOBLIB, "ray": RAY})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What three long runs leave that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = call(folder, "train", f"-m {LONG} seed=0,1,2 dir=sweep", 600)
    assert done.code == 0, done.err
    return states(folder / "sweep")


def both_train(process, sweep):
    """Until two runs of the sweep have a checkpoint."""
    end = time.monotonic() + 200
    while len(list(sweep.glob("*/checkpoints/last.ckpt"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("engine", "other", "number", "group"),
    [
        (WORKERS, BASIC, signal.SIGTERM, False),
        (WORKERS, WORKERS, signal.SIGINT, True),  # Ctrl-C
        (JOBLIB, BASIC, signal.SIGTERM, False),
        (JOBLIB, RAY, signal.SIGINT, True),  # Ctrl-C
        (RAY, JOBLIB, signal.SIGTERM, False),
    ],
    ids=["workers", "workers-ctrl-c", "joblib", "joblib-ctrl-c", "ray"],
)
def test_stopped_and_taken_up_by_another_launcher(engine, other, number, group, undisturbed, workdir):
    line = f"-m {LONG} seed=0,1,2 output=json"
    process = begin(workdir, f"{line} dir=sweep {engine}")
    both_train(process, workdir / "sweep")
    began = time.monotonic()
    os.killpg(process.pid, number) if group else process.send_signal(number)
    out, err = process.communicate(timeout=100)
    took = time.monotonic() - began
    print(f"ended {took:.1f} s after the signal")
    assert took < stop_file.PATIENCE_S + 15
    assert process.returncode == 75, err
    found = ledger(workdir / "sweep")
    assert set(found.values()) == {"interrupted"}, found
    assert json.loads(out)["runs"][0]["status"] == "interrupted"
    saved = torch.load(workdir / "sweep/000_seed-0/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert 0 < saved < 150 * 2
    done = call(workdir, "train", f"{line} dir=sweep {other}", 600)
    assert done.code == 0, done.err
    assert "goes on" in done.err
    assert states(workdir / "sweep") == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", [JOBLIB, RAY], ids=["joblib", "ray"])
def test_a_killed_worker_ends_the_sweep_and_the_next_command_goes_on(engine, workdir):
    line = f"-m {LONG} seed=0,1,2 dir=sweep output=json {engine}"
    process = begin(workdir, line)
    both_train(process, workdir / "sweep")
    began = time.monotonic()
    os.kill(rundir.get_status(workdir / "sweep/000_seed-0").pid, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    print(f"ended {time.monotonic() - began:.1f} s after the kill")
    done = Done(process.returncode, out, err)
    assert done.code == 75, err
    assert "the launcher gave up" in err
    assert "Traceback" not in err
    assert done.document["runs"][0]["status"] == "interrupted"
    done = call(workdir, "train", line, 600)
    assert done.code == 0, done.err
    assert [run["status"] for run in done.document["runs"]] == ["finished"] * 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_worker_costs_its_run_alone(undisturbed, workdir):
    """Another takes its place; the next command takes up the run."""
    line = f"-m {LONG} seed=0,1,2 dir=sweep output=json"
    process = begin(workdir, line)
    both_train(process, workdir / "sweep")
    os.kill(rundir.get_status(workdir / "sweep/000_seed-0").pid, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    done = Done(process.returncode, out, err)
    assert done.code == 75, err
    assert "process of the sweep was killed by SIGKILL" in err
    assert [run["status"] for run in done.document["runs"]] == ["interrupted", "finished", "finished"]
    done = call(workdir, "train", line, 600)
    assert done.code == 0, done.err
    assert states(workdir / "sweep") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False], ids=["script", "standard-input"])
def test_a_script_that_trains_as_it_is_read(named, workdir):
    """No worker reads it again."""
    script = "from pipeline.train import main\nmain()\n"
    (workdir / "mine.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "mine.py" if named else "-", "-m", *f"{TINY} seed=0,1 dir=sweep output=json".split()],
        input=script, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(ledger(workdir / "sweep").values()) == ["finished"] * 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", [WORKERS, JOBLIB], ids=["workers", "joblib"])
def test_sources_under_way_are_stopped_too(engine, workdir):
    line = f"-m {LONG} trainer.max_epochs=4000 transfer=fine_tune data@transfer.pretrain=photo_patches"
    process = begin(workdir, f"{line} transfer.pretrain.limit_train=64 seed=0,1 output=json {engine}")
    sources = workdir / "runs/train/sources"
    both_train(process, sources)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 75, err
    assert time.monotonic() - began < stopping.GRACE_S
    assert list(ledger(sources).values()) == ["interrupted"] * 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("engine", "count"),
    [("hydra/launcher=joblib hydra.launcher.n_jobs=3", 3), ("hydra.launcher.cores=3", 2)],  # ours come as there is work
    ids=["joblib", "workers"],
)
def test_workers_end_with_their_command(engine, count, workdir):
    """Killed without notice, while one of its workers is in a run, one behind its last, and one had none."""
    sweep, line = workdir / "sweep", f"-m {LONG} trainer.max_epochs=1,4000 dir=sweep"
    process = begin(workdir, f"{line} {engine}")
    both_train(process, sweep)
    end = time.monotonic() + 60
    while set(ledger(sweep).values()) != {"finished", "running"}:
        assert time.monotonic() < end, ledger(sweep)
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    server = [one for one in below if any("forkserver" in a for a in one.cmdline()) and one.ppid() == process.pid]
    workers = [one for one in below if one.ppid() in [s.pid for s in server] or "popen_loky" in str(one.cmdline())]
    assert len(workers) == count
    (run,) = (run for run in sweep.glob("00*") if rundir.get_status(run).status == "running")
    (busy,) = (one for one in workers if one.pid == rundir.get_status(run).pid)
    process.kill()
    _, alive = psutil.wait_procs([one for one in workers if one != busy], timeout=8)
    assert alive == []
    _, alive = psutil.wait_procs([busy], timeout=30)
    assert alive == []
    _, alive = psutil.wait_procs(below, timeout=20)  # servers and trackers of resources end after their workers
    assert alive == []
    process.communicate(timeout=10)  # nobody holds its output any more
    assert sorted(ledger(sweep).values()) == ["finished", "interrupted"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", [WORKERS, JOBLIB], ids=["workers", "joblib"])
def test_runs_may_have_loader_workers(engine, process):
    done = process("train", f"-m {TINY} data.num_workers=1 seed=0,1 dir=sweep output=json {engine}")
    assert done.code == 0, done.err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_relative_folders_mean_what_they_mean_here(workdir):
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8) * 15, digits.target
    (workdir / "mine").mkdir()
    np.savez(
        workdir / "mine" / "set.npz",
        x_train=images[:1400], y_train=labels[:1400], x_test=images[1400:], y_test=labels[1400:],
    )  # fmt: skip
    line = f"-m {TINY} data=npz data.root=mine/set.npz data.size=8 runs_dir=here seed=0,1 output=json"
    done = call(workdir, "train", f"{line} {RAY}", 300)
    assert done.code == 0, done.err
    assert [run["status"] for run in done.document["runs"]] == ["finished", "finished"]
    assert sorted(path.name for path in workdir.iterdir()) == ["here", "mine", "prepared"]


# ---- refused, at once


@pytest.mark.parametrize("name", ["joblib", "slurm", "ray"])
def test_a_missing_package_is_named_with_what_installs_it(name, command, workdir, monkeypatch):
    from hydra.core.plugins import Plugins

    kept = {k: v for k, v in Plugins.instance().class_name_to_class.items() if f"hydra_{name}" not in k}
    kept = {k: v for k, v in kept.items() if "submitit" not in k}
    monkeypatch.setattr(Plugins.instance(), "class_name_to_class", kept)
    done = command("train", f"-m {TINY} seed=0,1 hydra/launcher={name}")
    refused(done, f"hydra/launcher={name}", "make install", f"pip install -e '.[{name}]'")
    assert name in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert left_in(workdir) == []


def test_slurm_without_sbatch(command, workdir, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    refused(command("train", f"-m {TINY} seed=0,1 hydra/launcher=slurm"), "no sbatch here")
    assert left_in(workdir) == []


@pytest.mark.parametrize("count", ["0", "-1", "many", "1.5", "[2]"])
def test_a_number_of_cores_that_is_none(count, command, workdir):
    done = command("train", f"-m {TINY} seed=0,1 hydra/launcher=workers hydra.launcher.cores={count}")
    refused(done, f"hydra.launcher.cores={count}", "or null for all cores")
    assert left_in(workdir) == []


@pytest.mark.parametrize("count", ["0", "many", "null", "1.5"])
def test_a_number_of_processes_that_is_none(count, command, workdir):
    done = command("train", f"-m {TINY} seed=0,1 hydra/launcher=joblib hydra.launcher.n_jobs={count}")
    refused(done, "hydra.launcher.n_jobs=")
    assert left_in(workdir) == []


def test_several_hosts_train_one_run_at_a_time(command, workdir):
    line = f"-m {TINY} seed=0,1 trainer.num_nodes=2 trainer.rdzv_endpoint=localhost:29500 dir=here"
    refused(command("train", line), "trainer.num_nodes=2", "leave -m out")
    assert left_in(workdir) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trainer.num_nodes=2 dir=run", ["trainer.rdzv_endpoint=None", "HOST:PORT"]),
        ("trainer.num_nodes=2 dir=run trainer.rdzv_endpoint=host", ["trainer.rdzv_endpoint=host", "HOST:PORT"]),
        ("trainer.num_nodes=2 trainer.rdzv_endpoint=h:1", ["trainer.num_nodes=2", "dir="]),
        ("trainer.num_nodes=0", ["trainer.num_nodes=0", "at least 1"]),
        (
            "trainer.num_nodes=3 trainer.devices=2 dir=run trainer.rdzv_endpoint=h:1",
            ["data.batch_size=32", "trainer.devices=2 on each host of trainer.num_nodes=3", "try 30"],
        ),
    ],
)
def test_hosts_that_cannot_be(line, said, command, workdir):
    refused(command("train", f"{TINY} {line}"), *said)
    assert left_in(workdir) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("_target_: os.system\n", "os.system"),
        ("_target_: hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher\n"
         "ray: {init: {_target_: os.system, command: touch owned}, remote: {}}\n", "hydra.launcher.ray.init"),
    ],
)  # fmt: skip
def test_a_launcher_of_ones_own_cannot_name_code(text, said, command, workdir):
    folder = workdir / "conf/hydra/launcher"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(text)
    refused(command("train", f"--config-dir conf -m {TINY} seed=0,1 hydra/launcher=evil"), said)
    assert left_in(workdir) == ["conf", "conf/hydra", "conf/hydra/launcher", "conf/hydra/launcher/evil.yaml"]


@pytest.mark.slow
def test_large_networks_have_the_same_bits_under_every_launcher(process, workdir):
    """What a launcher grants (joblib: OMP_NUM_THREADS=1) used to decide the threads, and these the accuracies."""
    line = (
        "-m data.size=32 data.limit_train=192 data.batch_size=64 trainer.max_epochs=2 architecture.filters=[24,24] "
        "architecture.block=CACAP architecture.kernel_size=3,5 seed=0 tracking=none output=json"
    )
    alone = process("train", f"{line} dir=alone {BASIC}")
    workers = process("train", f"{line} dir=workers")
    shared = process("train", f"{line} dir=shared {JOBLIB}")
    assert alone.code == workers.code == shared.code == 0, alone.err + workers.err + shared.err
    found = [[Path(run["run"]) for run in done.document["runs"]] for done in (alone, workers, shared)]
    for runs in zip(*found, strict=True):
        assert [rundir.read_json(run / "run.json")["config"]["trainer"]["threads"] for run in runs] == [2] * 3
        assert state(runs[0]) == state(runs[1]) == state(runs[2])


def test_the_presets_say_all_that_their_launchers_take():
    """They stand in for the packages' own schemas, whose keys could not be set otherwise."""
    import yaml
    from hydra_plugins.hydra_joblib_launcher.config import JobLibLauncherConf
    from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

    ours = {"runs_per_job"}
    for name, schema in {"joblib": JobLibLauncherConf, "slurm": SlurmQueueConf}.items():
        preset = yaml.safe_load((Path(REPOSITORY) / f"conf/hydra/launcher/{name}.yaml").read_text())
        assert set(preset) - ours == set(schema.__dataclass_fields__)
        assert preset["_target_"] == schema._target_
