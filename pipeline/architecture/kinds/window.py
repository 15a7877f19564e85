"""What slides a window over a map: the shape, the pads and the receptive field of its output."""

from collections.abc import Callable
from dataclasses import replace

from pipeline.architecture import checks, geometry
from pipeline.architecture.kinds.kind import Before, BlockOptions, Entry, Option, Options, bare
from pipeline.architecture.plans import Layer, shape_text
from pipeline.errors import InputError

CONV_OPTIONS = {
    "filters": Option(..., checks.count),
    "kernel_size": Option(3, checks.kernel),
    "stride": Option(1, checks.count),
    "padding": Option("same", checks.padding),
}


class DoesNotFitError(InputError):
    """A valid window that is larger than what it gets."""

    def __init__(self, entry: Entry, option: str, map_hw: tuple[int, int], remedies: str = "") -> None:
        size = entry.options[option]
        what = "kernel" if option == "kernel_size" else entry.kind
        super().__init__(
            f"{entry.keys[option]}={size}: layer {entry.name} gets a {shape_text(map_hw)} input, and a valid "
            f"{size}x{size} {what} needs at least {size}x{size}.{remedies}"
        )
        self.entry, self.option, self.map_hw = entry, option, map_hw

    def with_remedies(self, remedies: list[str]) -> "DoesNotFitError":
        """The same with what would fit."""
        *most, last = remedies
        text = f" Use {', '.join(most)}{',' if len(most) > 1 else ''}{' or ' if most else ''}{last}."
        return DoesNotFitError(self.entry, self.option, self.map_hw, text)


def slide(entry: Entry, before: Before, layer_type: str, size_option: str, channels: int) -> Layer:
    """The planned layer of a window, without parameters; its side is the entry's `size_option`.

    Raises:
        InputError: a vector before it. DoesNotFitError: a valid window larger than the map.
    """
    options = entry.options
    kernel, stride, padding = options[size_option], options["stride"], options["padding"]
    _, *map_hw = before.map_for(entry)
    height, width = (geometry.output_size(size, kernel, stride, padding) for size in map_hw)
    if min(height, width) < 1:
        raise DoesNotFitError(entry, size_option, (map_hw[0], map_hw[1]))
    vertical, horizontal = (geometry.pads(size, kernel, stride, padding) for size in map_hw)
    seen = before.field.through(kernel, stride, (vertical, horizontal))
    layer = bare(entry, layer_type, (channels, height, width), seen.size, seen.jump)
    window = {"kernel_size": kernel, "stride": stride, "padding": padding, "pads": (vertical, horizontal)}
    return replace(layer, options=window)


def place_filters(
    entry: Entry, before: Before, layer_type: str, params: Callable[[int, int, int, int], int], formula: str
) -> Layer:
    """The planned layer of filters that slide. `params` counts the weights of (positions, filters, kernel, depth)."""
    depth, _, _ = before.map_for(entry)
    filters, kernel = entry.options["filters"], entry.options["kernel_size"]
    layer = slide(entry, before, layer_type, "kernel_size", filters)
    _, height, width = layer.output_shape
    return replace(
        layer,
        params=params(height * width, filters, kernel, depth),
        macs=geometry.conv_macs(height * width, filters, kernel, depth),
        formula=formula.format(height=height, width=width, filters=filters, kernel=kernel, depth=depth),
        options={"filters": filters, **layer.options},
    )


def conv_options(section: BlockOptions, filters: int) -> Options:
    """The options of a convolution in a block."""
    return {
        "filters": filters,
        "kernel_size": section.kernel_size,
        "stride": section.stride,
        "padding": section.padding,
    }
