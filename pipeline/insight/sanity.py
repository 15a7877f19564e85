"""The check of Adebayo et al. 2018: a map that a network of shuffled weights draws as well tells of the image alone."""

import copy

import torch
from scipy.stats import rankdata
from torch import Tensor

from pipeline.training.module import Classifier


def shuffled(module: Classifier, seed: int = 0) -> Classifier:
    """The same network with the numbers of each weight in another order: as spread as before, and nothing learned."""
    other = copy.deepcopy(module).eval()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in other.network.parameters():
            order = torch.randperm(weights.numel(), generator=source).to(weights.device)
            weights.copy_(weights.flatten()[order].reshape(weights.shape))
    return other


def likeness(one_BHW: Tensor, other_BHW: Tensor) -> Tensor:
    """float64 [B]: Spearman's rank correlation of two maps of each image; NaN where either is the same everywhere."""
    ranks = [rankdata(maps.flatten(1).double().cpu().numpy(), axis=1) for maps in (one_BHW, other_BHW)]
    a, b = (torch.from_numpy(some - some.mean(1, keepdims=True)) for some in ranks)
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
