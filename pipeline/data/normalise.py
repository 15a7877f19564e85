"""What the training split says about pixel values."""

import numpy as np


def normalisation(images: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel, float64 [C] each, over `images[train]` scaled to 0..1.

    images: uint8 [N, H, W, C]; train: indices. A channel without any variation gets a deviation of 1.
    Counted as histograms, chunk by chunk: exact, in no particular order, and with little memory.
    """
    assert len(train) > 0
    channels = images.shape[3]
    histogram = np.zeros((channels, 256), np.int64)
    train = np.sort(train)  # reads the file forwards
    chunk = max(1, (1 << 20) // int(np.prod(images.shape[1:])))  # about a megabyte of pixels
    for start in range(0, len(train), chunk):
        pixels = images[train[start : start + chunk]].reshape(-1, channels)
        for channel in range(channels):
            histogram[channel] += np.bincount(pixels[:, channel], minlength=256)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(axis=1)
    std = np.where((histogram > 0).sum(axis=1) > 1, np.sqrt(variance), 1.0)
    return mean, std
