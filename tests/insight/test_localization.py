"""Boxes and maps by hand, and pixel precision next to scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insight.networks import GAP, classifier
from sklearn.metrics import average_precision_score

from pipeline.insight.localization import (
    edges,
    hits,
    judge,
    largest_box,
    measure,
    middle,
    pixel_precision,
    scaled,
    union_share,
)


def peak(row, column, side=8):
    one = np.zeros((side, side))
    one[row, column] = 1
    return one


def test_a_peak_in_the_box_is_a_hit():
    boxes = np.array([[2, 1, 5, 4]] * 4, float)  # x 2..5, y 1..4
    maps = np.stack([peak(1, 2), peak(3, 4), peak(4, 4), peak(2, 5)])
    assert hits(maps, boxes).tolist() == [True, True, False, False]


def test_a_map_without_a_peak_points_at_the_middle():
    assert hits(np.ones((2, 8, 8)), np.array([[3, 3, 5, 5], [0, 0, 3, 3]], float)).tolist() == [True, False]


def test_overlap_by_hand():
    assert union_share((0, 0, 4, 4), np.array([2, 2, 6, 6])) == pytest.approx(4 / 28)
    assert union_share((0, 0, 4, 4), np.array([0, 0, 4, 4])) == 1
    assert union_share((0, 0, 1, 1), np.array([5, 5, 6, 6])) == 0


def test_the_box_is_about_the_largest_part():
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = True
    mask[2:5, 3:8] = True
    assert largest_box(mask) == (3, 2, 8, 5)


def test_a_perfect_map_reaches_everything():
    boxes = np.array([[2, 1, 5, 4], [0, 0, 8, 8], [6, 6, 8, 8]], float)
    maps = np.zeros((3, 8, 8))
    for one, (xmin, ymin, xmax, ymax) in zip(maps, boxes.astype(int), strict=True):
        one[ymin:ymax, xmin:xmax] = 1
    found = judge(maps, boxes, maps, boxes)
    assert (found.images, found.pointing, found.box, found.best_box) == (3, 1, 1, 1)
    assert found.pixels == pytest.approx(1)


def test_the_threshold_is_that_of_validation():
    """Test maps want 0.9, validation maps want 0.3: what test would have chosen is told beside, and not used."""
    box = np.array([[2, 2, 6, 6]], float)
    small, wide = np.full((1, 8, 8), 0.1), np.full((1, 8, 8), 0.5)
    small[0, 2:6, 2:6] = 0.4
    small[0, 3, 3] = 1
    wide[0, 2:6, 2:6] = 1
    wide[0, 0, 0] = 0
    found = judge(wide, box, small, box)
    assert (found.box, found.best_box) == (0, 1)
    assert 0.1 < found.threshold < 0.4


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pixel_precision_is_the_average_precision(seed):
    source = np.random.default_rng(seed)
    maps = source.integers(0, 1001, (3, 6, 6)) / 1000
    maps[:, 0, 0], maps[:, 0, 1] = 0, 1
    boxes = np.array([[1, 1, 4, 5], [0, 0, 2, 2], [3, 0, 6, 6]], float)
    rows, columns = np.mgrid[:6, :6] + 0.5
    inside = np.stack([(columns >= a) & (columns <= c) & (rows >= b) & (rows <= d) for a, b, c, d in boxes])
    assert pixel_precision(maps, boxes) == pytest.approx(average_precision_score(inside.ravel(), maps.ravel()))


def test_maps_are_scaled_each_by_itself():
    maps = np.array([[[2.0, 4.0]], [[-1.0, -1.0]]])
    assert scaled(maps).tolist() == [[[0, 1]], [[1, 1]]]


def test_what_needs_no_network():
    images = np.zeros((2, 16, 16, 3), np.uint8)
    images[1, 2:6, 9:13] = 255
    boxes = np.array([[7, 7, 9, 9], [8, 1, 14, 7]], float)
    assert hits(middle(images), boxes).tolist() == [True, False]
    assert hits(edges(images), boxes).tolist() == [True, True]  # of the black one nothing has an edge: the middle


def test_a_network_is_measured_beside_what_needs_none():
    """It answers to light, and what is light is in the box; one image of each split has none."""
    source = np.random.default_rng(0)
    images = source.integers(0, 40, (12, 16, 16, 1), dtype=np.uint8)
    boxes = np.full((12, 4), np.nan, np.float32)
    for n in range(10):
        row, column = source.integers(0, 12, 2)
        images[n, row : row + 4, column : column + 4] = 255
        boxes[n] = column, row, column + 4, row + 4
    labels = np.zeros(12, np.int64)
    module = classifier(GAP, (1, 16, 16), conv1_weight=[1, 1], dense1_weight=[1, 1, -1, -1], dense1_bias=[0, 0])
    found = measure(module, images, labels, boxes, np.array([0, 1, 2, 10]), np.array([3, 4, 5, 6, 7, 8, 9, 11]))
    assert list(found) == ["network", "shuffled weights", "the middle", "edges"]
    assert [one.images for one in found.values()] == [7] * 4
    assert (found["network"].pointing, found["network"].box) == (1, 1)
    assert found["the middle"].pointing < 1
    assert measure(module, images, labels, boxes, np.array([10]), np.array([3])) == {}
