"""Photos in files: each decoded once, all cores at work, and whatever cannot be used refused with its reason.

| in the file                   | becomes                                                                         |
|-------------------------------|---------------------------------------------------------------------------------|
| grey, bilevel                 | 1 channel; a palette whose colours in use are all grey counts as grey           |
| colour, palette, CMYK         | 3 channels                                                                      |
| transparency                  | laid on white, as viewers show it: black ink on nothing stays visible           |
| 16 bits                       | divided by 257, so that 0..65535 becomes 0..255                                 |
| EXIF orientation              | applied                                                                         |
| several frames or pages       | the first                                                                       |

The header is read first; nothing past `max_pixels` is decoded. Only these formats are tried:

| format            | in since                                                                                    |
|-------------------|---------------------------------------------------------------------------------------------|
| JPEG, PNG, WEBP, AVIF | what cameras, scanners and the web make (AVIF where Pillow was built with it)           |
| GIF, BMP, TIFF    | older photos, microscopes                                                                   |
| PPM               | PBM, PGM, PPM and PNM: what many published sets are in (GTSRB, AT&T faces)                  |
| JPEG2000          | whole-slide tiles, satellites                                                               |

All of them begin with bytes that tell them, and are decoded in the process by libraries that browsers or archives
feed strangers' files to, or by Pillow itself. Others start programs (EPS), have no such beginning, so that any file
may be taken for one (TGA), hold several images of which none is the one (ICO, ICNS), or numbers without a range (FITS).
"""

import contextlib
import io
import os
import struct
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.files import UNKNOWN, UnusableError, in_parallel, opened, regular_file
from pipeline.data.raw import Photo, Refused
from pipeline.data.resize import fit

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")


def photos(root: str, paths: list[str], size: int, resize: str, max_pixels: int) -> Iterator[Photo | Refused]:
    """One Photo or Refused for each of `paths` below `root`, in order."""
    real_root = os.path.realpath(root)

    def one(path: str) -> Photo | Refused:
        try:
            return photo(contents(real_root, os.path.join(root, path), max_pixels), size, resize, max_pixels)
        except UnusableError as error:
            return Refused(str(error))

    _limit(max_pixels)
    return in_parallel(one, paths)


def photos_of(encoded: Iterable[bytes], size: int, resize: str, max_pixels: int) -> Iterator[Photo | Refused]:
    """The same for files that are in memory already."""

    def one(content: bytes) -> Photo | Refused:
        try:
            return photo(content, size, resize, max_pixels)
        except UnusableError as error:
            return Refused(str(error))

    _limit(max_pixels)
    return in_parallel(one, encoded)


def _limit(max_pixels: int) -> None:
    """Have Pillow itself stop at our limit, and say nothing about what it mends by itself."""
    from PIL import Image

    Image.init()  # not in every thread at once
    Image.MAX_IMAGE_PIXELS = max_pixels
    # For the whole process: filters are not a thread's own. Bad EXIF, say, is warned of, and harmless.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def contents(real_root: str, path: str, max_pixels: int) -> bytes:
    """What is in a regular file that lies below `real_root`. UnusableError where it is none."""
    size = regular_file(real_root, path)
    if size > 8 * max_pixels + (16 << 20):  # 4 channels of 16 bits, and what is written about them
        raise UnusableError(f"{size} bytes, more than an image within data.max_pixels={max_pixels} has")
    with opened(path) as file:
        return file.read()


def photo(content: bytes, size: int, resize: str, max_pixels: int) -> Photo:
    """An encoded image, decoded and brought onto the square. UnusableError where it cannot be."""
    try:
        pixels = decode(content, max_pixels)
        return Photo(fit(pixels[None], size, resize)[0], *pixels.shape[:2])
    except UnusableError:
        raise
    except MemoryError:
        raise UnusableError("does not fit into memory") from None
    except Exception as error:  # damaged files raise nearly anything
        raise UnusableError(f"damaged ({_first_line(error)})") from error


def decode(content: bytes, max_pixels: int) -> np.ndarray:
    """uint8 [H, W, 1 or 3] of an encoded image. Raises nearly anything where it is damaged."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnusableError(_what_it_is(content)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnusableError(f"past data.max_pixels={max_pixels} ({_first_line(error)})") from None
    with image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnusableError(f"{width}x{height} pixels, past data.max_pixels={max_pixels}")
        image.load()
        # A broken note about the image leaves the image itself whole.
        with contextlib.suppress(ValueError, TypeError, KeyError, SyntaxError, OSError, ArithmeticError, struct.error):
            image = ImageOps.exif_transpose(image)
        return _pixels(image)


def _pixels(image: "Image.Image") -> np.ndarray:
    from PIL import Image

    if image.mode == "F":
        raise UnusableError("floating-point pixels, whose range is not known")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UnusableError("32-bit pixels, whose range is not known")
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)[:, :, None]
    grey = image.mode in ("1", "L", "LA", "La")
    palette = image.mode in ("P", "PA")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    if grey:
        return pixels[:, :, None]
    if palette and (pixels == pixels[:, :, :1]).all():
        return pixels[:, :, :1]
    return pixels


def _what_it_is(content: bytes) -> str:
    if not content.strip(b"\0"):
        return "nothing but zero bytes"
    beginnings = {
        b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF",
    }  # fmt: skip
    for beginning, name in beginnings.items():
        if content.startswith(beginning):
            return f"damaged (begins like {name}, and cannot be read as one)"
    return f"{UNKNOWN} ({', '.join(FORMATS)})"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
