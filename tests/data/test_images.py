import numpy as np
import pytest

from pipeline.data.images import normalisation


def test_it_is_the_mean_and_deviation_of_the_training_images_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (500, 4, 6, 3)).astype(np.uint8)
    train = np.random.default_rng(1).permutation(500)[:300]
    images[np.setdiff1d(np.arange(500), train)] = 255
    mean, std = normalisation(images, train)
    pixels = images[train] / 255
    assert mean == pytest.approx(pixels.mean((0, 1, 2)), abs=1e-12)
    assert std == pytest.approx(pixels.std((0, 1, 2)), abs=1e-12)
    assert mean.shape == std.shape == (3,)


def test_the_order_of_the_indices_changes_no_bit() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1)).astype(np.uint8)
    forwards, backwards = normalisation(images, np.arange(50)), normalisation(images, np.arange(50)[::-1])
    assert forwards[0] == backwards[0]
    assert forwards[1] == backwards[1]


def test_many_chunks_are_as_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 256, 256, 1)).astype(np.uint8)
    mean, std = normalisation(images, np.arange(40))
    assert mean == pytest.approx(images.mean() / 255, abs=1e-12)
    assert std == pytest.approx(images.std() / 255, abs=1e-12)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    mean, std = normalisation(np.full((3, 2, 2, 1), 51, np.uint8), np.arange(3))
    assert mean == pytest.approx([0.2])
    assert std.tolist() == [1.0]
