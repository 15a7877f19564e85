"""The loss of each example. A batch's is their mean, so that the shares of several processes add up to it.

Weights are not divided by their sum over the batch, as torch's cross-entropy does: the shares of a batch have others.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.config.loss import Loss

LEAST = 1e-12  # of 1 - p: the slope of its power is infinite at 0, where gamma is below 1


def class_weights(labels: np.ndarray, classes: int, loss: Loss) -> Tensor | None:
    """float32 [classes] for the labels of a training split, whose mean over the examples is 1; None where all count
    the same. A class that it lacks counts nothing."""
    if loss.class_weights == "none":
        return None
    count_K = np.bincount(labels, minlength=classes)
    there = np.maximum(count_K, 1) * np.count_nonzero(count_K)
    return torch.from_numpy(np.where(count_K > 0, len(labels) / there, 0.0)).float()


def example_losses(logits_BK: Tensor, labels_B: Tensor, loss: Loss, weight_B: Tensor | None = None) -> Tensor:
    """Of each example [B], `weight_B` times what it is."""
    found = F.cross_entropy(logits_BK, labels_B, reduction="none")
    if loss.type == "focal":
        found = found * (-torch.expm1(-found)).clamp_min(LEAST) ** loss.gamma
    return found if weight_B is None else found * weight_B
