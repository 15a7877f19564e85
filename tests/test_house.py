"""The repository itself: what `make` lists, what CI calls, what its texts name."""

import json
import re
import subprocess

import yaml
from running import REPOSITORY

from pipeline.key import DECIDING

TEXTS = [REPOSITORY / "README.md", REPOSITORY / "docs" / "scale.md"]


def test_make_alone_lists_the_targets():
    done = subprocess.run(["make", "--no-print-directory"], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert {"install", "demo", "test", "lint", "dashboard", "bench"} <= set(listed)
    makefile = (REPOSITORY / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    assert set(listed) == set(phony)


def test_ci_calls_the_tests_the_linters_and_the_demo():
    script = (REPOSITORY / ".ci" / "run").read_text()
    for target in ("test", "lint", "demo"):
        assert re.search(rf"^[^#]*\bmake\b.*\b{target}\b", script, re.M), target


def test_the_lock_file_pins_every_package_by_hash():
    lock = (REPOSITORY / "requirements.lock").read_text()
    pins = re.findall(r"^([A-Za-z0-9_.\[\]-]+)==(\S+)", lock, re.M)
    assert len(pins) > 100
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M)
    assert [block.splitlines()[0] for block in blocks if "==" in block and "--hash=sha256:" not in block] == []
    versions = dict(pins)
    assert versions["pytorch-lightning"] not in ("2.6.2", "2.6.3")  # malicious releases


def test_every_python_command_of_a_text_is_one_of_ours():
    text = "\n".join(path.read_text() for path in TEXTS)
    modules = set(re.findall(r"python -m pipeline\.(\w+)", text))
    assert {"train", "compare", "prepare"} <= modules
    assert [name for name in modules if not (REPOSITORY / "pipeline" / f"{name}.py").exists()] == []
    targets = set(re.findall(r"\bmake ([a-z][a-z-]*)\b", text))
    makefile = (REPOSITORY / "Makefile").read_text()
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.M)] == []


def test_every_file_of_a_group_that_a_text_names_exists():
    groups = [path.name for path in (REPOSITORY / "conf").iterdir() if path.is_dir()]
    texts = "\n".join(p.read_text() for p in (*TEXTS, *(REPOSITORY / "conf").rglob("*.yaml")))
    named = set(re.findall(rf"(?<![\w./])({'|'.join(groups)})=([a-z]\w*)", texts))
    assert len(named) > 15
    missing = [f"{group}={name}" for group, name in named if not (REPOSITORY / f"conf/{group}/{name}.yaml").exists()]
    assert missing == []


def dvc_stages():
    """All stages of dvc.yaml, those of a `foreach` one by one."""
    stages = {}
    for name, stage in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"].items():
        for item in stage.get("foreach", [None]):
            one = json.loads(json.dumps(stage["do"]).replace("${item}", item)) if item else stage
            stages[f"{name}@{item}" if item else name] = one
    return stages


def test_dvcs_stages_depend_on_files_that_are_there():
    stages = dvc_stages()
    outs = {str(next(iter(out)) if isinstance(out, dict) else out) for s in stages.values() for out in s["outs"]}
    for name, stage in stages.items():
        missing = [dep for dep in stage["deps"] if dep not in outs and not (REPOSITORY / dep).exists()]
        assert missing == [], name


def test_dvc_answers_every_claim():
    shipped = {file.stem for file in (REPOSITORY / "conf/experiment").glob("*.yaml")} - {"demo"}
    stages = dvc_stages()
    assert {name.partition("@")[2] for name in stages if name.startswith("claim@")} == shipped
    assert {f"reports/evidence/{name}.json" for name in shipped} <= {
        *stages["evidence"]["deps"],
        *stages["kinds"]["deps"],
    }
    asked = yaml.safe_load((REPOSITORY / "docs/evidence/params.yaml").read_text())["claims"]
    assert {one["experiment"] for one in asked.values()} == shipped


def test_dvcs_stages_that_train_depend_on_each_file_of_the_defaults():
    stages = dvc_stages()
    defaults = yaml.safe_load((REPOSITORY / "conf/config.yaml").read_text())["defaults"]
    chosen = [next(iter(entry.items())) for entry in defaults if isinstance(entry, dict)]
    files = [f"conf/{group}/{name}.yaml" for group, name in chosen if name and " " not in group and "@" not in group]
    assert "conf/augmentation/none.yaml" in files
    for name, stage in stages.items():
        if "pipeline.train" in stage["cmd"]:
            missing = [file for file in files if not {file, file.rpartition("/")[0]} & set(stage["deps"])]
            assert missing == [], name


def test_dvcs_stages_that_train_depend_on_all_that_decides_a_runs_numbers():
    for name, stage in dvc_stages().items():
        if "pipeline.train" in stage["cmd"]:
            missing = [one for one in DECIDING if f"pipeline/{one.partition('/')[0]}" not in stage["deps"]]
            assert missing == [], name


def test_no_two_files_of_tests_have_one_name():
    """Their folders are no packages: of two of one name pytest would read the first alone."""
    names = [path.name for path in (REPOSITORY / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
