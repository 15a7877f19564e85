"""How many images of one set another one has."""

import dataclasses

import numpy as np

from pipeline import data
from pipeline.data import Data, overlap


def prepared(tmp_path, **changes):
    settings = Data(prepared_dir=str(tmp_path), **changes)
    return data.prepare(settings, 0)


def test_images_of_one_size_are_compared_by_their_pixels(tmp_path):
    one = prepared(tmp_path)
    again = dataclasses.replace(
        one, labels=one.labels[::-1].copy()
    )  # whatever they are called, and wherever they stand
    assert overlap(one, np.arange(0, 100), again, np.arange(50, 500)) == 50 + same_as(one, 50, 500)
    assert overlap(one, np.arange(0, 0), again, np.arange(50, 500)) == 0


def same_as(one, first, last):
    """Of the first fifty, those that look like one of the others: digits has no two alike."""
    flat = {image.tobytes() for image in one.images[first:last]}
    return sum(image.tobytes() in flat for image in one.images[:50])


def test_the_same_set_at_another_size_is_compared_by_the_places(tmp_path):
    small, large = prepared(tmp_path), prepared(tmp_path, size=16)
    assert overlap(large, np.arange(0, 100), small, np.arange(50, 500)) == 50


def test_what_has_another_name_and_size_is_another_set(tmp_path):
    other = data.prepare(Data(source="photo_patches", name="photo_patches", size=16, prepared_dir=str(tmp_path)), 0)
    assert overlap(other, np.arange(10), prepared(tmp_path), np.arange(10)) == 0


def test_of_another_set_of_the_same_name_nothing_can_be_told(tmp_path):
    other = data.prepare(Data(source="photo_patches", name="digits", size=16, prepared_dir=str(tmp_path)), 0)
    assert overlap(other, np.arange(10), prepared(tmp_path), np.arange(10)) is None


def test_messy_images_are_those_that_they_were(tmp_path):
    messy = data.prepare(Data(messy=0.3, prepared_dir=str(tmp_path)), 0)
    assert overlap(messy, np.arange(5, 15), prepared(tmp_path), np.arange(10)) == 5


def test_messy_images_at_other_places_are_those_that_they_were(tmp_path):
    """What is made messy at one place looks otherwise than at another."""
    digits = prepared(tmp_path)
    for name, order in (("first", 1), ("second", -1)):
        np.savez(tmp_path / f"{name}.npz", x=digits.images[::order], y=digits.labels[::order])
    first, second = (
        data.prepare(Data(source="npz", root=str(tmp_path / f"{name}.npz"), messy=0.5, prepared_dir=str(tmp_path)), 0)
        for name in ("first", "second")
    )
    assert overlap(second, np.arange(10), first, np.arange(1790, 1797)) == 7
