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
