"""`convtrial init FOLDER`: a project that runs as it is laid out, whole or not at all."""

import re

import pytest
import yaml
from running import REPOSITORY, left_in, refused

from pipeline import init, samples

LAID_OUT = [".gitignore", "README.md", "conf/data/my_photos.yaml", "conf/experiment/my_question.yaml", "dvc.yaml"]


def test_a_project_is_laid_out_and_what_comes_next_is_said(command, workdir):
    done = command("init", "'my project'")
    assert (done.code, done.err) == (0, "")
    names = [name for name in left_in(workdir / "my project") if (workdir / "my project" / name).is_file()]
    photos = [name for name in names if name.startswith("photos/")]
    assert [name for name in names if name not in photos] == LAID_OUT
    assert {name.split("/")[1] for name in photos} == set(samples.PLACES)
    assert len(photos) > 400
    assert "cd 'my project'" in done.out
    assert [line for line in init.NEXT if line not in done.out] == []


def test_what_comes_next_works(command, workdir, monkeypatch):
    """But for training, which tests/end_to_end/test_tutorial.py does."""
    command("init", "mine")
    monkeypatch.chdir(workdir / "mine")
    prepare, plan, _ = (line.removeprefix("convtrial ").split(" ", 1) for line in init.NEXT)
    assert command(*prepare).code == 0
    done = command(*plan)
    assert (done.code, done.err) == (0, "")
    assert "3 arms x at most 8 seeds" in done.out
    assert "unfair" not in done.out
    assert sorted(path.name for path in workdir.iterdir()) == ["mine"]  # nothing lands elsewhere


def test_photos_that_are_there_are_used(command, workdir):
    (workdir / "photos" / "cat").mkdir(parents=True)
    (workdir / "photos" / "cat" / "1.jpg").write_bytes(b"mine")
    done = command("init", ". output=json")
    assert done.document == {"folder": ".", "files": LAID_OUT}
    assert left_in(workdir / "photos") == ["cat", "cat/1.jpg"]


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("dvc.yaml", "mine: has dvc.yaml already"),
        ("conf/experiment/my_question.yaml", "mine: has conf/experiment/my_question.yaml already"),
        ("conf", "mine: has conf already"),
        ("photos", "mine: has photos already"),
    ],
)
def test_nothing_is_written_over(there, said, command, workdir):
    path = workdir / "mine" / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    before = left_in(workdir)
    refused(command("init", "mine"), said, "nothing is written over")
    assert left_in(workdir) == before
    assert path.read_text() == "mine"


def test_twice_is_refused(command, workdir):
    command("init", "mine")
    refused(command("init", "mine"), "mine: has .gitignore, README.md", "already")
    (workdir / "file").touch()
    refused(command("init", "file/mine"), "file: is a file, not a folder.")


@pytest.mark.parametrize("there", [True, False], ids=["into a folder", "into none"])
def test_all_or_nothing(there, command, workdir, monkeypatch):
    if there:
        (workdir / "a" / "b").mkdir(parents=True)
        (workdir / "a" / "b" / "mine.txt").touch()
    before = left_in(workdir)

    def photos():
        yield "sky/1.png", b"1"
        yield "sky/1.png/2.png", b"2"  # cannot be written: its folder is a file

    monkeypatch.setattr(samples, "photos", photos)
    refused(command("init", "a/b"), "a/b: cannot be made or written")
    assert left_in(workdir) == before


def test_samples_do_not_overlap():
    taken = set()
    for name, content in samples.photos():
        kind, photo, left, top = re.fullmatch(r"(\w+)/(\w+)-(\d+)-(\d+)\.png", name).groups()
        assert content[:4] == b"\x89PNG"
        pixels = {(photo, int(left) + x, int(top) + y) for x in range(samples.SIDE_PX) for y in range(samples.SIDE_PX)}
        assert not pixels & taken, (kind, name)
        taken |= pixels


def test_the_projects_texts_say_what_init_says():
    readme = (init.TEMPLATE / "README.md").read_text()
    assert [line for line in init.NEXT if line not in re.sub(r" +#.*", "", readme)] == []
    for stage in yaml.safe_load((init.TEMPLATE / "dvc.yaml").read_text())["stages"].values():
        assert "convtrial " in stage.get("do", stage)["cmd"]
    assert init.TEMPLATE == REPOSITORY / "template"
