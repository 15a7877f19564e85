"""From what a user asks for to a plan: the way to each kind of section. No torch but for timm's."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.architecture.checks import whole
from pipeline.architecture.config import Cnn, Mlp, Section, TextCnn, Timm, section
from pipeline.architecture.entries import list_entries
from pipeline.architecture.geometry import is_sequence
from pipeline.architecture.matching import plan_matched, reference_of
from pipeline.architecture.plans import Plan
from pipeline.architecture.sections import plan_list, plan_section
from pipeline.errors import InputError

Spec = Sequence[Mapping[str, Any]] | Mapping[str, Any] | Section
"""A `layers` list, an architecture section as a plain dict, or the section itself."""

MAX_PARAMS = 2_000_000_000
"""More than this (8 GB as float32) is refused: a slip of the keyboard, or more than one machine holds."""


def plan(spec: Spec, input_shape: Sequence[int], classes: int | None) -> Plan:
    """Every layer of the network that `spec` describes, for an input of shape (C, H, W).

    A `layers` list is taken at its word: its last dense layer may have any number of units (by default
    `classes`), and a list without a dense layer at its end is a feature extractor. A section is a classifier:
    where `classes` is given, a list in it must end in a dense layer of that many units; `classes=None` leaves
    the class layer out.

    Raises: InputError: a network that is misspelt, does not fit its input, or has more than MAX_PARAMS
    parameters.
    """
    shape = _checked_shape(input_shape)
    if classes is not None:
        whole("classes", classes, 1)
        classes = int(classes)  # NumPy's integers are welcome, but would not go into JSON
    if isinstance(spec, Mapping):
        spec = section(spec)
    if isinstance(spec, Timm):
        if is_sequence(shape):
            raise InputError(
                f"architecture.name={spec.name}: timm's models are for images, and the input is text: {shape[2]} "
                f"tokens of {shape[0]}. Use architecture=text_cnn, cnn or mlp."
            )
        from pipeline.architecture.backbone import plan_backbone  # torch and timm: only for who asks for them

        planned = plan_backbone(spec, shape, classes)
    elif isinstance(spec, Cnn | Mlp) and spec.match != "none":
        reference = plan(reference_of(spec), shape, classes)
        planned = plan_matched(spec, shape, classes, reference)
    elif isinstance(spec, Cnn | Mlp | TextCnn):
        planned = plan_section(spec, shape, classes)
    else:
        planned = plan_list(list_entries(spec, classes), shape)
    return _checked_size(planned)


def _checked_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise InputError(f"input_shape={tuple(input_shape)}: must be (channels, height, width).")
    for i, size in enumerate(input_shape):
        whole(f"input_shape[{i}]", size, 1)
    channels, height, width = map(int, input_shape)
    return channels, height, width


def _checked_size(planned: Plan) -> Plan:
    if planned.params > MAX_PARAMS:
        largest = max(planned.layers, key=lambda layer: layer.params)
        how = f" = {largest.formula}" if largest.formula else ""
        raise InputError(
            f"architecture: {planned.params:,} parameters are more than {MAX_PARAMS:,}. Most of them, "
            f"{largest.params:,}{how}, are in layer {largest.name}."
        )
    return planned
