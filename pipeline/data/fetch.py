"""Downloads of published files, each checked against its SHA-256 before it gets its name."""

import hashlib
import os
import secrets
import sys
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from pipeline import folders
from pipeline.bounded import within
from pipeline.errors import InputError

TIMEOUT_S = 5.0  # for the host's name, for its answer, and then for each piece of a file


@dataclass(frozen=True)
class Published:
    """Where a set is published: a URL that ends in '/', and the SHA-256 of each file there."""

    url: str
    sha256: dict[str, str]


def fetch(published: Published, names: list[str], folder: Path) -> None:
    """Download `names` into `folder`, which is made when the first answer comes.

    InputError, within seconds and after one try, where that fails: it says which files to put where.
    """
    missing = folders.missing(folder)
    for name in names:
        part = folder / f".{name}.{secrets.token_hex(4)}.part"
        try:
            _download(published.url + name, published.sha256[name], part)
            os.replace(part, folder / name)
        except (OSError, HTTPException) as error:
            part.unlink(missing_ok=True)
            folders.remove_empty(missing)
            reason = getattr(error, "reason", None) or error
            if isinstance(error, HTTPError):
                error.close()  # it is the response as well
            raise InputError(
                f"data.root={folder}: lacks {', '.join(n for n in names if not (folder / n).exists())}; "
                f"{published.url}{name} could not be fetched ({reason}). "
                f"Put these files into {folder.absolute()}, or name the folder that has them: "
                "data.root=FOLDER."
            ) from error
        except BaseException:  # Ctrl-C
            part.unlink(missing_ok=True)
            folders.remove_empty(missing)
            raise


def _download(url: str, sha256: str, part: Path) -> None:
    response = within(2 * TIMEOUT_S, lambda: urllib.request.urlopen(url, timeout=TIMEOUT_S))
    with response:
        total = int(response.headers.get("Content-Length") or 0)
        part.parent.mkdir(parents=True, exist_ok=True)
        digest, got = hashlib.sha256(), 0
        with part.open("xb") as file:
            while piece := response.read(1 << 20):
                digest.update(piece)
                got += file.write(piece)
                of_total = f" of {total / 1e6:.1f}" if total else ""
                print(f"\r{url}: {got / 1e6:.1f}{of_total} MB", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            file.flush()
            os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        raise OSError(f"its SHA-256 is {digest.hexdigest()}, not {sha256}")
