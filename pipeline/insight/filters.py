"""What the first filters look for, and which images excite the last ones most."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline.insight.taps import at, last_map
from pipeline.training.module import Classifier

BATCH = 256


def first_filters(module: Classifier) -> np.ndarray | None:
    """float [filters, kernel_h, kernel_w, C] in 0..1, grey for no weight: the first convolution, where it sees pixels.

    All on one scale, so that a filter that does little is pale. None where the network begins otherwise.
    """
    first = next((one for one in module.network.modules() if not list(one.children())), None)
    if not isinstance(first, nn.Conv2d) or first.in_channels not in (1, 3):
        return None
    weights = first.weight.detach().float().cpu().permute(0, 2, 3, 1).numpy()
    return 0.5 + 0.5 * weights / max(float(np.abs(weights).max()), 1e-12)


@dataclass(frozen=True)
class Exciting:
    """For each filter of a map, [filters, most] the images that it answers most to and where its peak is, [.., 2]."""

    layer: str
    images: np.ndarray  # places in the array that was searched
    peaks: np.ndarray  # row and column, as shares of the side
    values: np.ndarray


@torch.no_grad()
def exciting(module: Classifier, images_NHWC: np.ndarray, most: int = 5) -> Exciting | None:
    """Which of some uint8 images excite each filter of the last map most; None where the network has no map."""
    layer = last_map(module, torch.from_numpy(images_NHWC[:1]).permute(0, 3, 1, 2))
    if layer is None:
        return None
    peaks, values = [], []
    for start in range(0, len(images_NHWC), BATCH):
        x_BCHW = torch.from_numpy(np.ascontiguousarray(images_NHWC[start : start + BATCH])).permute(0, 3, 1, 2)
        map_BCHW, _ = at(module, layer, x_BCHW.to(module.device))
        height, width = map_BCHW.shape[2:]
        highest, place = map_BCHW.flatten(2).max(2)
        values.append(highest.float().cpu())
        row, column = place // width, place % width
        peaks.append(torch.stack([(row + 0.5) / height, (column + 0.5) / width], 2).cpu())
    values_NF = torch.cat(values)
    order_MF = values_NF.topk(min(most, len(values_NF)), 0).indices
    peaks_MF2 = torch.cat(peaks).gather(0, order_MF[..., None].expand(-1, -1, 2))
    return Exciting(
        layer, order_MF.T.numpy(), peaks_MF2.transpose(0, 1).numpy(), values_NF.gather(0, order_MF).T.numpy()
    )
