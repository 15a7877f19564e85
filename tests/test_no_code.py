"""Files of somebody else's: nothing in them is executed. (Images: test_damaged; checkpoints: test_predict.)"""

import pickle
from pathlib import Path

import pytest
from running import TINY, left_in, refused

LAUNCHER = "_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n"
CALL = "{_target_: os.system, command: touch ran}"
# A file of a folder given with --config-dir, and the line that uses it.
FILES = {
    "a launcher": ("hydra/launcher/bad.yaml", "_target_: os.system\ncommand: touch ran\n", "hydra/launcher=bad"),
    "within a launcher": ("hydra/launcher/bad.yaml", f"{LAUNCHER}x: {CALL}\n", "hydra/launcher=bad"),
    "deep in a launcher": ("hydra/launcher/bad.yaml", f"{LAUNCHER}x: [[{CALL}]]\n", "hydra/launcher=bad"),
    "a sweeper": ("hydra/sweeper/bad.yaml", "_target_: os.system\ncommand: touch ran\n", "hydra/sweeper=bad"),
    "a callback": ("experiment/bad.yaml", f"hydra: {{callbacks: {{a: {CALL}}}}}", "experiment=bad"),
    "a callback, escaped": (
        "experiment/bad.yaml",
        'hydra: {callbacks: {a: {"\\x5ftarget_": os.system, command: touch ran}}}',
        "experiment=bad",
    ),
    "a callback by interpolation": (
        "experiment/bad.yaml",
        'hydra: {callbacks: {a: "${other}"}}\nother: ' + CALL,
        "experiment=bad",
    ),
    "job logging": (
        "experiment/bad.yaml",
        'hydra: {job_logging: {version: 1, handlers: {h: {"()": os.system, command: touch ran}}}}',
        "experiment=bad",
    ),
    "hydra's logging": (
        "experiment/bad.yaml",
        'hydra: {hydra_logging: {version: 1, handlers: {h: {"()": os.system, command: touch ran}}}}',
        "experiment=bad",
    ),
    "the environment": ("experiment/bad.yaml", "hydra: {job: {env_set: {LD_PRELOAD: bad.so}}}", "experiment=bad"),
    "shell lines of a launcher": ("hydra/launcher/bad.yaml", f"{LAUNCHER}setup: [touch ran]\n", "hydra/launcher=bad"),
    "an architecture": ("architecture/bad.yaml", "defaults: [cnn]\n_target_: os.system\n", "architecture=bad"),
    "data": ("data/bad.yaml", f"defaults: [digits]\nroot: {CALL}\n", "data=bad"),
    "a python tag": ("experiment/bad.yaml", "seed: !!python/object/apply:os.system ['touch ran']", "experiment=bad"),
}


@pytest.mark.parametrize("module", ["plan", "train"])
@pytest.mark.parametrize("many", ["", "-m seed=0,1 "])
@pytest.mark.parametrize("what", FILES)
def test_a_config_file_names_no_code(what, many, module, command, workdir):
    name, text, line = FILES[what]
    path = Path("theirs", name)
    path.parent.mkdir(parents=True)
    path.write_text(text if not name.startswith("experiment") else f"# @package _global_\n{text}")
    before = left_in(workdir)
    refused(command(module, f"--config-dir theirs {many}{line}"), "bad" if "python tag" in what else "")
    assert left_in(workdir) == before  # ran is not there, nor anything else


# What starts a program wherever Hydra makes objects of it; OTHER: where a configuration takes any keys.
START = "{_target_: psutil.Popen, args: [touch, ran]}"
SWEEPER = f"{{_target_: hydra_plugins.controlled_sweep.ControlledSweeper, params: {{seed: {START}}}}}"
DECODED = f"'${{oc.decode:\"{SWEEPER}\"}}'"
OTHER = f"architecture: {{layers: [{START}]}}"
# The experiment of a folder given with --config-dir, and what the one message says of it.
ATTACKS = {
    "a sweeper that is decoded": (f"hydra: {{sweeper: {DECODED}}}", "hydra.sweeper="),
    "a sweeper elsewhere in the file": (
        f"hydra: {{sweeper: '${{architecture.layers[0]}}'}}\narchitecture: {{layers: [{SWEEPER}]}}",
        "hydra.sweeper=",
    ),
    "a sweeper by a selected key": (
        f"hydra: {{sweeper: '${{oc.select:\"architecture.layers[0]\"}}'}}\narchitecture: {{layers: [{SWEEPER}]}}",
        "hydra.sweeper=",
    ),
    "a sweeper by a resolver named by another": (
        f"experiment: {{name: select}}\nhydra: {{sweeper: '${{oc.${{experiment.name}}:architecture.layers}}'}}\n"
        f"{OTHER}",
        "hydra.sweeper=",
    ),
    "a sweeper from the environment": ("hydra: {sweeper: '${oc.decode:${oc.env:EVIL}}'}", "hydra.sweeper="),
    "all of Hydra's section": (f"hydra: '${{architecture}}'\narchitecture: {{sweeper: {SWEEPER}}}", "experiment/bad"),
    "levels that are a call": (f"hydra: {{sweeper: {{params: {{seed: {START}}}}}}}", "params.seed._target_"),
    "levels that are decoded": (
        f"hydra: {{sweeper: {{params: {{seed: '${{oc.decode:\"{START}\"}}'}}}}}}",
        "hydra.sweeper.params.seed=",
    ),
    "levels in a list": (
        f"hydra: {{sweeper: {{params: {{seed: ['${{oc.dict.values:\"architecture.layers[0]\"}}']}}}}}}\n{OTHER}",
        "hydra.sweeper.params.seed.0=",
    ),
    "levels of Hydra's own section": (
        "hydra: {sweeper: {params: {hydra.job.env_set.LD_PRELOAD: bad.so}}}",
        "hydra.sweeper.params.hydra.job.env_set.LD_PRELOAD",
    ),
    "levels that choose a launcher": ("hydra: {sweeper: {params: {hydra/launcher: slurm}}}", "params.hydra/launcher"),
    "a key with an interpolation": ("hydra: {sweeper: {params: {'runs_dir=${oc.env:HOME},x': 1}}}", "hydra.sweeper"),
    "a launcher that is decoded": (f"hydra: {{launcher: '${{oc.decode:\"{START}\"}}'}}", "hydra.launcher="),
    "a launcher's value that is elsewhere": (
        "defaults: [override /hydra/launcher: joblib]\n"
        f"hydra: {{launcher: {{temp_folder: '${{architecture.layers[0]}}'}}}}\n{OTHER}",
        "hydra.launcher.temp_folder=",
    ),
    "an escaped interpolation": (
        "defaults: [override /hydra/launcher: joblib]\nhydra: {launcher: {temp_folder: '\\${oc.env:HOME}'}}",
        "hydra.launcher.temp_folder=",
    ),
    "a callback that is elsewhere": (
        f"hydra: {{callbacks: {{a: '${{architecture.layers[0]}}'}}}}\n{OTHER}",
        "callbacks.a",
    ),
    "all callbacks": (f"hydra: {{callbacks: '${{architecture.layers[0]}}'}}\n{OTHER}", "hydra.callbacks="),
    "logging that is elsewhere": (
        "hydra: {job_logging: '${architecture.layers[0]}'}\n"
        "architecture: {layers: [{version: 1, handlers: {h: {'()': psutil.Popen, args: [touch, ran]}}}]}",
        "hydra.job_logging=",
    ),
    "a logger's level": ("hydra: {hydra_logging: {root: {level: '${oc.env:HOME}'}}}", "hydra.hydra_logging.root"),
    "the environment by interpolation": (
        "hydra: {job: {env_set: '${architecture.layers[0]}'}}\narchitecture: {layers: [{LD_PRELOAD: x}]}",
        "hydra.job.env_set=",
    ),
    "the environment by name": ("hydra: {job: {env_copy: [HOME]}}", "hydra.job.env_"),
    "a second line of an SBATCH option": (
        'defaults: [override /hydra/launcher: slurm]\nhydra: {launcher: {partition: "x\\ntouch ran #"}}',
        "hydra.launcher.partition=",
    ),
    "arguments of srun": (
        "defaults: [override /hydra/launcher: slurm]\nhydra: {launcher: {srun_args: [touch, ran]}}",
        "hydra.launcher.srun_args",
    ),
    "lines after a job": (
        "defaults: [override /hydra/launcher: slurm]\nhydra: {launcher: {teardown: [touch ran]}}",
        "hydra.launcher.teardown",
    ),
    "an interpreter for Ray's workers": (
        "defaults: [override /hydra/launcher: ray]\n"
        "hydra: {launcher: {ray: {remote: {runtime_env: {py_executable: ./bad}}}}}",
        "hydra.launcher.ray.remote.runtime_env",
    ),
    "a Ray cluster whose answers are unpickled": (
        "defaults: [override /hydra/launcher: ray]\nhydra: {launcher: {ray: {init: {address: 'bad:6379'}}}}",
        "hydra.launcher.ray.init.address=",
    ),
    "a package to import": ("hydra: {searchpath: ['pkg://theirs']}", "hydra.searchpath"),
    "a secret of the environment": ("experiment: {question: 'Is it ${oc.env:HOME}?'}", "reads the environment"),
    "a secret by a resolver named by another": (
        "experiment: {name: env, question: 'Is it ${oc.${experiment.name}:HOME}?'}",
        "reads the environment",
    ),
    "a section of ours made of text": ("data: '${oc.create:{source: digits}}'", "oc.create"),
}


def theirs(text, package="_global_"):
    """A file experiment=bad in a folder of somebody else's."""
    path = Path("theirs/experiment/bad.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package {package}\n{text}\n")


@pytest.mark.parametrize("what", ATTACKS)
def test_no_attack_starts_a_program(what, process, workdir):
    """Through the real command, many at a time where Hydra makes most objects."""
    text, said = ATTACKS[what]
    theirs(text)
    before = left_in(workdir)
    refused(process("plan", "--config-dir theirs -m experiment=bad", EVIL=SWEEPER), said)
    assert left_in(workdir) == before


@pytest.mark.parametrize("package", ["hydra.sweeper.params.seed", "hydra.launcher", "hydra.callbacks.x"])
def test_a_package_header_is_no_way_round(package, process, workdir):
    theirs(START[1:-1].replace(", args", "\nargs"), package)
    before = left_in(workdir)
    refused(process("plan", "--config-dir theirs -m experiment=bad"), package)
    assert left_in(workdir) == before


@pytest.mark.parametrize("module", ["init", "train", "prepare", "evaluate", "compare", "claims", "sync"])
def test_no_other_command_starts_a_program_either(module, process, workdir):
    theirs(f"hydra: {{sweeper: {DECODED}}}")
    before = left_in(workdir)
    line = "experiment=bad" if module in ("train", "prepare") else "+experiment=bad"
    refused(process(module, f"--config-dir theirs -m {line}"), "hydra.sweeper")
    assert left_in(workdir) == before


@pytest.mark.parametrize("flag", ["", "--cfg hydra --resolve", "--cfg all", "--help", "--info config", "--info"])
def test_looking_at_a_configuration_starts_no_program(flag, process, workdir):
    theirs(f"hydra: {{sweeper: {DECODED}}}")
    before = left_in(workdir)
    done = process("train", f"--config-dir theirs experiment=bad {flag}")
    assert done.code == 2
    assert done.err.startswith("error: hydra.sweeper")
    assert left_in(workdir) == before


# The same from the command line, which may have been copied from somewhere.
LINES = {
    f"'hydra.sweeper={SWEEPER}'": "_target_",
    f"'+hydra.sweeper.params.seed={START}'": "_target_",
    f"'hydra.sweeper=${{oc.decode:{'${oc.env:EVIL}'}}}'": "hydra.sweeper",
    "'+hydra.sweeper.params.seed=${oc.decode:${oc.env:EVIL}}'": "hydra.sweeper.params.seed",
    "'hydra.launcher=${oc.env:EVIL}'": "hydra.launcher",
    "'+hydra.launcher.x=${oc.env:EVIL}'": "hydra.launcher.x",
    "'hydra=${oc.decode:${oc.env:EVIL}}'": "hydra",
    "'hydra.callbacks=${oc.env:EVIL}'": "callbacks",
    "hydra.searchpath=[pkg://theirs]": "hydra.searchpath",
    "+hydra.searchpath=[pkg://theirs]": "hydra.searchpath",
    "'experiment.question=${oc.decode:${oc.env:EVIL}}'": "oc.decode",
    "+hydra.job.env_set.LD_PRELOAD=bad.so": "hydra.job.env_set",
    "hydra/sweeper=basic": "hydra.sweeper._target_",
    "--config-path theirs": "--config-path: not supported",
    "-cp pkg://theirs": "--config-path: not supported",
    "--config-name=theirs": "--config-name: not supported",
    "-cn theirs": "--config-name: not supported",
    "--exper theirs/job.pickle": "--experimental-rerun: not supported",
}


@pytest.mark.parametrize("line", LINES)
def test_no_command_line_starts_a_program(line, process, workdir):
    (workdir / "theirs").mkdir()
    (workdir / "theirs/__init__.py").write_text("open('ran', 'w')\n")
    before = left_in(workdir)
    refused(process("plan", f"-m seed=0,1 {line}", EVIL=SWEEPER), LINES[line])
    assert left_in(workdir) == before


def test_interpolations_have_their_place_elsewhere(command, workdir, monkeypatch):
    """In files between their own keys; on the command line from the environment too, which one types oneself."""
    theirs("experiment: {name: mine, question: 'What of ${experiment.name}?'}")
    shown = command("plan", "--config-dir theirs --cfg job --resolve experiment=bad").out
    assert "question: What of mine?\n" in shown
    monkeypatch.setenv("PLACE", "there")
    line = "tracking=none 'runs_dir=${oc.env:PLACE}/runs'"
    assert command("plan", f"-m seed=0,1 {line} output=json").document["runs"] == 2
    assert "runs_dir: there/runs\n" in command("plan", f"--cfg job --resolve {line}").out


def test_a_harmless_file_is_taken(command, workdir):
    (workdir / "theirs/experiment").mkdir(parents=True)
    (workdir / "theirs/experiment/mine.yaml").write_text("# @package _global_\nseed: 3\nexperiment: {name: mine}\n")
    assert command("plan", "--config-dir theirs experiment=mine").code == 0


@pytest.mark.parametrize("name", ["run.json", "status.json", "metrics.jsonl"])
def test_a_run_directory_is_read_as_json_alone(name, command, workdir):
    assert command("train", f"{TINY} dir=run").code == 0
    (workdir / "run" / name).write_bytes(pickle.dumps(Path("anything")))
    done = command("evaluate", "run=run invariance=false")
    assert done.code in (0, 2)  # metrics.jsonl is not needed for it
    assert "Traceback" not in done.err


def test_prepared_data_is_not_unpickled(command, workdir):
    """An .npy file may hold pickled objects; numpy is told not to read those."""

    class Malice:
        def __reduce__(self):
            return Path.touch, (Path(workdir / "ran"),)

    import numpy as np

    assert command("prepare", "data=digits").code == 0
    for path in (workdir / "prepared").rglob("*.npy"):
        np.save(path, np.array([Malice()], dtype=object), allow_pickle=True)
        (workdir / "ran").unlink(missing_ok=True)
    done = command("train", f"{TINY} dir=run")
    assert done.code in (0, 2)  # refused, or found damaged and made anew
    assert not (workdir / "ran").exists()
