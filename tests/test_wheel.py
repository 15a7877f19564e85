"""The package as it is installed: what a wheel carries, and a question asked from an empty folder."""

import os
import subprocess
import sys
import tomllib
import zipfile

import pytest
from running import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the files of this checkout, without any that lie about in it."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((REPOSITORY / name).read_bytes())
    pip(folder, "wheel", "--no-build-isolation", "-w", "dist", "./source")
    (found,) = (folder / "dist").glob("*.whl")
    return found


def pip(folder, *words):
    line = [sys.executable, "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", "--no-deps", *words[1:]]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_it_carries_every_module_and_every_configuration(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("pipeline", "hydra_plugins")
        for path in (REPOSITORY / folder).rglob("*.py")
    }
    files = {f"pipeline/{path.relative_to(REPOSITORY).as_posix()}" for path in (REPOSITORY / "conf").rglob("*.yaml")}
    template = {
        f"pipeline/{path.relative_to(REPOSITORY).as_posix()}"
        for path in (REPOSITORY / "template").rglob("*")
        if path.is_file()
    }
    assert len(template) == 5
    assert modules | files | template <= inside
    assert not any(name.startswith(("tests/", "benchmarks/", "conf/", "template/")) for name in inside)


def test_a_question_is_asked_from_an_empty_folder(wheel, tmp_path):
    pip(tmp_path, "install", "--target", "site", str(wheel))
    (tmp_path / "mine" / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "conf" / "experiment" / "widths.yaml").write_text(
        "# @package _global_\n"
        "experiment: {name: widths, question: 'Do eight filters do?'}\n"
        "hydra: {sweeper: {params: {architecture.filters: '[4,4],[8,8]', seed: '0,1'}}}\n"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "COLUMNS")}
    env["PYTHONPATH"] = str(tmp_path / "site")

    def convtrial(*words):
        # -P: the script's own folder is no place for modules
        line = [sys.executable, "-P", str(tmp_path / "site" / "bin" / "convtrial"), *words]
        return subprocess.run(line, cwd=tmp_path / "mine", env=env, capture_output=True, text=True, timeout=300)

    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert convtrial("--version").stdout.splitlines()[0] == f"convtrial {version}"
    quickly = ["data.limit_train=64", "trainer.max_epochs=1", "tracking=none"]
    done = convtrial("train", "--config-dir", "conf", "-m", "experiment=widths", *quickly)
    assert done.returncode == 0, done.stderr
    assert "Do eight filters do?" in done.stdout
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["conf", "prepared", "runs"]
    shipped = convtrial("plan", "-m", "experiment=kernel_size")
    assert "5 arms x at most 13 seeds" in shipped.stdout, shipped.stderr
    assert (
        "widths\t"
        in convtrial("completion", "fish", "convtrial", "train", "--config-dir", "conf", "experiment=w").stdout
    )
    assert convtrial("completion", "bash", "convtrial train architecture.padding=s", "s").stdout == "same \n"
    laid_out = convtrial("init", "project")
    assert laid_out.returncode == 0, laid_out.stderr
    done = convtrial("plan", "--config-dir", "project/conf", "-m", "experiment=my_question", "data.root=project/photos")
    assert "3 arms x at most 8 seeds" in done.stdout, done.stderr
    wrong = convtrial("trian")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: trian: no such command. Did you mean 'train'?")
