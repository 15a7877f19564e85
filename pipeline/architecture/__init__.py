"""Convolutional networks from a few words of configuration: planned without torch, then built as planned.

    planned = plan({"block": "CAP", "filters": [32, 64]}, input_shape=(1, 28, 28), classes=10)
    network = build({"block": "CAP", "filters": [32, 64]}, input_shape=(1, 28, 28), classes=10)

Importing this package, and planning anything but a timm model, imports no torch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.architecture.config import SCHEMAS, Cnn, Mlp, Section, TextCnn, Timm, section
from pipeline.architecture.guidelines import advice
from pipeline.architecture.kinds import kind_of
from pipeline.architecture.planning import Spec, plan
from pipeline.architecture.plans import Layer, Plan

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "SCHEMAS",
    "Cnn",
    "Layer",
    "Mlp",
    "Plan",
    "Section",
    "Spec",
    "TextCnn",
    "Timm",
    "advice",
    "build",
    "plan",
    "section",
    "stackable",
]


def stackable(planned: Plan) -> bool:
    """Whether networks of this plan can be computed side by side, see stacked.py: a timm model's layers cannot."""
    return all(kind_of(layer.type) for layer in planned.layers)


def build(spec: Spec, input_shape: Sequence[int], classes: int | None) -> "nn.Module":
    """The network of `plan(spec, input_shape, classes)`, with fresh weights drawn from torch's global
    generator.

    It takes float images [N, C, H, W] of any memory format and gives logits [N, classes]; of a sequence, an input of
    shape (tokens, 1, T), whole numbers [N, 1, 1, T]. Its submodules bear
    the planned layers' names (`network.get_submodule(layer.name)`), and `network.plan` is the plan.

    Raises:
        InputError: exactly where `plan` does, with the same message.
    """
    from pipeline.architecture.network import construct  # torch: only for who builds

    return construct(spec, input_shape, classes)
