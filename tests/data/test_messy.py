"""A set made messy: by strength, seed and index, and by nothing else."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data import Data, prepare
from pipeline.data.messy import spoil, spoil_image


def digits(tmp_path: Path, **fields: object) -> Data:
    return Data(size=16, prepared_dir=str(tmp_path / "prepared"), **fields)  # type: ignore[arg-type]


def test_it_is_a_set_of_its_own_that_never_changes(tmp_path: Path) -> None:
    clean = prepare(digits(tmp_path), seed=0)
    forms = {strength: prepare(digits(tmp_path, messy=strength), seed=0) for strength in (0.3, 1.0)}
    assert forms[1.0].dir.name.startswith("digits-16-stretch-messy1-")
    assert len({form.digest for form in [clean, *forms.values()]}) == 3
    elsewhere = prepare(digits(tmp_path / "elsewhere", messy=0.3), seed=5)
    assert elsewhere.digest == forms[0.3].digest
    assert prepare(digits(tmp_path, messy=0.3, messy_seed=1), seed=0).digest != forms[0.3].digest
    assert prepare(digits(tmp_path, messy_seed=1), seed=0).dir == clean.dir  # nothing to seed
    assert (forms[0.3].labels == clean.labels).all()
    # Every image of every split, more with more of it.
    changed = {s: np.abs(form.images.astype(int) - clean.images).mean(axis=(1, 2, 3)) for s, form in forms.items()}
    assert changed[0.3].min() > 0
    assert changed[1.0].mean() > 1.5 * changed[0.3].mean() > 5
    # Copies are still told.
    assert (forms[1.0].same == clean.same).all()
    assert not (forms[1.0].dir / "clean.npy").exists()


def made(folder: Path, images: np.ndarray, parts: np.ndarray, strength: float, seed: int) -> np.ndarray:
    np.save(folder / "images.npy", images)
    return np.concatenate(list(spoil(folder / "images.npy", parts.astype(np.int8), strength, seed)))


def blank(n: int = 40, size: int = 32, channels: int = 1) -> np.ndarray:
    """Black images with a white square in the middle."""
    images = np.zeros((n, size, size, channels), np.uint8)
    images[:, 12:20, 12:20] = 255
    return images


def test_an_image_depends_on_its_index_and_not_on_its_company(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)
    whole = made(tmp_path, images, np.zeros(300), 0.7, 3)
    assert (spoil_image(images, 271, np.arange(300), 0.7, 3) == whole[271]).all()
    assert not (spoil_image(images, 271, np.arange(300), 0.7, 4) == whole[271]).all()


def test_what_it_does_stays_within_what_is_documented(tmp_path: Path) -> None:
    found = made(tmp_path, blank(), np.zeros(40), 1.0, 0)
    dark = blank() == 0
    noise = found[:, :2].astype(int)  # two rows at the edge: hardly anything is there but noise
    assert 5 < np.median(noise[noise > 0]) < 30
    assert found[dark].mean() > 10
    # Off centre: the centre of mass of bright pixels moves, by up to a quarter of the side and what clutter adds.
    centres = np.array([np.argwhere(image[:, :, 0] > 180).mean(axis=0) for image in found]) - 15.5
    assert np.abs(centres).max() > 3
    assert np.abs(centres).max() < 14
    assert np.abs(centres.mean(axis=0)).max() < 3


def test_clutter_comes_from_the_same_part(tmp_path: Path) -> None:
    images = np.concatenate([blank(30, channels=3), blank(30, channels=3)])
    images[:30, 12:20, 12:20, 1:] = 0  # train: red squares
    images[30:, 12:20, 12:20, :2] = 0  # test: blue ones
    found = made(tmp_path, images, np.repeat([0, 2], 30), 1.0, 0).astype(int)
    assert found[:30, :, :, 2].max() < 150 < found[30:, :, :, 2].max()  # blue in train is noise
    assert found[30:, :, :, 0].max() < 150 < found[:30, :, :, 0].max()


def test_noise_is_normal_enough() -> None:
    from pipeline.data.messy import _Draws

    draws = _Draws(0, 0).normal(200_001)
    assert draws.shape == (200_001,)
    assert draws.mean() == pytest.approx(0, abs=0.01)
    assert draws.std() == pytest.approx(1, abs=0.01)
    assert (np.abs(draws) < 1.96).mean() == pytest.approx(0.95, abs=0.01)


# Written down from numpy 2.4.6 and OpenCV 4.14; if it differs, messy results are no longer comparable.
FROZEN = [[[1], [16], [41], [15]], [[42], [1], [60], [9]], [[38], [4], [3], [32]], [[45], [37], [19], [34]]]


def test_it_never_changes() -> None:
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
    assert spoil_image(images, 1, np.arange(2), 1.0, 0).tolist() == FROZEN
