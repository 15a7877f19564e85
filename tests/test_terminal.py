"""Names that came with data or from a folder are shown as they are: no style of rich, no order to the terminal."""

import csv
from pathlib import Path

import pytest
from PIL import Image
from running import TINY, refused

from pipeline import terminal

MARKUP, ESCAPE = "[bold red]x", "\x1b[31my\x1b]0;owned"
SHOWN = r"\x1b[31my\x1b]0;owned"


@pytest.fixture
def photos(workdir):
    """Two classes, one called as rich spells a style, one with escape sequences, listed in a manifest."""
    folder = workdir / "photos"
    folder.mkdir()
    with open(folder / "m.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for i in range(60):
            Image.new("L", (8, 8), i * 4).save(folder / f"{i}.png")
            rows.writerow([f"{i}.png", [MARKUP, ESCAPE][i % 2]])
        rows.writerow(["gone\x1b[2J.png", MARKUP])
    return folder


LINE = "data=manifest data.root=photos data.manifest=m.csv data.size=8"


def test_class_names_in_the_table_and_the_card(photos, process):
    done = process("prepare", LINE, FORCE_COLOR="1", COLUMNS="200")  # a terminal, to rich
    assert done.code == 0, done.err
    assert MARKUP in done.out
    assert SHOWN in done.out
    assert "\x1b]" not in done.out
    assert "\x1b[2J" not in done.out
    (card,) = Path(photos.parent, "prepared").rglob("card-*.html")
    text = card.read_text()
    assert MARKUP in text
    assert SHOWN in text
    assert "\x1b" not in text


@pytest.mark.parametrize("module", ["train", "plan"])
def test_a_folder_of_runs_called_as_a_style(module, command, workdir):
    done = command(
        module, f"-m {TINY} seed=0,1 'runs_dir=\"[/bold]runs\"' 'experiment.question=\"Is it [red]so[/red]?\"'"
    )
    assert done.code == 0, done.err
    if module == "train":
        assert "[/bold]runs" in done.out
        assert "Is it [red]so[/red]?" in done.out


def test_a_run_in_a_folder_called_as_a_style(command, workdir):
    done = command("train", f"{TINY} 'dir=\"[/bold]run\"'")
    assert done.code == 0, done.err
    assert "[/bold]run" in done.out


def test_an_error_gives_no_order_to_the_terminal(process, workdir):
    refused(process("train", "'runs_dir=\"a\x1b[31m\"'"), r"runs_dir='a\x1b[31m'", "control characters")
    refused(process("train", "'architecture.padding=\"\x1b[31msame\"'"), r"\x1b[31msame")
    done = process("sync", "'runs_dir=\"nowhere\x1b[2J\"'")
    refused(done, r"nowhere\x1b[2J")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0.4 s"),
        (42.4, "42 s"),
        (99.4, "99 s"),
        (99.5, "2 min"),
        (5969, "99 min"),
        (5970, "1.7 h"),
        (48 * 3600, "2.0 days"),
    ],
)
def test_duration_for_people(seconds, text):
    assert terminal.duration(seconds) == text
