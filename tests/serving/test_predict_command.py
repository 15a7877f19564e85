"""What `predict` says of files is what the run said of the same images; what is no image is named and skipped."""

import csv
import errno
import json
import pickle
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import left_in, refused

from pipeline import rundir
from pipeline.serving import answers, stream

CLOSE = 1e-5


def shares_in(file):
    """Paths and probabilities [n, 10] of the files that were not skipped, in a file that was written."""
    if file.endswith(".json"):
        found = json.loads(Path(file).read_text())["predictions"]
        return [one["path"] for one in found], np.array([one["probabilities"] for one in found])
    if file.endswith(".csv"):
        with open(file, newline="") as text:
            rows = [row for row in csv.DictReader(text) if not row["skipped"]]
    else:
        from pyarrow import parquet

        rows = [row for row in parquet.read_table(file).to_pylist() if not row["skipped"]]
    return [row["path"] for row in rows], np.array([[float(row[f"p_{k}"]) for k in range(10)] for row in rows])


@pytest.mark.parametrize("file", ["out.csv", "out.json", "out.parquet"])
def test_it_gives_what_the_run_stored(file, run, command, expected):
    done = command("predict", f"run=run images=photos/list.csv out={file} output=json")
    assert (done.code, done.err) == (0, "")
    paths, shares = shares_in(file)
    assert paths == [f"photos/{n:04}.png" for n in range(len(expected))]
    assert np.abs(shares - expected).max() < CLOSE
    assert done.document["accuracy"]["value"] == rundir.get_status(run).metrics["test/acc"]
    assert done.document["accuracy"]["n"] == len(expected)
    assert "predictions" not in done.document  # they are in the file


def test_a_folder_a_glob_and_files_in_order(run, command, expected):
    Path("photos/list.csv").unlink()
    folder = command("predict", "run=run images=photos output=json").document
    assert [one["path"] for one in folder["predictions"]] == [f"photos/{n:04}.png" for n in range(len(expected))]
    assert np.abs(np.array([one["probabilities"] for one in folder["predictions"]]) - expected).max() < CLOSE
    some = command("predict", "run=run 'images=[photos/0007.png,\"photos/000[57].png\"]' output=json").document
    assert [one["path"] for one in some["predictions"]] == ["photos/0007.png", "photos/0005.png"]
    assert np.abs(np.array([one["probabilities"] for one in some["predictions"]]) - expected[[7, 5]]).max() < CLOSE
    assert sum(folder["counts"].values()) == folder["predicted"] == folder["images"]


def test_more_than_one_batch_stays_in_order(run, command, expected, monkeypatch):
    monkeypatch.setattr(stream, "MOST", 7)
    found = command("predict", "run=run 'images=photos/*.png' output=json").document["predictions"]
    assert [one["path"] for one in found] == [f"photos/{n:04}.png" for n in range(len(expected))]
    assert np.abs(np.array([one["probabilities"] for one in found]) - expected).max() < CLOSE


def test_it_is_readable(run, command, expected):
    done = command("predict", "run=run images=photos/list.csv")
    assert (done.code, done.err) == (0, "")
    assert f"and {len(expected) - 20:,} more; out=FILE.csv has them all" in done.out
    assert f"images     {len(expected):,} predicted, 0 skipped" in done.out
    assert "95 % interval" in done.out


def test_labels_by_hand(run, command, expected):
    right = expected.argmax(1)
    Path("photos/few.csv").write_text(
        f"file;Label\n0000.png;{right[0]}\n0001.png;{(right[1] + 1) % 10}\n0002.png;cat\n0003.png;\n"
    )
    done = command("predict", "run=run images=photos/few.csv columns='{path: file}' output=json")
    accuracy = done.document["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (0.5, 2)
    # Wilson's for 1 of 2: 0.5 -+ 1.96 / (1 + 1.96^2 / 2) * sqrt(1/8 + 1.96^2 / 16)
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert done.err == "mind: 1 labels are no class of the network (cat), and count in no accuracy\n"
    assert done.document["predictions"][3].keys() == {"path", "class", "probability", "probabilities"}


def test_colour_into_a_network_for_grey(run, command):
    """0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2"""
    for name, image in {
        "colour": Image.new("RGB", (8, 8), (200, 100, 50)),
        "grey": Image.new("L", (8, 8), 124),
    }.items():
        image.save(f"{name}.png")
    done = command("predict", "run=run images=[colour.png,grey.png] output=json")
    colour, grey = (one["probabilities"] for one in done.document["predictions"])
    assert colour == grey
    assert done.err.startswith("mind: 1 images have colour")


class Malice:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def bomb(path):
    """A PNG of 20,000 x 20,000 pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))  # noqa: E731
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)))


def test_what_is_no_image_is_named_and_skipped(run, command, workdir):
    mixed = workdir / "mixed"
    mixed.mkdir()
    good = Path("photos/0000.png")
    shutil.copy(good, mixed / "good.png")
    shutil.copy(good, mixed / "no ending, [red]")
    (mixed / "cut.png").write_bytes(good.read_bytes()[:60])
    bomb(mixed / "bomb.png")
    (mixed / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    (mixed / "weights.png").write_bytes(pickle.dumps(Malice()))
    (mixed / "empty.png").touch()
    (mixed / "out.png").symlink_to("../photos/0001.png")
    (mixed / "to nothing.png").symlink_to("nowhere")
    (mixed / "esc\x1b[2J.png").write_text("x")
    done = command("predict", "run=run images=mixed out=out.csv output=json")
    assert done.code == 0
    said = {one["path"]: one["reason"] for one in done.document["skipped"]}
    reasons = {
        "cut.png": "damaged (",
        "bomb.png": "data.max_pixels=",
        "drawing.svg": "not an image of a known format",
        "weights.png": "not an image of a known format",
        "empty.png": "empty",
        "out.png": "a link that leads out of the folder that was named",
        "to nothing.png": "a link to nothing",
        "esc\\x1b[2J.png": "not an image of a known format",
    }
    assert said.keys() == {f"mixed/{name}" for name in reasons}
    assert [name for name, reason in reasons.items() if reason not in said[f"mixed/{name}"]] == []
    assert done.err.count("skipped: ") == len(reasons)
    assert "\x1b" not in done.err + done.out
    assert not Path("executed").exists()
    with open("out.csv", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows.keys() == said.keys() | {"mixed/good.png", "mixed/no ending, [red]"}
    assert all(bool(row["class"]) != bool(row["skipped"]) for row in rows.values())


def test_a_manifest_does_not_lead_out_of_its_folder(run, command, workdir):
    (workdir / "in").mkdir()
    shutil.copy("photos/0000.png", "in/a.png")
    Path("in/list.csv").write_text(f'path\na.png\n../photos/0001.png\n{workdir}/photos/0002.png\nb.png\n""\n')
    done = command("predict", "run=run images=in/list.csv output=json")
    assert [one["path"] for one in done.document["predictions"]] == ["in/a.png"]
    assert [one["reason"] for one in done.document["skipped"]] == [
        *["leads out of the manifest's folder"] * 2, "no such file", "no path",
    ]  # fmt: skip


def test_a_link_that_the_user_names_is_followed(run, command):
    Path("here.png").symlink_to("photos/0000.png")
    (found,) = command("predict", "run=run images=here.png output=json").document["predictions"]
    assert found["path"] == "here.png"


def test_nothing_is_written_where_nothing_can_be_used(run, command, workdir):
    (workdir / "bad").mkdir()
    (workdir / "bad" / "a.png").write_text("no")
    before = left_in(workdir)
    refused(command("predict", "run=run images=bad out=out.csv"), "not one of 1 files can be used", "bad/a.png: not an")
    assert left_in(workdir) == before


def test_a_full_disk_leaves_the_old_file(run, command, workdir, monkeypatch):
    Path("out.csv").write_text("before")
    real = answers.answer

    def full(*given):
        yield next(real(*given))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(answers, "answer", full)
    before = left_in(workdir)
    assert command("predict", "run=run images=photos out=out.csv").code == 75
    assert (left_in(workdir), Path("out.csv").read_text()) == (before, "before")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("images=photos", ["run=null: name a run directory"]),
        ("run=run", ["images=null: name files, a folder, a glob, or a manifest"]),
        ("run=nowhere images=photos", ["run=nowhere: not a run directory"]),
        ("run=run images=photo", ["images=photo: no such file or folder.", "'photos'"]),
        ("run=run 'images=photos/*.jpg'", ["images=photos/*.jpg: no file is called so."]),
        ("run=run images=photos out=a.xls", ["out=a.xls: must end in one of .csv, .json, .parquet."]),
        ("run=run images=photos out=no/a.csv", ["out=no/a.csv: its folder does not exist."]),
        ("run=run images=photos/list.csv out=photos/list.csv", ["out=photos/list.csv: is the manifest itself."]),
        ("run=run images=photos columns='{split: x}'", ["columns, a key=split: must be one of path, text, label."]),
        ("run=run images=photos/list.csv columns='{path: Path}'", ["columns.path=Path: ", "no such column"]),
        ("run=models:/digits@champion images=photos", ["run=models:/digits@champion: is looked up on MLflow"]),
        ("run=models:/digits@champion images=photos uri=mlruns", ["uri=mlruns: must start with sqlite:///"]),
        ("run=run images=photos output=xml", ["output=xml: must be one of table, json."]),
    ],
)
def test_mistakes(line, said, run, command, workdir):
    before = left_in(workdir)
    refused(command("predict", line), *said)
    assert left_in(workdir) == before


def test_a_checkpoint_with_code_is_not_executed(run, command):
    import torch

    torch.save({"state_dict": Malice()}, run / "checkpoints" / "best.ckpt")
    refused(command("predict", "run=run images=photos"), "best.ckpt: cannot be read as a checkpoint")
    assert not Path("executed").exists()


def test_a_map_of_a_file_with_the_longest_name(run, command):
    """250 bytes of it, of which no number has room beside it."""
    name = "\U0001f4f7" * 61 + "ab"
    Path("photos/0003.png").rename(f"photos/{name}.png")
    assert command("predict", "run=run 'images=photos/*ab.png' maps=maps output=json").code == 0
    assert left_in(Path("maps")) == [f"000000_{name[:50]}.png"]


def test_maps_are_drawn_beside(run, command, expected):
    """A picture for each image, numbered as the inputs are; none of what was skipped."""
    Path("photos/0001.png").write_bytes(b"no image")
    done = command("predict", "run=run 'images=photos/000?.png' maps=maps output=json")
    assert done.document["maps"] == {"folder": "maps", "method": "grad_cam"}
    assert left_in(Path("maps")) == [f"{n:06}_{n:04}.png" for n in range(10) if n != 1]
    with Image.open("maps/000007_0007.png") as drawn:
        assert (drawn.size, drawn.mode) == ((224, 224), "RGB")
    again = command("predict", "run=run images=photos/0002.png maps=maps")
    refused(again, "maps=maps: is there already")
    refused(command("predict", "run=run images=photos/0002.png maps=no/maps"), "maps=no/maps: the folder that")
    refused(command("predict", "run=run images=photos/0001.png maps=other"), "not one of 1 files can be used")
    assert not list(Path().glob("*other*"))
