"""Photos on their way to the prepared form: killed at any moment, and more of them than fit into memory."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import Data, prepare
from pipeline.data.card import write_card

REPOSITORY = Path(__file__).parents[2]


def photos(root: Path, n: int, side: int) -> Path:
    """Noise of two classes, grey first and one in colour at the end, and every tenth file damaged."""
    rng = np.random.default_rng(0)
    for name in ("ants", "bees"):
        (root / name).mkdir(parents=True)
    for i in range(n):
        noise = rng.integers(0, 256, (side, side, 3) if i == n - 1 else (side, side), np.uint8)
        path = root / ("bees" if i > n // 2 else "ants") / f"{i:05}.png"
        Image.fromarray(noise).save(path, compress_level=1)
        if i % 10 == 5:
            path.write_bytes(path.read_bytes()[:-200])
    return root


def config(root: Path, kept: Path, **fields: object) -> Data:
    keys = {"source": "image_folder", "root": str(root), "name": "photos", "size": 64, "prepared_dir": str(kept)}
    return Data(**(keys | fields))  # type: ignore[arg-type]


def start(settings: Data, after: str = "") -> subprocess.Popen[str]:
    code = f"from pipeline.data import Data, prepare\nprint(prepare({settings!r}, 0).digest)\n{after}"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("messy", [0.0, 0.5])
def test_killed_at_random_moments_the_next_call_gives_the_same(tmp_path: Path, messy: float, endurance: int) -> None:
    root = photos(tmp_path / "raw", 400, 200)
    begin = time.monotonic()
    done = start(config(root, tmp_path / "undisturbed", messy=messy))
    expected = done.communicate()[0].strip()
    whole_s = time.monotonic() - begin
    assert len(expected) == 64
    chance, cut_short, kept = random.Random(0), 0, tmp_path / "prepared"
    for _ in range(100 // endurance):
        process = start(config(root, kept, messy=messy))
        time.sleep(whole_s * chance.uniform(0.1, 1.0))
        process.kill()
        process.communicate()
        finished = kept.exists() and any(not path.name.startswith(".") for path in kept.iterdir())
        cut_short += not finished
        again = prepare(config(root, kept, messy=messy), seed=0)
        assert again.digest == expected
        assert len(again.manifest["quarantined"]) == 40
        assert [path.name for path in kept.iterdir()] == [again.dir.name]
        for path in again.dir.iterdir():
            path.unlink()
        again.dir.rmdir()
    assert cut_short >= 1  # on a busy machine, whose times vary, most kills come late


# Not getrusage's: that begins with the peak of the process that this one was forked from.
PEAK = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


@pytest.mark.slow
@pytest.mark.parametrize("source", ["photos", "npz"])
def test_the_peak_of_memory_does_not_grow_with_the_set(tmp_path: Path, source: str) -> None:
    peaks, sizes = [], []
    for n in (2000, 6000):
        if source == "photos":
            settings = config(photos(tmp_path / f"raw{n}", n, 32), tmp_path / "prepared", size=128)
        else:
            file = tmp_path / f"{n}.npz"
            np.savez(file, x=np.random.default_rng(0).integers(0, 256, (n, 128, 128, 3), np.uint8), y=np.arange(n) % 2)
            settings = config(file, tmp_path / "prepared", source="npz", size=128, messy=0.2)
        process = start(settings, PEAK)
        digest, peak_kb = process.communicate()[0].split()
        assert len(digest) == 64
        peaks.append(int(peak_kb) / 1000)
        sizes.append(n * 128 * 128 * 3 / 1e6)
    # 98 MB of pixels and 295 MB. What is mapped counts while it is in memory, and only so much of it may be.
    assert sizes[1] - sizes[0] > 130
    assert peaks[1] - peaks[0] < 70, peaks


def test_the_card_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    settings = config(photos(tmp_path / "raw", 60, 20), tmp_path / "prepared", size=16)
    prepared = prepare(settings, seed=0)
    path = write_card(prepared, settings, 0)
    assert path.parent == prepared.dir
    page = path.read_text()
    for part in ("ants", "bees", prepared.digest, "data:image/png;base64,", "damaged", "ants/00005.png", "All 20x20"):
        assert part in page
    assert "http" not in page
    assert "<script" not in page
    assert "src=" in page
    assert page.count("src=") == page.count('src="data:')
    path.unlink()
    assert write_card(prepared, settings, 0).read_text() == page
    assert write_card(prepared, settings, 1) != path  # another split
