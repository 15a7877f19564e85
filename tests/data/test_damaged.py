"""A folder of a thousand files damaged in every way: none is used, none is lost, and nothing crashes."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_photos import encoded, png_claiming

from pipeline.data import Data, describe, prepare
from pipeline.errors import InputError

KINDS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF")
MAX_PIXELS = 1_000_000


def sound(rng: np.random.Generator, kind: str) -> bytes:
    noise = rng.integers(0, 256, (40, 50, 3), np.uint8)
    image = Image.fromarray(noise)
    return encoded(image.quantize(64) if kind == "GIF" else image, kind)


def damaged(rng: np.random.Generator) -> dict[str, tuple[bytes, str]]:
    """By a name that says how: content, and what its reason must say."""
    files = {
        "empty.jpg": (b"", "empty"),
        "zeros.png": (bytes(5000), "nothing but zero bytes"),
        "text.jpg": (b"Dear reader, this is no photo.\n" * 50, "not an image"),
        "page.png": (b"<!DOCTYPE html><html><body>404</body></html>", "not an image"),
        "script.gif": (b"#!/bin/sh\nexit 1\n", "not an image"),
        "noise.bmp": (rng.bytes(4000), "not an image"),
        "archive.jpg": (b"PK\x03\x04" + rng.bytes(500), "not an image"),
        "drawing.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "not an image"),
        "huge.png": (png_claiming(60000, 60000), "past data.max_pixels=1000000"),
        "wide.png": (png_claiming(2**31 - 1, 1), "past data.max_pixels=1000000"),
        "large.png": (png_claiming(1100, 1000), "past data.max_pixels=1000000"),
        "flat.png": (png_claiming(0, 10), "damaged"),
        "palette.png": (png_without_palette(), "damaged"),
        "checksum.png": (flipped(sound(rng, "PNG"), 20), "damaged"),
        "huge.bmp": (bmp_claiming(30000, 30000), "past data.max_pixels=1000000"),
        "huge.gif": (b"GIF89a" + b"\xff\xff\xff\xff" + sound(rng, "GIF")[10:], "past data.max_pixels=1000000"),
    }
    for kind in KINDS:
        content = sound(rng, kind)
        files[f"half.{kind.lower()}"] = (content[: len(content) // 2], "damaged")
        files[f"begins.{kind.lower()}"] = (content[:11], "")
    return files


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def png_without_palette() -> bytes:
    """Indexed colours, and the chunk that names them cut out."""
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("P")
    content = encoded(image, "PNG")
    start = content.index(b"PLTE") - 4
    length = int.from_bytes(content[start : start + 4], "big")
    return content[:start] + content[start + 12 + length :][:40]


def bmp_claiming(width: int, height: int) -> bytes:
    content = encoded(Image.new("RGB", (4, 4)), "BMP")
    return content[:18] + width.to_bytes(4, "little") + height.to_bytes(4, "little") + content[26:]


NAMES = ("a b", "ümlaut", "日本", "-rf", "'quoted\"", "new\nline", "<b>", "%2e%2e", "$HOME", "x" * 200, "[bold]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], int]:
    """The folder, what each bad file's reason must say, and how many sound ones there are."""
    root = tmp_path_factory.mktemp("damaged") / "photos"
    rng = np.random.default_rng(0)
    expected, good = {}, 0
    for name in ("ants", "bees"):
        (root / name).mkdir(parents=True)
    while len(expected) < 970:
        for how, (content, reason) in damaged(rng).items():
            i = len(expected)
            path = f"{'ants' if i % 2 else 'bees'}/{NAMES[i % len(NAMES)]}-{i}-{how}"
            (root / path).write_bytes(content)
            expected[path] = reason
    outside = root.parent / "outside.png"
    outside.write_bytes(sound(rng, "PNG"))
    links = {
        "ants/itself.png": ("itself.png", "a link that leads to itself"),
        "ants/one.png": ("two.png", "a link that leads to itself"),
        "ants/two.png": ("one.png", "a link that leads to itself"),
        "ants/nothing.png": ("nowhere.png", "a link to nothing"),
        "ants/up": ("..", "a link to a folder"),
        "ants/out.png": ("../../outside.png", "a link that leads out of data.root"),
        "ants/absolute.png": (str(outside), "a link that leads out of data.root"),
        "ants/device.png": ("/dev/zero", "a link that leads out of data.root"),
        "ants/name too long.png": ("y" * 300, "cannot be read"),
    }
    for path, (target, reason) in links.items():
        os.symlink(target, root / path)
        expected[path] = reason
    os.mkfifo(root / "bees/pipe.jpg")
    expected["bees/pipe.jpg"] = "not a file"
    (root / "loose.jpg").write_bytes(sound(rng, "JPEG"))
    expected["loose.jpg"] = "lies in no class's folder"
    (root / "lost").mkdir()
    (root / "lost/only.jpg").write_bytes(b"")
    expected["lost/only.jpg"] = "empty"
    expected["lost"] = "a class without one image"
    with open(os.fsencode(root / "bees") + b"/\xff\xfe not utf-8.jpg", "wb") as file:
        file.write(b"no image")
    for i in range(30):
        for name in ("ants", "bees"):
            (root / name / f"{NAMES[i % len(NAMES)]} good {i}.{KINDS[i % 6].lower()}").write_bytes(
                sound(rng, KINDS[i % 6])
            )
            good += 1
    os.symlink("[bold] good 10.gif", root / "ants/a link within.gif")
    return root, expected, good + 1


def settings(root: Path, **fields: object) -> Data:
    return Data(
        source="image_folder",
        name="damaged",
        root=str(root),
        size=16,
        max_pixels=MAX_PIXELS,
        prepared_dir=str(root.parent / "prepared"),
        **fields,  # type: ignore[arg-type]
    )


def test_each_bad_file_is_listed_with_its_reason(folder: tuple[Path, dict[str, str], int]) -> None:
    root, expected, good = folder
    assert len(expected) > 980
    prepared = prepare(settings(root), seed=0)
    assert len(prepared.images) == good
    assert prepared.classes == ["ants", "bees"]
    found = describe(prepared, settings(root), 0).document()
    listed = {one["path"]: one["reason"] for one in found["quarantined"]}
    assert len(listed) == len(found["quarantined"]) == len(expected) + 1
    for path, reason in expected.items():
        assert reason in listed[path.replace("\n", "\\n")], path
    assert "not an image" in listed["bees/\\xff\\xfe not utf-8.jpg"]
    # It can be printed, parsed and shown, whatever the names are.
    json.dumps(found, ensure_ascii=False).encode()
    card = Path(found["card"]).read_text(encoding="utf-8")
    assert "&lt;b&gt;" in card
    assert "<b>-" not in card


def test_the_prepared_form_is_reused_and_notices_what_is_new(folder: tuple[Path, dict[str, str], int]) -> None:
    root, _, good = folder
    first = prepare(settings(root), seed=0)
    made = (first.dir / "images.npy").stat().st_ino
    assert (prepare(settings(root), seed=1).dir / "images.npy").stat().st_ino == made
    new = root / "ants/new.png"
    new.write_bytes(sound(np.random.default_rng(1), "PNG"))
    try:
        assert len(prepare(settings(root), seed=0).images) == good + 1
    finally:
        new.unlink()


def test_random_damage_never_crashes(tmp_path: Path) -> None:
    """Bytes changed anywhere: an image or a reason, and the same one every time."""
    rng, chance = np.random.default_rng(2), random.Random(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(240):
        content = bytearray(sound(rng, KINDS[i % 6]))
        for _ in range(0 if i < 12 else chance.choice((1, 3, 30))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / "photos" / "ab"[i % 2] / f"{i:03d}").write_bytes(content)
    prepared = prepare(settings(tmp_path / "photos"), seed=0)
    quarantined = prepared.manifest["quarantined"]
    assert len(prepared.images) + len(quarantined) == 240
    assert len(prepared.images) >= 12
    again = prepare(settings(tmp_path / "photos", resize="crop"), seed=0)
    assert again.manifest["quarantined"] == quarantined


def test_a_folder_without_one_image_that_can_be_used(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"not one of 2 images can be used \(a/1\.jpg: empty; b/1\.jpg: empty\)"):
        prepare(settings(tmp_path / "photos"), seed=0)
    assert not (tmp_path / "prepared").exists()
