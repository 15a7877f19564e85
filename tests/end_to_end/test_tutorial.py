"""docs/tutorial.md, done as a newcomer does it: its commands in order, and what it says of their output."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from running import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TEXT = (REPOSITORY / "docs" / "tutorial.md").read_text()
PICTURES = REPOSITORY / "docs" / "tutorial"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """(the newcomer's folder, what each block of commands printed, seconds), in one shell that ends at a mistake."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "bin").mkdir()
    # As installed: tests/test_wheel.py does it with the wheel.
    (folder / "bin" / "convtrial").write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n')
    (folder / "bin" / "convtrial").chmod(0o755)
    script = "".join(f"echo '=== {n}'\n{commands}" for n, commands in enumerate(blocks("sh")))
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    env["PATH"] = f"{folder / 'bin'}{os.pathsep}{env['PATH']}"
    before = time.monotonic()
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    seconds = time.monotonic() - before
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    return folder / "first-hour", re.split(r"^=== \d+\n", done.stdout, flags=re.M)[1:], seconds


def blocks(kind):
    return [body for found, body in BLOCK.findall(TEXT) if found == kind]


def plain(text):
    """Without what may differ from machine to machine, and from line width to line width: numbers and breaks."""
    return " ".join(re.sub(r"\d+(?:[.,:]\d+)*", "#", text).split())


def test_its_commands_print_what_it_says(followed):
    _, printed, seconds = followed
    print(f"{seconds:.0f} s")
    shell = -1
    told = 0
    for kind, body in BLOCK.findall(TEXT):
        if kind == "sh":
            shell += 1
            continue
        told += 1
        rest = plain(printed[shell])
        for words in body.split("…"):
            for line in filter(None, (plain(one) for one in re.split(r"\n(?=[│┃\w])", words))):
                _, found, rest = rest.partition(line)
                assert found, f"{line!r} is not in what remains of:\n{printed[shell]}"
    assert told == 8


def test_more_photos_help(followed):
    verdict = json.loads((followed[0] / "reports" / "verdict.json").read_text())
    mean = {level["level"]: level["mean"] for level in verdict["factors"]["data.limit_train"]["levels"]}
    assert mean[0.1] + 0.03 < mean[0.5]
    assert mean[0.1] + 0.1 < mean[1.0]
    assert len(verdict["contrasts"]) == 2


def test_all_it_makes_lies_in_the_newcomers_folder(followed):
    folder, _, _ = followed
    assert {path.name for path in folder.parent.iterdir()} == {"bin", "first-hour"}
    made = {"runs", "prepared", "mlruns", "reports"}
    laid_out = {"photos", "conf", "dvc.yaml", "README.md", ".gitignore"}
    assert {path.name for path in folder.iterdir()} == made | laid_out
    assert (folder / "mlruns" / "mlflow.db").is_file()


def test_its_pictures_are_what_its_commands_make(followed, request):
    """With --record they are taken from here."""
    folder, printed, _ = followed
    card = folder / re.search(r"^card +(\S+)$", printed[1], re.M)[1]
    sheet = re.search(r'class="sheet"[^>]*src="data:image/png;base64,([^"]+)"', card.read_text())[1]
    (plot,) = folder.glob("runs/my_question/*/plots/data.limit_train.difference.png")
    if request.config.getoption("--record"):
        (PICTURES / "photos.png").write_bytes(base64.b64decode(sheet))
        shutil.copy2(plot, PICTURES / "verdict.png")
    shown = re.findall(r"\]\((tutorial/\S+\.png)\)", TEXT)
    assert {REPOSITORY / "docs" / name for name in shown} == set(PICTURES.iterdir())
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 400_000
    assert size(base64.b64decode(sheet)) == size((PICTURES / "photos.png").read_bytes())
    assert size(plot.read_bytes()) == size((PICTURES / "verdict.png").read_bytes())


def size(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
