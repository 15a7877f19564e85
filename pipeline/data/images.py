"""Images as input: uint8 arrays [N, H, W, C] on disk, tensors [B, C, H, W] for a network, which scales them itself."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

LUMINANCE = (0.299, 0.587, 0.114)  # of RGB: ITU-R BT.601, as OpenCV


def input_shape(images_NHWC: np.ndarray) -> tuple[int, int, int]:
    """(C, H, W) of one image."""
    _, height, width, channels = images_NHWC.shape
    return channels, height, width


def to_batch(images_BHWC: np.ndarray) -> "torch.Tensor":
    """The same memory as a tensor [B, C, H, W]: what torch calls channels_last; convolutions take it without a copy."""
    import torch

    return torch.from_numpy(np.asarray(images_BHWC)).permute(0, 3, 1, 2)


def normalise(x_BCHW: "torch.Tensor", mean: "torch.Tensor", std: "torch.Tensor") -> "torch.Tensor":
    """What a network with such a normalisation [C, 1, 1] takes of uint8 images: floats, with its channels.

    Grey into an RGB network is repeated; RGB into a grey one becomes its luminance.
    """
    x_BCHW = x_BCHW.float() / 255
    given, wanted = x_BCHW.shape[1], mean.shape[0]
    if given != wanted:
        assert {given, wanted} == {1, 3}
        if given == 1:
            x_BCHW = x_BCHW.expand(-1, 3, -1, -1)
        else:
            import torch

            x_BCHW = torch.einsum("bchw,c->bhw", x_BCHW, x_BCHW.new_tensor(LUMINANCE)).unsqueeze(1)
    return (x_BCHW - mean) / std


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
