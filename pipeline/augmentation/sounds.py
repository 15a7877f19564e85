"""Changes of log-mel maps that leave what is heard as it is: uint8 [B, bands, moments, 1], as data.mel makes them.

A value is a level from -80 to 0 dB, and 0 is silence. What a recording's own change would do to its map is done to the
map: to the level for gain, to the power of each cell for noise. Masks are those of SpecAugment (Park et al. 2019), one
of each, which stand at the map's mean. Its warping of time is left out: the paper finds that it does least.
"""

import numpy as np

from pipeline.augmentation.draws import Where, uniform, uniform_each

LOWEST_DB = -80.0  # data.mel.LOWEST_DB, and a test holds it to that
# At strength 1.
TIME_SHIFT, FREQUENCY_SHIFT, STRETCH, GAIN_DB, TIME_MASK, FREQUENCY_MASK = 0.2, 0.1, 1.25, 6.0, 0.2, 0.2
LOWEST_SNR_DB, HIGHEST_SNR_DB = 10.0, 40.0


def time_shift(x_BHWC: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Earlier or later by up to a fifth of the map; what comes in is silence."""
    return _moved(x_BHWC, 2, TIME_SHIFT * strength, where, "time_shift")


def frequency_shift(x_BHWC: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Higher or lower by up to a tenth of the bands, as from a shorter or longer throat; what comes in is silence.

    In mel, where a shift is nearly a factor of frequency: Jaitly and Hinton 2013 warp the vocal tract's length so.
    """
    return _moved(x_BHWC, 1, FREQUENCY_SHIFT * strength, where, "frequency_shift")


def _moved(x_BHWC: np.ndarray, axis: int, most: float, where: Where, stream: str) -> np.ndarray:
    along = x_BHWC.shape[axis]
    shifts = np.rint(min(1.0, most) * along * (2 * uniform(*where, stream) - 1)).astype(int)
    source = np.arange(along) - shifts[:, None]
    inside = (source >= 0) & (source < along)
    place = _along(axis)
    moved = np.take_along_axis(x_BHWC, source.clip(0, along - 1)[place], axis)
    return np.where(inside[place], moved, np.uint8(0))


def stretch(x_BHWC: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Slower or faster about its middle, by 0.8 to 1.25 at the same pitch; what comes in is silence."""
    moments = x_BHWC.shape[2]
    factor = STRETCH ** (strength * (2 * uniform(*where, "stretch") - 1))
    middle = (moments - 1) / 2
    source = (np.arange(moments) - middle) / factor[:, None] + middle
    inside = (source >= -0.5) & (source <= moments - 0.5)
    source = source.clip(0, moments - 1)
    low = np.floor(source).astype(int)
    high = np.minimum(low + 1, moments - 1)
    place = _along(2)
    share = (source - low)[place]
    near = np.take_along_axis(x_BHWC, low[place], 2) * (1 - share) + np.take_along_axis(x_BHWC, high[place], 2) * share
    return np.where(inside[place], np.rint(near).astype(np.uint8), np.uint8(0))


def _along(axis: int) -> tuple[slice | None, ...]:
    """Where numbers [B, n] stand beside an array's axis 1 or 2."""
    return (slice(None), slice(None), None, None) if axis == 1 else (slice(None), None, slice(None), None)


def gain(x_BHWC: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Louder or softer by up to 6 dB, as the microphone's distance has it; silence stays what it is."""
    steps = 255 / -LOWEST_DB * GAIN_DB * strength * (2 * uniform(*where, "gain") - 1)
    louder = np.rint(x_BHWC + steps.reshape(-1, 1, 1, 1)).clip(0, 255).astype(np.uint8)
    return np.where(x_BHWC == 0, x_BHWC, louder)


def noise(x_BHWC: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Noise every second time, 10 to 40 dB softer than the map's mean power, evenly drawn; strength 2: 6 dB more.

    The others stay as they are, since those to be judged are: with noise in all of them, no silence is ever seen.
    Powers are added, as if sound and noise were never in step. The noise has one mean power in all bands, so that it
    falls off with frequency where bands are broad (it is nearly pink); in a cell it is that times an exponential draw,
    as the power of a single line of a spectrum is.
    """
    power = _POWERS[x_BHWC]
    drawn = uniform(*where, "noise").reshape(-1, 1, 1, 1)
    snr_db = LOWEST_SNR_DB + (HIGHEST_SNR_DB - LOWEST_SNR_DB) * 2 * drawn
    mean = power.mean(axis=(1, 2, 3), keepdims=True) * strength**2 * 10 ** (-snr_db / 10)
    cells = uniform_each(*where, "noise_cells", x_BHWC[0].size).reshape(x_BHWC.shape)
    power += mean * -np.log1p(-cells)
    db = 10 * np.log10(np.maximum(power, 1e-30))
    return np.where(drawn < 0.5, np.rint(255 * (1 - db / LOWEST_DB).clip(0, 1)).astype(np.uint8), x_BHWC)


_POWERS = 10 ** (np.arange(256) / 255 * -LOWEST_DB / 10 + LOWEST_DB / 10)
_POWERS[0] = 0


def time_mask(x_BHWC: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Up to a fifth of the moments are at the map's mean."""
    return _masked(x_BHWC, 2, TIME_MASK * strength, where, "time_mask")


def frequency_mask(x_BHWC: np.ndarray, strength: float, where: Where) -> np.ndarray:
    """Up to a fifth of the bands are at the map's mean."""
    return _masked(x_BHWC, 1, FREQUENCY_MASK * strength, where, "frequency_mask")


def _masked(x_BHWC: np.ndarray, axis: int, most: float, where: Where, stream: str) -> np.ndarray:
    along = x_BHWC.shape[axis]
    # Widths 0, 1, ..., most are equally likely, and so is each place where the mask lies within the map.
    widths = (uniform(*where, stream) * (min(along, int(most * along)) + 1)).astype(int)
    starts = (uniform(*where, f"{stream}_at") * (along - widths + 1)).astype(int)
    at = np.arange(along)
    inside = (at >= starts[:, None]) & (at < (starts + widths)[:, None])
    mean = np.rint(x_BHWC.mean(axis=(1, 2, 3), keepdims=True)).astype(np.uint8)
    return np.where(inside[_along(axis)], mean, x_BHWC)
