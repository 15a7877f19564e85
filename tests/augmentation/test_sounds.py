"""What each word for sounds does to a map, by hand numbers, and what it is drawn by."""

import numpy as np
import pytest

from pipeline.augmentation import Augment, Augmentation, sounds
from pipeline.augmentation.draws import STREAMS, uniform_each
from pipeline.config import Config
from pipeline.data import Data, mel
from pipeline.data.kinds import KINDS
from pipeline.errors import InputError

WORDS = KINDS["sound"].augmentations
INDICES = np.arange(400)


@pytest.fixture(scope="module")
def maps():
    """400 maps of 20 bands and 30 moments, a third of whose cells are silent."""
    random = np.random.default_rng(0)
    return (random.integers(1, 256, (400, 20, 30, 1)) * (random.random((400, 20, 30, 1)) > 0.33)).astype(np.uint8)


def done(word, maps, strength=1.0, seed=0, epoch=0, indices=None):
    indices = INDICES[: len(maps)] if indices is None else indices
    return Augment(Augmentation([word], strength=strength), seed)(maps, epoch, indices)


@pytest.fixture
def draw(monkeypatch):
    """Numbers by hand in the place of drawn ones."""

    def given(**numbers):
        def number(seed, epoch, indices, stream):
            return np.full(len(indices), numbers[stream])

        monkeypatch.setattr(sounds, "uniform", number)

    return given


def test_scales_are_those_of_the_maps():
    assert sounds.LOWEST_DB == mel.LOWEST_DB
    power = np.array([1e-7, 1e-3, 1.0])
    assert sounds._POWERS[mel.levels(power)] == pytest.approx(power, rel=0.04)  # half a step of 80 / 255 dB


@pytest.mark.parametrize("word", WORDS)
def test_seed_epoch_and_index_decide_and_nothing_else(word, maps):
    whole = done(word, maps)
    assert np.array_equal(done(word, maps), whole)
    some = np.array([300, 7, 42])
    assert np.array_equal(done(word, maps[some], indices=some), whole[some])
    for other in ({"seed": 1}, {"epoch": 1}, {"indices": INDICES + 400}):
        assert (done(word, maps, **other) != whole).any(axis=(1, 2, 3)).mean() > 0.6


def test_numbers_of_one_purpose_are_uniform_and_apart():
    found = uniform_each(1, 2, np.arange(100), "noise_cells", 200)
    counts = np.histogram(found, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001
    assert np.abs(np.corrcoef(found[:20]) - np.eye(20)).max() < 0.35
    assert np.array_equal(uniform_each(1, 2, np.array([7]), "noise_cells", 200)[0], found[7])


def test_streams_are_at_the_end():
    assert STREAMS[:11] == ("rotate", "scale", "translate_x", "translate_y", "flip", "brightness", "contrast",
                            "saturation", "cutout_x", "cutout_y", "spelled")  # fmt: skip


def test_a_shift_by_a_fifth_by_hand(draw):
    x = np.arange(1, 11, dtype=np.uint8).reshape(1, 1, 10, 1)
    draw(time_shift=1.0)
    assert done("time_shift", x).ravel().tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    draw(time_shift=0.0)
    assert done("time_shift", x).ravel().tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 0, 0]
    assert done("time_shift", x, strength=0.5).ravel().tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 0]
    draw(time_shift=0.5)
    assert np.array_equal(done("time_shift", x), x)


def test_a_shift_by_a_tenth_of_the_bands_by_hand(draw):
    x = np.arange(1, 11, dtype=np.uint8).reshape(1, 10, 1, 1)  # the highest band first
    draw(frequency_shift=1.0)
    assert done("frequency_shift", x).ravel().tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    draw(frequency_shift=0.0)
    assert done("frequency_shift", x, strength=2).ravel().tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 0, 0]


def test_twice_as_long_by_hand(draw, monkeypatch):
    monkeypatch.setattr(sounds, "STRETCH", 2.0)
    draw(stretch=1.0)
    x = np.array([0, 80, 0], np.uint8).reshape(1, 1, 3, 1)
    assert done("stretch", x).ravel().tolist() == [40, 80, 40]
    draw(stretch=0.0)
    assert done("stretch", np.full((1, 1, 6, 1), 9, np.uint8)).ravel().tolist() == [0, 9, 9, 9, 9, 0]


def test_gain_by_hand(draw):
    x = np.array([0, 1, 100, 250], np.uint8).reshape(1, 1, 4, 1)
    draw(gain=1.0)  # 6 dB are 6 x 255 / 80 = 19.1 steps
    assert done("gain", x).ravel().tolist() == [0, 20, 119, 255]
    draw(gain=0.0)
    assert done("gain", x, strength=2).ravel().tolist() == [0, 0, 62, 212]


def test_noise_is_as_loud_as_was_drawn(maps, draw):
    power = sounds._POWERS[maps]
    for drawn, strength, snr_db in ((0.0, 1, 10), (0.4999, 1, 40), (0.25, 1, 25), (0.0, 2, 10 - 20 * np.log10(2))):
        draw(noise=drawn)
        noisy = done("noise", maps, strength)
        silent = maps == 0  # where there is the noise alone
        noise = sounds._POWERS[noisy][silent].mean()
        assert 10 * np.log10(power.mean() / noise) == pytest.approx(snr_db, abs=0.3)
    assert (done("noise", maps).astype(int) >= maps).all()
    draw(noise=0.5)
    assert np.array_equal(done("noise", maps), maps)


def test_noise_of_a_silent_map_is_silence():
    assert not done("noise", np.zeros((3, 8, 8, 1), np.uint8)).any()


@pytest.mark.parametrize(("word", "axis", "along"), [("time_mask", 2, 30), ("frequency_mask", 1, 20)])
@pytest.mark.parametrize(("strength", "share"), [(1, 0.2), (2, 0.4), (4, 0.8)])
def test_masks_are_one_stretch_within_their_bounds(word, axis, along, strength, share, maps):
    made = done(word, maps, strength)
    mean = np.rint(maps.mean(axis=(1, 2, 3))).astype(int)
    other = 3 - axis
    widths, places = [], np.zeros(along)
    for given, masked, level in zip(maps, made, mean, strict=True):
        inside = (masked == level).all(axis=(other - 1, 2))
        assert np.array_equal(np.compress(~inside, masked, axis - 1), np.compress(~inside, given, axis - 1))
        at = np.flatnonzero(inside)
        assert len(at) == 0 or np.array_equal(at, np.arange(at[0], at[-1] + 1))
        widths.append(len(at))
        places += inside
    most = int(share * along)
    counts = np.bincount(widths, minlength=most + 1)
    assert len(counts) == most + 1
    assert ((counts - 400 / (most + 1)) ** 2 / (400 / (most + 1))).sum() < most + 5 * np.sqrt(2 * most) + 5
    assert places.min() > 0


@pytest.mark.parametrize("word", ["rotate", "flip", "cutout", "colour"])
def test_a_map_is_not_turned(word):
    said = rf"augmentation\.transforms={word}: data\.source=tones gives sounds; what can be done to them: stretch"
    with pytest.raises(InputError, match=said):
        Config(data=Data(source="tones"), augmentation=Augmentation([word]))


@pytest.mark.parametrize("word", WORDS)
def test_an_image_is_not_heard(word):
    with pytest.raises(InputError, match=rf"augmentation\.transforms={word}: data\.source=digits gives images"):
        Config(augmentation=Augmentation([word]))
