"""The plans of sections of our own layers (cnn, mlp, text_cnn) and of lists, as they stand: nothing is matched."""

from dataclasses import replace
from typing import Any

from pipeline.architecture.checks import MAX_KERNEL
from pipeline.architecture.config import Cnn, Mlp, TextCnn
from pipeline.architecture.entries import cnn_entries, list_entries, mlp_entries, text_cnn_entries
from pipeline.architecture.geometry import is_sequence
from pipeline.architecture.kinds.kind import Entry
from pipeline.architecture.kinds.window import DoesNotFitError
from pipeline.architecture.placing import place
from pipeline.architecture.plans import LARGEST_SIDE, Plan, shape_text
from pipeline.errors import InputError


def plan_section(spec: Cnn | Mlp | TextCnn, shape: tuple[int, int, int], classes: int | None) -> Plan:
    """The plan of a section as it stands: nothing is matched, and its size is not checked."""
    sequence = is_sequence(shape)
    if isinstance(spec, TextCnn):
        return _plan_text_cnn(spec, shape, classes)
    if spec.embedding is not None and not sequence:
        raise InputError(
            f"architecture.embedding={spec.embedding}: has no effect on a {shape_text(shape)} image, as tokens alone "
            "are embedded. Leave it out (null)."
        )
    if isinstance(spec, Mlp):
        return Plan(shape, place(mlp_entries(spec, classes, sequence), shape))
    if spec.layers is None:
        _refuse_beyond_image(spec, shape)
        try:
            return Plan(shape, place(cnn_entries(spec, classes, sequence), shape))
        except DoesNotFitError as problem:
            raise problem.with_remedies(_remedies(problem, spec, shape, classes)) from None
    planned = plan_list(list_entries(spec.layers, classes), shape)
    last = planned.layers[-1]
    if classes is not None and (last.type, last.output_shape) != ("dense", (classes,)):
        raise InputError(
            f"architecture.layers[{len(planned.layers) - 1}]: the last layer gives {shape_text(last.output_shape)}, "
            f"and the data has {classes} classes. End the list in {{dense: {{}}}}, which has one unit per class."
        )
    return planned


def _plan_text_cnn(spec: TextCnn, shape: tuple[int, int, int], classes: int | None) -> Plan:
    if not is_sequence(shape):
        raise InputError(
            f"architecture.type=text_cnn: is for text, and the input is a {shape_text(shape)} image. "
            "Use architecture=cnn."
        )
    places = shape[2]
    for i, width in enumerate(spec.widths):
        if spec.padding == "same" and width > places:
            raise InputError(
                f"architecture.widths[{i}]={width}: is larger than the {shape_text(shape[1:])} input. "
                f"Use widths of at most {places}, or data.size={2 ** (width - 1).bit_length()}."
            )
    try:
        return Plan(shape, place(text_cnn_entries(spec, classes), shape))
    except DoesNotFitError as problem:
        side = 2 ** (max(spec.widths) - 1).bit_length()
        same = ["architecture.padding=same"] if max(spec.widths) <= places else []
        raise problem.with_remedies([*same, f"widths of at most {places}", f"data.size={side}"]) from None


def _refuse_beyond_image(spec: Cnn, shape: tuple[int, int, int]) -> None:
    """Same padding would let a kernel be larger than the whole image: mostly pads, and a slip more often than a
    wish. A valid one is refused where it does not fit, with what would."""
    side, what = (shape[2], "input") if is_sequence(shape) else (min(shape[1:]), "image")
    if spec.padding == "same" and spec.kernel_size > side:
        raise InputError(
            f"architecture.kernel_size={spec.kernel_size}: is larger than the {shape_text(shape[1:])} {what}. "
            f"Use a kernel_size of at most {side}, or a larger data.size."
        )


def _remedies(problem: DoesNotFitError, cnn: Cnn, shape: tuple[int, int, int], classes: int | None) -> list[str]:
    """Single changes of the section that would make it fit, each of them tried."""

    sequence = is_sequence(shape)

    def fits(candidate: Cnn, shape: tuple[int, int, int] = shape) -> bool:
        try:
            place(cnn_entries(candidate, classes, sequence), shape)
        except DoesNotFitError:
            return False
        return True

    remedies = []
    padding, key = (problem.entry.keys[name].removeprefix("architecture.") for name in ("padding", problem.option))
    if fits(_changed(cnn, padding, "same")):
        remedies.append(f"architecture.{padding}=same")
    smaller = range(min(getattr(cnn, key) - 1, MAX_KERNEL), 0, -1)
    size = next((size for size in smaller if fits(_changed(cnn, key, size))), None)
    if size:
        remedies.append(f"a {key} of at most {size}")
    shallower = range(len(cnn.filters) - 1, 0, -1)
    blocks = next((n for n in shallower if fits(replace(cnn, filters=cnn.filters[:n]))), None)
    if blocks:
        remedies.append(f"at most {blocks} block{'s' * (blocks > 1)} in architecture.filters")
    sides = [2**n for n in range(LARGEST_SIDE.bit_length()) if 2**n > (shape[2] if sequence else min(shape[1:]))]
    side = next((side for side in sides if fits(cnn, (shape[0], 1 if sequence else side, side))), None)
    if side:
        remedies.append(f"data.size={side}")
    return remedies or ["fewer layers"]


def _changed(cnn: Cnn, key: str, value: object) -> Cnn:
    changes: dict[str, Any] = {key: value}
    return replace(cnn, **changes)


def plan_list(entries: list[Entry], shape: tuple[int, int, int]) -> Plan:
    """The plan of a list of layers, taken at its word. A sequence is of tokens, so it begins with an embedding."""
    if is_sequence(shape) and entries[0].kind != "embedding":
        raise InputError(
            f"architecture.layers[0].{entries[0].kind}: gets {shape[2]} tokens of {shape[0]}, and takes a map. "
            "Put {embedding: {size: 64}} before it."
        )
    try:
        return Plan(shape, place(entries, shape))
    except DoesNotFitError as problem:
        what = "widths" if problem.option == "widths" else f"a {problem.option}"
        remedies = ["padding: same", f"{what} of at most {problem.largest}", "a larger data.size"]
        raise problem.with_remedies(remedies) from None
