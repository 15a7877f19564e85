"""Digits whose place is known."""

import numpy as np
import pytest

from pipeline.data import Data, prepare
from pipeline.errors import InputError

DIGEST = "88e7d61f906c1ebc11324418f411649e08efc891b371b8bb3375340fe9a96247"


def asked(folder, **more):
    given = {"source": "placed_digits", "name": "placed_digits", "size": 32, "prepared_dir": str(folder)}
    return Data(**(given | more))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(asked(tmp_path_factory.mktemp("placed")), seed=0)


def test_it_is_the_same_set_everywhere(prepared):
    assert prepared.images.shape == (1797, 32, 32, 1)
    assert prepared.digest == DIGEST
    assert prepared.columns == {}
    assert prepared.classes == [str(digit) for digit in range(10)]


def test_a_box_is_about_the_ink_which_is_the_scan(prepared):
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    assert (prepared.labels == labels).all()
    boxes = prepared.boxes.astype(int)
    assert (boxes == prepared.boxes).all()
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides.min(), sides.max()) == (4, 16)  # a slim 1, and a whole scan
    assert ((boxes >= 0) & (boxes <= 32)).all()
    for image, scan, (xmin, ymin, xmax, ymax) in zip(prepared.images, scans, boxes, strict=True):
        outside = image[..., 0].copy()
        outside[ymin:ymax, xmin:xmax] = 0
        # A photo at a third of its brightness, and the faint rim of the scan.
        assert outside.max() <= 85
        assert image.max() >= 0.6 * 255 * scan.max() / 16


def test_places_are_everywhere_and_follow_no_class(prepared):
    centres = (prepared.boxes[:, :2] + prepared.boxes[:, 2:]) / 2
    assert np.allclose(centres.mean(0), 16, atol=0.5)
    assert (centres.std(0) > 4).all()
    for digit in range(10):
        assert np.allclose(centres[prepared.labels == digit].mean(0), 16, atol=1.5)


def test_boxes_grow_with_the_image(prepared, tmp_path):
    larger = prepare(asked(tmp_path, size=64), seed=0)
    assert (larger.boxes == 2 * prepared.boxes).all()


def test_it_reads_no_folder(tmp_path):
    with pytest.raises(
        InputError, match=r"data\.source=placed_digits is embedded and reads no folder; leave it null\.$"
    ):
        prepare(asked(tmp_path / "prepared", root=str(tmp_path)), seed=0)
