"""The sheet shows originals and the very draws that a run trains on."""

import numpy as np
import pytest
from PIL import Image

from pipeline.augmentation import Augment, Augmentation
from pipeline.augmentation.preview import CELL, GAP, HEAD, sheet


def cell(page, row, column):
    """The image in a cell, shrunk to its own 8x8 pixels."""
    top, left = HEAD + row * (CELL + GAP), GAP + column * (CELL + GAP)
    return page[top : top + CELL : CELL // 8, left : left + CELL : CELL // 8]


@pytest.mark.parametrize("channels", [1, 3])
def test_each_row_is_an_image_and_each_column_an_epoch(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, channels), dtype=np.uint8)
    config, indices = Augmentation(["rotate", "translate"]), np.array([3, 17])
    path = sheet(images, indices, config, 5, tmp_path / "new" / "sheet.png", epochs=3)
    page = np.asarray(Image.open(path))
    assert page.shape == (HEAD + 2 * (CELL + GAP), GAP + 4 * (CELL + GAP), 3)
    for row, index in enumerate(indices):
        assert (cell(page, row, 0) == images[index]).all()
        for epoch in range(3):
            drawn = Augment(config, 5)(images[[index]], epoch, np.array([index]))[0]
            assert (cell(page, row, 1 + epoch) == drawn).all()
            assert (drawn != images[index]).any()


def test_without_augmentation_every_epoch_is_the_original(tmp_path):
    images = np.full((2, 100, 100, 3), 7, np.uint8)  # larger than a cell
    page = np.asarray(Image.open(sheet(images, [1], Augmentation(), 0, tmp_path / "sheet.png", epochs=1)))
    assert (cell(page, 0, 0) == 7).all()
    assert (cell(page, 0, 1) == 7).all()
