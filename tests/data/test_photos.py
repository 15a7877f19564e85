"""Every kind of image file against pixels known by hand."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, features

from pipeline.data.files import UnusableError
from pipeline.data.photos import decode, photos_of

LIMIT = 1_000_000
RED, GREEN = (255, 0, 0), (0, 255, 0)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    pixels = decode(encoded(image, kind, **options), LIMIT)
    assert pixels.dtype == np.uint8
    return pixels


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_grey_stays_one_channel(kind: str) -> None:
    assert decoded(Image.fromarray(GREY), kind).tolist() == GREY[:, :, None].tolist()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_colour_is_three(kind: str, options: dict[str, object]) -> None:
    assert (decoded(Image.fromarray(COLOUR), kind, **options) == COLOUR).all()


@pytest.mark.parametrize(("kind", "options"), [("PPM", {}), ("JPEG2000", {"irreversible": False})])
def test_formats_of_published_sets(kind: str, options: dict[str, object]) -> None:
    assert (decoded(Image.fromarray(COLOUR), kind, **options) == COLOUR).all()
    assert decoded(Image.fromarray(GREY), kind, **options).tolist() == GREY[:, :, None].tolist()


def test_netpbm_in_all_its_forms() -> None:
    def pixels(text: bytes) -> list[object]:
        return decode(text, LIMIT)[:, :, 0].tolist()

    assert pixels(b"P1\n# ink is 1\n3 1\n1 0 1\n") == [[0, 255, 0]]
    assert pixels(b"P4\n3 1\n\xa0") == [[0, 255, 0]]
    assert pixels(b"P2\n2 1\n255\n7 200\n") == [[7, 200]]
    assert pixels(b"P5\n2 1\n255\n\x07\xc8") == [[7, 200]]
    assert pixels(b"P5\n2 1\n65535\n\x07\x07\xff\xff") == [[7, 255]]  # 16 bits
    assert decode(b"P3\n1 1\n255\n1 2 3\n", LIMIT).tolist() == [[[1, 2, 3]]]
    with pytest.raises(UnusableError, match=r"2000x2000 pixels, past data\.max_pixels"):
        decode(b"P5\n2000 2000\n255\n", LIMIT)
    with pytest.raises(UnusableError, match="floating-point"):
        decode(b"Pf\n1 1\n-1.0\n\0\0\0\0", LIMIT)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without")
def test_avif() -> None:
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert np.abs(decoded(Image.fromarray(smooth), "AVIF").astype(int) - smooth).max() <= 6


def test_lossy_formats_are_near() -> None:
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for kind in ("JPEG", "WEBP"):
        assert np.abs(decoded(Image.fromarray(smooth), kind).astype(int) - smooth).max() <= 4
    cmyk = decoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF")
    assert cmyk.shape == (4, 4, 3)
    assert cmyk[0, 0, 0] > 200 > 60 > cmyk[0, 0, 1]


def test_bilevel_and_palettes() -> None:
    assert decoded(Image.fromarray(GREY > 100))[:, :, 0].tolist() == ((GREY > 100) * 255).tolist()
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *GREEN])
    palette.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        assert decoded(palette, kind).tolist() == [[[*RED], [*GREEN]]]
    palette.putpalette([7, 7, 7, 9, 9, 9])
    assert decoded(palette).tolist() == [[[7], [9]]]


def test_sixteen_bits_are_scaled() -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        assert decoded(Image.fromarray(values), kind)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    with pytest.raises(UnusableError, match="32-bit pixels, whose range is not known"):
        decoded(Image.fromarray(np.array([[70000]], np.int32)), "TIFF")
    with pytest.raises(UnusableError, match="floating-point pixels"):
        decoded(Image.fromarray(np.array([[0.5]], np.float32)), "TIFF")


def test_transparency_is_laid_on_white() -> None:
    ink = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    ink.putpixel((1, 0), (0, 0, 0, 255))
    ink.putpixel((2, 0), (0, 0, 255, 51))
    assert decoded(ink).tolist() == [[[255] * 3, [0] * 3, [204, 204, 255]]]
    grey = Image.new("LA", (2, 1), (0, 0))
    grey.putpixel((1, 0), (100, 255))
    assert decoded(grey).tolist() == [[[255], [100]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *GREEN])
    palette.putpixel((1, 0), 1)
    assert decoded(palette, transparency=0).tolist() == [[[255] * 3, [*GREEN]]]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(orientation: int, turn: Callable[[np.ndarray], np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(Image.fromarray(COLOUR), "PNG", exif=exif.tobytes())
    assert found.tolist() == turn(COLOUR).tolist()


def test_broken_exif_does_not_cost_the_image() -> None:
    image = encoded(Image.fromarray(np.full((8, 8), 90, np.uint8)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    (found,) = photos_of([image], 8, "pad", LIMIT)
    assert found.image.shape == (8, 8, 1)  # type: ignore[union-attr]


def test_of_several_frames_the_first() -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in (RED, GREEN)]
    for kind in ("GIF", "TIFF"):
        assert (decoded(frames[0], kind, save_all=True, append_images=frames[1:]) == RED).all()


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG file whose header claims a size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [1001, 1200, 2000, 60000])
def test_nothing_past_the_limit_is_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    (found,) = photos_of([png_claiming(side, side)], 8, "pad", LIMIT)
    assert "past data.max_pixels=1000000" in found.reason  # type: ignore[union-attr]


def test_at_the_limit_it_is() -> None:
    (found,) = photos_of([encoded(Image.new("L", (1000, 1000)), "PNG")], 8, "pad", LIMIT)
    assert (found.height, found.width) == (1000, 1000)  # type: ignore[union-attr]


def test_formats_that_start_programs_are_not_tried() -> None:
    content = encoded(Image.new("L", (4, 4)), "EPS")
    with pytest.raises(UnusableError, match="not an image of a known format"):
        decode(content, LIMIT)
