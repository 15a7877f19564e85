"""Log-mel maps of sound: how loud each band of frequencies is at each moment, as hearing counts both.

A map has as many bands as moments, `size` of each. What decides a value:

| step     |                                                                                                      |
|----------|------------------------------------------------------------------------------------------------------|
| moments  | `size` of them, seconds / size long (the hop)                                                        |
| window   | Hann (periodic), 32 ms, in the middle of each moment; of one longer than 16 ms as many windows, evenly |
|          | spaced, as are at most 16 ms apart, whose powers are averaged; beyond both ends is silence           |
| spectrum | FFT in float64, with zeros behind the window until the narrowest band has a line of its own          |
| level    | so that the lines of a sine from -1 to 1 (full scale) sum up to 1                                    |
| bands    | triangles with peak 1, each from its neighbour's centre to the other's, evenly spaced in mel from 50 |
|          | Hz to half of the rate, where mel = 2595 log10(1 + Hz / 700) (HTK's)                                 |
| value    | 10 log10 of a band's power, in dB to full scale: -80 and below is 0, 0 and above is 255              |

The lowest band is the last row: at the bottom, as spectrograms are drawn.
"""

import functools

import numpy as np

LOWEST_HZ = 50.0  # below is the hum of mains, and wind
LOWEST_DB = -80.0
WINDOW_S = 0.032


def log_mel(samples: np.ndarray, rate: int, size: int) -> np.ndarray:
    """uint8 [size, size], bands x moments, of samples [n] at `rate` a second, full scale -1 to 1."""
    assert len(samples) >= size
    power = spectrum(samples, rate, size)  # [moments, lines]
    bands = filters(rate, size, 2 * (power.shape[1] - 1)) @ power.T
    return levels(bands)[::-1]


def spectrum(samples: np.ndarray, rate: int, size: int) -> np.ndarray:
    """float64 [size, lines]: the power at each moment of each line, from 0 to half of the rate."""
    length = round(WINDOW_S * rate)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    each = int(np.ceil(len(samples) / size / (length / 2) - 1e-9))  # windows of a moment
    n = size * each
    starts = np.rint((np.arange(n) + 0.5) * len(samples) / n).astype(int)  # half a window before their middles
    padded = np.pad(samples.astype(np.float64), (length // 2, length))
    lines = max(fft_length(rate, size), 1 << (length - 1).bit_length())
    # A sine of amplitude 1 has a mean square of 1/2, and half of that on the lines from 0 up (Parseval).
    scale = 4 / (lines * (window**2).sum() * each)
    found = np.zeros((size, lines // 2 + 1))
    for one in range(each):
        frames = padded[starts[one::each, None] + np.arange(length)] * window
        found += scale * np.abs(np.fft.rfft(frames, lines)) ** 2
    return found


def fft_length(rate: int, bands: int) -> int:
    """The power of two from which on the lines are no further apart than the two lowest edges of bands."""
    edges = edges_hz(rate, bands)
    return 1 << int(np.ceil(np.log2(rate / (edges[1] - edges[0]))))


def edges_hz(rate: int, bands: int) -> np.ndarray:
    """float64 [bands + 2]: where each band begins; the next one is its centre, and the one after that its end."""
    low, high = 2595 * np.log10(1 + np.array([LOWEST_HZ, rate / 2]) / 700)
    return 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)


@functools.lru_cache(maxsize=8)
def filters(rate: int, bands: int, fft: int) -> np.ndarray:
    """float64 [bands, fft / 2 + 1]: what each line counts in each band, the lowest first."""
    hz = np.arange(fft // 2 + 1) * rate / fft
    edges = edges_hz(rate, bands)[:, None]
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def levels(power: np.ndarray) -> np.ndarray:
    """uint8 of powers: 10 log10 of them from -80 to 0, as 0 to 255."""
    db = 10 * np.log10(np.maximum(power, 1e-30))
    return np.rint(255 * (1 - db / LOWEST_DB).clip(0, 1)).astype(np.uint8)
