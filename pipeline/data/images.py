"""Images as input: uint8 arrays [N, H, W, C] on disk, tensors [B, C, H, W] for a network, which scales them itself."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.raw import Photo, Refused
from pipeline.data.resize import fit
from pipeline.data.sheet import contact_sheet, embedded, named_rows

if TYPE_CHECKING:
    import torch

Data = Any  # data.config.Data and prepared.Prepared, which look their kind up in a table of such modules
Prepared = Any

LUMINANCE = (0.299, 0.587, 0.114)  # of RGB: ITU-R BT.601, as OpenCV


def example_shape(size: int) -> tuple[int, int]:
    """(H, W): a square."""
    return size, size


def declared_shape(config: Data, channels: int) -> tuple[int, int, int]:
    """(C, H, W) of a set with so many channels."""
    return (channels, *example_shape(config.size))


def input_shape(prepared: Prepared) -> tuple[int, int, int]:
    """(C, H, W) of one image."""
    _, height, width, channels = prepared.images.shape
    return channels, height, width


def noise(random: np.random.Generator, n: int, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [n, H, W, C] for an input shape (C, H, W)."""
    channels, height, width = shape
    return random.integers(0, 256, (n, height, width, channels), np.uint8)


def fitted(block_NHWC: np.ndarray, config: Data) -> np.ndarray:
    """Images of one shape on the square that is asked for."""
    return fit(block_NHWC, config.size, config.resize)


def files(root: str, paths: list[str], config: Data, words: list[str] | None = None) -> Iterator[Photo | Refused]:
    """One Photo or Refused for each of `paths` below `root`, in order."""
    from pipeline.data.photos import photos

    return photos(root, paths, config.size, config.resize, config.max_pixels)


def sheet(prepared: Prepared) -> str:
    """HTML: a row of images of each of the first classes."""
    picture = contact_sheet(prepared.images, prepared.labels, len(prepared.classes))
    return embedded(picture, "images of each class", "sheet") + named_rows(prepared.classes)


def one(prepared: Prepared, index: int) -> str:
    """HTML: one image."""
    row = contact_sheet(prepared.images[index : index + 1], np.zeros(1, np.intp), 1)
    return embedded(np.ascontiguousarray(row[:, : len(row)]), "an example")  # the first of the row


def shape_in_words(shape: tuple[int, int, int]) -> str:
    """Of (C, H, W)."""
    channels, height, width = shape
    return f"{height}x{width} {'grey' if channels == 1 else 'colour'}"


def size_in_words(size: Sequence[int]) -> str:
    """Of (height, width)."""
    return f"{size[1]}x{size[0]}"


def to_batch(images_BHWC: np.ndarray) -> "torch.Tensor":
    """The same memory as a tensor [B, C, H, W]: what torch calls channels_last; convolutions take it without a copy."""
    import torch

    return torch.from_numpy(np.asarray(images_BHWC)).permute(0, 3, 1, 2)


def normalise(x_BCHW: "torch.Tensor", mean: "torch.Tensor", std: "torch.Tensor") -> "torch.Tensor":
    """What a network with such a normalisation [C, 1, 1] takes of uint8 images: floats, with its channels.

    Grey into an RGB network is repeated; RGB into a grey one becomes its luminance. Token numbers, int32, are no
    brightness, and are taken as they are.
    """
    import torch

    if x_BCHW.dtype == torch.int32:
        return x_BCHW
    x_BCHW = x_BCHW.float() / 255
    given, wanted = x_BCHW.shape[1], mean.shape[0]
    if given != wanted:
        assert {given, wanted} == {1, 3}
        if given == 1:
            x_BCHW = x_BCHW.expand(-1, 3, -1, -1)
        else:
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
