"""Recordings in files: WAV, FLAC and OGG (Vorbis, Opus), each read once, all cores at work; the others refused.

| in the file                          | becomes                                                                  |
|--------------------------------------|--------------------------------------------------------------------------|
| 8, 16, 24, 32 bits, mu-law, A-law    | -1 to 1                                                                  |
| floating point                       | as it is; refused where it is not finite, or far beyond -1 to 1          |
| several channels                     | their mean                                                               |
| longer than data.seconds             | its middle; nothing else is decoded                                      |
| shorter                              | in the middle of silence                                                 |
| another rate                         | data.rate, by a polyphase filter that leaves out what that cannot hold   |

A file begins with bytes that tell what it is, or is not tried: libsndfile would take nearly anything for one of its
older formats. Its header is read first. Nothing longer than 10 minutes, or with more than 10^8 samples, is decoded.
"""

import os
from collections.abc import Iterator
from math import gcd
from typing import Any

import numpy as np

from pipeline.data.files import UnusableError, in_parallel, regular_file
from pipeline.data.mel import log_mel
from pipeline.data.raw import Photo, Refused

LONGEST_S, MOST_SAMPLES = 600, 10**8
LOWEST_RATE, HIGHEST_RATE = 1_000, 192_000
LOUDEST = 16.0  # of floating point, where 1 is full scale: 24 dB above it; numbers beyond are of another scale
BLOCK = 1 << 18  # samples of all channels that are held at a time


def recordings(root: str, paths: list[str], rate: int, seconds: float, size: int) -> Iterator[Photo | Refused]:
    """One Photo, whose image is a map [size, size, 1], or Refused for each of `paths` below `root`, in order."""
    real_root = os.path.realpath(root)

    def one(path: str) -> Photo | Refused:
        try:
            samples, file_rate, in_all = middle(real_root, os.path.join(root, path), seconds)
            return heard(samples, file_rate, in_all / file_rate, rate, seconds, size)
        except UnusableError as error:
            return Refused(str(error))
        except MemoryError:
            return Refused("does not fit into memory")

    return in_parallel(one, paths)


def heard(samples: np.ndarray, file_rate: int, whole_s: float, rate: int, seconds: float, size: int) -> Photo:
    """The map of samples [n] at `file_rate` a second, the middle of a recording of `whole_s` seconds."""
    wanted = round(seconds * rate)
    samples = cut_or_padded(resampled(samples, file_rate, rate), wanted)
    # A size is two whole numbers: of a sound 1 and hundredths of a second.
    return Photo(log_mel(samples, rate, size)[:, :, None], 1, max(1, round(100 * whole_s)))


def resampled(samples: np.ndarray, file_rate: int, rate: int) -> np.ndarray:
    """float64, about n * rate / file_rate of them."""
    if file_rate == rate:
        return np.asarray(samples, np.float64)
    from scipy.signal import resample_poly  # a second

    common = gcd(file_rate, rate)
    return resample_poly(np.asarray(samples, np.float64), rate // common, file_rate // common)


def cut_or_padded(samples: np.ndarray, wanted: int) -> np.ndarray:
    """The middle of samples, or they in the middle of silence."""
    if len(samples) >= wanted:
        start = (len(samples) - wanted) // 2
        return samples[start : start + wanted]
    before = (wanted - len(samples)) // 2
    return np.pad(samples, (before, wanted - len(samples) - before))


def middle(real_root: str, path: str, seconds: float) -> tuple[np.ndarray, int, int]:
    """Samples [n] of all channels' mean, for up to `seconds`; their rate; how many the file has.

    UnusableError where the file cannot be used.
    """
    import soundfile  # 0.1 s

    size = regular_file(real_root, path)
    try:
        with open(path, "rb", buffering=0) as file:  # libsndfile reads on from where the descriptor is
            _check_beginning(file.read(12), size)
            file.seek(0)
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                return _read(sound, seconds)
    except OSError as error:
        raise UnusableError(f"cannot be read ({error.strerror or error})") from None
    except (RuntimeError, ValueError, TypeError) as error:  # soundfile's own is a RuntimeError
        raise UnusableError(f"damaged ({_why(error)})") from None


def _check_beginning(first: bytes, size: int) -> None:
    riff = first[:4] in (b"RIFF", b"RIFX", b"RF64") and first[8:] == b"WAVE"
    if not (riff or first.startswith((b"fLaC", b"OggS"))):
        if not first.strip(b"\0"):
            raise UnusableError("begins with nothing but zero bytes")
        raise UnusableError("not a recording of a known format (WAV, FLAC, OGG)")
    said = int.from_bytes(first[4:8], "big" if first[:4] == b"RIFX" else "little") + 8
    # What is written into a pipe does not know its length, and says 0 or the most there is.
    if riff and first[:4] != b"RF64" and size < said < 0x7FFFF000:
        raise UnusableError(f"damaged (ends after {size} of {said} bytes)")


def _read(sound: Any, seconds: float) -> tuple[np.ndarray, int, int]:
    frames, rate, channels = sound.frames, sound.samplerate, sound.channels
    if frames <= 0:
        raise UnusableError("holds no samples")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UnusableError(f"{rate} Hz, where {LOWEST_RATE} to {HIGHEST_RATE} can be used")
    if frames > LONGEST_S * rate or frames * channels > MOST_SAMPLES:
        length = f"{frames / rate:.0f} s of {channels} channels"
        raise UnusableError(f"past {LONGEST_S} s or {MOST_SAMPLES} samples ({length})")
    wanted = min(frames, int(np.ceil(seconds * rate)))
    if wanted < frames:
        sound.seek((frames - wanted) // 2)
    found = np.empty(wanted, np.float32)
    step = max(1, BLOCK // channels)
    for start in range(0, wanted, step):
        stop = min(start + step, wanted)
        block = sound.read(stop - start, dtype="float32", always_2d=True)
        if len(block) < stop - start:
            raise UnusableError(f"damaged (ends after {start + len(block)} of {wanted} samples)")
        if not np.isfinite(block).all():
            raise UnusableError("holds values that are no numbers")
        if (loudest := float(np.abs(block).max())) > LOUDEST:
            raise UnusableError(f"floating point up to {loudest:.4g}, where full scale is 1")
        found[start:stop] = block.mean(axis=1, dtype=np.float64)
    return found, rate, frames


def _why(error: Exception) -> str:
    """libsndfile's reason, without what it was asked to open."""
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".").removeprefix("Error : ")
    return reason or type(error).__name__
