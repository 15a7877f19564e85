"""Each policy against pixels worked out by hand."""

import numpy as np
import pytest

from pipeline.data.resize import fit


def image(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.uint8)[None, :, :, None]


def rows(images: np.ndarray) -> list[list[int]]:
    assert images.dtype == np.uint8
    return images[0, :, :, 0].tolist()


WIDE = [[0, 10, 20, 30], [40, 50, 60, 70]]


def test_pad_keeps_the_pixels_of_a_smaller_image() -> None:
    assert rows(fit(image([[1, 2], [3, 4]]), 4, "pad")) == [
        [0, 0, 0, 0],
        [0, 1, 2, 0],
        [0, 3, 4, 0],
        [0, 0, 0, 0],
    ]


def test_pad_puts_the_odd_margin_at_the_bottom_right() -> None:
    assert rows(fit(image([[1, 2], [3, 4]]), 3, "pad")) == [[1, 2, 0], [3, 4, 0], [0, 0, 0]]


def test_pad_shrinks_a_larger_image_by_areas_and_keeps_its_shape() -> None:
    assert rows(fit(image(WIDE), 2, "pad")) == [[25, 45], [0, 0]]


def test_pad_leaves_at_least_one_pixel_of_a_very_flat_image() -> None:
    assert rows(fit(image([[100] * 64]), 4, "pad")) == [[0] * 4, [100] * 4, [0] * 4, [0] * 4]


def test_stretch_shrinks_by_areas() -> None:
    assert rows(fit(image([[0, 10, 20, 30]] * 4), 2, "stretch")) == [[5, 25], [5, 25]]


def test_stretch_enlarges_bilinearly() -> None:
    # Pixel centres of the new grid lie at -0.25, 0.25, 0.75, 1.25 of the old one, clamped to its edge.
    assert rows(fit(image([[0, 100], [0, 100]]), 4, "stretch")) == [[0, 25, 75, 100]] * 4


def test_stretch_treats_each_direction_by_itself() -> None:
    # Four columns to two by areas, one row to two by repetition.
    assert rows(fit(image([[0, 10, 20, 30]]), 2, "stretch")) == [[5, 25], [5, 25]]


def test_crop_takes_the_central_square() -> None:
    assert rows(fit(image(WIDE), 2, "crop")) == [[10, 20], [50, 60]]
    assert rows(fit(image([[1, 2, 3]]), 1, "crop")) == [[2]]
    assert rows(fit(image([[0, 12, 24, 30]] * 2), 4, "crop")) == [[12, 15, 21, 24]] * 4


@pytest.mark.parametrize("policy", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (8, 8), (20, 3), (1, 1)])
def test_every_policy_gives_the_square_with_its_channels(policy: str, channels: int, shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, channels)).astype(np.uint8)
    fitted = fit(images, 8, policy)
    assert fitted.shape == (2, 8, 8, channels)
    if shape == (8, 8):
        assert (fitted == images).all()
    # Channels do not mix.
    assert (fit(images[..., -1:], 8, policy) == fitted[..., -1:]).all()
