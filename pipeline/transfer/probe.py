"""What a network makes of images, stage by stage, and how well a linear probe tells their classes apart there.

A probe is a ridge regression onto the classes, left out one by one: in closed form, so it has no seed, no epochs and
no held-out part, and is done in a fraction of a second for a thousand images.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.data.images import normalise
from pipeline.transfer.record import Probe

PENALTIES = tuple(10.0**power for power in range(-4, 3))
"""Ridge penalties tried, as fractions of the trace of the features' Gram matrix."""
GRID_UNITS = 512
"""A map is averaged down to a grid of as many cells as leave at most so many numbers: what lies where is kept."""
BATCH = 64


@dataclass(frozen=True)
class Ends:
    """The modules at the ends of a network's stages; `channels_last` says that their maps are [N, H, W, C]."""

    names: Sequence[str]
    channels_last: bool = False


def probe(features_ND: np.ndarray, labels_N: np.ndarray) -> Probe:
    """The leave-one-out accuracy and explained variance of a linear probe on features [N, D] with labels [N].

    Features are standardised. The left-out prediction of ridge regression with hat matrix H is y - (y - Hy)/(1 - h)
    (Allen 1974, PRESS; Golub, Heath & Wahba 1979). The penalty is the one with the least squared error left out.
    """
    x_ND = torch.from_numpy(features_ND).double()  # torch's own algebra keeps to the threads that it was given
    x_ND = x_ND - x_ND.mean(0)
    deviation = x_ND.std(0, correction=0)
    varies = deviation > 1e-9 * deviation.max()
    x_ND = x_ND[:, varies] / deviation[varies]
    n, d = x_ND.shape
    classes, codes = np.unique(labels_N, return_inverse=True)
    if d == 0 or len(classes) < 2:  # nothing to tell apart, or nothing to tell it by
        return Probe(float(np.bincount(codes).max() / n), 0.0)
    y_NK = torch.eye(len(classes), dtype=torch.float64)[torch.from_numpy(codes)]
    centred_NK = y_NK - y_NK.mean(0)
    total = (centred_NK * n / (n - 1)).square().sum()  # of the shares among the others
    # The left singular vectors, by the smaller of the two Gram matrices.
    if d < n:
        square, v = torch.linalg.eigh(x_ND.T @ x_ND)
        keep = square > 1e-10 * square.max()
        u = x_ND @ v[:, keep] / square[keep].sqrt()
    else:
        square, v = torch.linalg.eigh(x_ND @ x_ND.T)
        keep = square > 1e-10 * square.max()
        u = v[:, keep]
    along = u.T @ centred_NK
    best = Probe(0.0, -float("inf"))
    for penalty in PENALTIES:
        shrink = square[keep] / (square[keep] + penalty * d * n)
        hat_N = u.square() @ shrink + 1 / n
        left_NK = (centred_NK - u @ (shrink[:, None] * along)) / (1 - hat_N)[:, None]
        explained = (1 - left_NK.square().sum() / total).item()
        if explained > best.explained:
            accuracy = ((y_NK - left_NK).argmax(1) == torch.from_numpy(codes)).double().mean().item()
            best = Probe(accuracy, explained)
    return best


def as_seen(images_NHWC: np.ndarray, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """uint8 images as a network with such a normalisation takes them: [N, C, H, W], grey or RGB as it wants."""
    x_NCHW = torch.from_numpy(np.ascontiguousarray(images_NHWC)).permute(0, 3, 1, 2)
    return normalise(x_NCHW, mean_C.reshape(-1, 1, 1), std_C.reshape(-1, 1, 1))


@torch.no_grad()
def features(
    network: nn.Module, ends: Ends, images_NHWC: np.ndarray, mean_C: Tensor, std_C: Tensor
) -> list[tuple[np.ndarray, np.ndarray]]:
    """At each end: its map's mean over positions [N, C], and the map averaged to a grid [N, C * cells]."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in ends.names}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            output = (output[-1] if isinstance(output, list | tuple) else output).float()
            if ends.channels_last and output.ndim == 4:
                output = output.permute(0, 3, 1, 2)
            found[name].append((pooled(output, 1), pooled(output, GRID_UNITS)))

        return hook

    handles = [network.get_submodule(name).register_forward_hook(note(name)) for name in ends.names]
    try:
        for start in range(0, len(images_NHWC), BATCH):
            network(as_seen(images_NHWC[start : start + BATCH], mean_C, std_C))
    finally:
        for handle in handles:
            handle.remove()
    return [
        (torch.cat([mean for mean, _ in found[name]]).numpy(), torch.cat([grid for _, grid in found[name]]).numpy())
        for name in ends.names
    ]


def pooled(x: Tensor, units: int) -> Tensor:
    """A map [N, C, H, W], averaged to a square grid of at most `units` numbers in all, [N, C * cells], at least one
    cell. Tokens [N, T, C] are averaged to [N, C]; [N, C] stays."""
    if x.ndim == 2:
        return x
    if x.ndim == 3:
        return x.mean(dim=1)
    cells = max(1, min(int((units / x.shape[1]) ** 0.5), *x.shape[2:]))
    return F.adaptive_avg_pool2d(x, cells).flatten(1)


@contextlib.contextmanager
def distances(network: nn.Module, found: list[float]) -> Iterator[None]:
    """While images run through `network`, sum up what its batch norms are given; then append each one's distance.

    That of mean and deviation of each map to those that the norm keeps, squared, over the variance that it keeps; the
    median over maps, since a map that was constant on the source's images has a variance of nearly nothing.
    """
    sums: dict[str, tuple[int, Tensor, Tensor]] = {}
    norms = {
        name: module for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x_NCP = inputs[0].double().reshape(*inputs[0].shape[:2], -1)
            n, total, squares = sums.get(name, (0, torch.zeros(1), torch.zeros(1)))
            added = x_NCP.sum((0, 2)), x_NCP.square().sum((0, 2))
            sums[name] = n + x_NCP.shape[0] * x_NCP.shape[2], total + added[0], squares + added[1]

        return hook

    handles = [module.register_forward_pre_hook(note(name)) for name, module in norms.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    for name, (n, total, squares) in sums.items():
        norm = norms[name]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = total / n, (squares / n - (total / n).square()).clamp_min(0)
        kept = norm.running_var.double() + norm.eps
        off = (mean - norm.running_mean).square() + (variance.sqrt() - kept.sqrt()).square()
        found.append((off / kept).median().item())


@torch.no_grad()
def calibrate_norms(network: nn.Module, images_NHWC: np.ndarray, mean_C: Tensor, std_C: Tensor) -> None:
    """Give the batch norms of a fresh network the statistics of some images.

    With their own, 0 and 1, maps would fade or blow up from layer to layer.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    for start in range(0, len(images_NHWC), BATCH):
        if len(images_NHWC) - start > 1:
            network(as_seen(images_NHWC[start : start + BATCH], mean_C, std_C))
    network.eval()
