"""What a network says of images: class probabilities, lot by lot."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.data.images import to_batch
from pipeline.evaluation.predict import placed
from pipeline.serving.inputs import Input
from pipeline.serving.opened import Opened
from pipeline.serving.stream import Lot, lots
from pipeline.training.module import Classifier


@dataclass(frozen=True)
class Answers:
    """Of inputs that follow each other."""

    inputs: list[Input]
    reasons: list[str]  # by input: why it was skipped; "" where it was not
    probabilities: np.ndarray  # float32 [those that were not skipped, classes]
    images: np.ndarray  # uint8 [those, size, size, C]
    greyed: int  # see stream.Lot


def answer(opened: Opened, inputs: list[Input]) -> Iterator[Answers]:
    """The probabilities of all inputs in order; on a GPU, where the network was trained on one and one is here."""
    module = placed(opened.module, opened.settings)
    for lot in lots(inputs, opened):
        yield Answers(lot.inputs, lot.reasons, _probabilities(module, lot), lot.images, lot.greyed)


@torch.inference_mode()
def _probabilities(module: Classifier, lot: Lot) -> np.ndarray:
    if not len(lot.images):
        return np.empty((0, module.val_acc.num_classes or 0), np.float32)
    return module(to_batch(lot.images).to(module.device)).float().softmax(1).cpu().numpy()
