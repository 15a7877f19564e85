"""Log-mel maps against numbers worked by hand."""

import numpy as np
import pytest

from pipeline.data.mel import edges_hz, filters, levels, log_mel, spectrum
from pipeline.data.recordings import cut_or_padded, resampled

RATE = 8000


def sine(hz, seconds=1.0, rate=RATE, loud=1.0):
    return loud * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def row_of(band, size):
    """Of a map, whose lowest band is at the bottom."""
    return size - 1 - band


def test_bands_are_evenly_spaced_in_mel():
    # 2595 log10(1 + 50 / 700) = 77.75 and 2595 log10(1 + 4000 / 700) = 2146.06; of 3 bands the step is 517.08.
    # 700 (10 ** (594.83 / 2595) - 1) = 486.62 and so on.
    assert edges_hz(8000, 3) == pytest.approx([50, 486.66, 1177.5, 2270.6, 4000], abs=1)
    assert 2595 * np.log10(1 + 1000 / 700) == pytest.approx(999.99, abs=0.01)  # 1000 Hz are 1000 mel


def test_bands_are_triangles_that_sum_up_to_one():
    edges, weights = edges_hz(8000, 3), filters(8000, 3, 4096)
    hz = np.arange(2049) * 8000 / 4096
    between = (hz > edges[1]) & (hz < edges[3])
    assert weights[:, between].sum(0) == pytest.approx(1)
    assert np.abs(hz[weights.argmax(1)] - edges[1:-1]).max() < 8000 / 4096
    assert (weights[0, hz < 50] == 0).all()
    assert (weights[0, hz > edges[2]] == 0).all()
    halfway = (edges[1] + edges[2]) / 2
    assert np.interp(halfway, hz, weights[0]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("rate", "size"), [(8000, 8), (8000, 128), (44100, 64), (16000, 256)])
def test_every_band_has_a_line(rate, size):
    lines = spectrum(np.zeros(rate), rate, size).shape[1]
    assert (filters(rate, size, 2 * (lines - 1)).sum(1) > 0).all()


def test_a_full_scale_sine_is_two_thirds_on_its_line_and_a_sixth_beside():
    # Hann's: 1, 1/2, 1/2 in amplitude, of which the powers 1, 1/4, 1/4 are 2/3, 1/6, 1/6. 1,000 Hz is line 32 of 256.
    power = spectrum(sine(1000), RATE, 8)
    assert power.shape == (8, 129)
    assert power[4, 31:34] == pytest.approx([1 / 6, 2 / 3, 1 / 6], rel=1e-9)
    assert power[4].sum() == pytest.approx(1)
    assert spectrum(sine(1000, loud=0.1), RATE, 8)[4].sum() == pytest.approx(0.01)


def test_decibels_to_full_scale():
    # -80 dB is 0 and 0 dB 255; -40 dB is 127.5, and a step 80 / 255 dB.
    assert levels(np.array([0, 1e-9, 1e-8, 1e-4 * 1.001, 1e-2, 1, 100])).tolist() == [0, 0, 0, 128, 191, 255, 255]


def test_a_sine_at_a_bands_centre_lights_that_band_and_gain_moves_it():
    hz = edges_hz(RATE, 32)[1 + 20]
    loud, soft = log_mel(sine(hz), RATE, 32), log_mel(sine(hz, loud=0.1), RATE, 32)
    assert (loud[:, 2:-2].argmax(0) == row_of(20, 32)).all()
    assert 250 <= loud[row_of(20, 32), 16] <= 255
    # 20 dB are 63.75 steps.
    assert int(loud[row_of(20, 32), 16]) - int(soft[row_of(20, 32), 16]) == pytest.approx(63.75, abs=1)
    assert (log_mel(np.zeros(RATE), RATE, 32) == 0).all()


def test_time_runs_to_the_right():
    samples = sine(1000)
    samples[: RATE // 2] = 0
    found = log_mel(samples, RATE, 32).max(0)
    assert (found[:15] == 0).all()
    assert (found[17:] > 200).all()


@pytest.mark.parametrize(("size", "seconds"), [(8, 0.1), (32, 1.0), (64, 0.3), (100, 7.3)])
def test_every_moment_is_heard(size, seconds):
    samples = np.zeros(round(seconds * RATE))
    for at in np.linspace(0, len(samples) - 1, 13).astype(int):
        click = samples.copy()
        click[at] = 1
        assert int(log_mel(click, RATE, size).max(0).argmax()) == pytest.approx(
            (at + 0.5) * size / len(samples), abs=1.1
        )


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 22050, 44100, 48000])
def test_resampling_keeps_pitch_and_loudness(rate):
    samples = resampled(sine(997, rate=rate, loud=0.5), rate, RATE)
    assert len(samples) == pytest.approx(RATE, abs=1)
    middle = samples[1000:7000] * np.hanning(6000)
    heard = np.abs(np.fft.rfft(middle))
    assert heard.argmax() * RATE / 6000 == pytest.approx(997, abs=1)
    assert np.abs(samples[1000:7000]).max() == pytest.approx(0.5, abs=0.01)


def test_what_the_lower_rate_cannot_hold_is_left_out_and_not_folded_back():
    samples = resampled(sine(7000, rate=44100), 44100, RATE)
    assert np.abs(samples[1000:7000]).max() < 0.01


def test_the_middle_is_cut_and_silence_stands_at_both_ends():
    assert cut_or_padded(np.arange(10), 4).tolist() == [3, 4, 5, 6]
    assert cut_or_padded(np.array([1, 2, 3]), 6).tolist() == [0, 1, 2, 3, 0, 0]
