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
    """A valid window that is larger than what it gets, a map or a sequence of places."""

    def __init__(
        self,
        entry: Entry,
        option: str,
        window: geometry.Window,
        map_hw: tuple[int, int],
        key: str | None = None,
        remedies: str = "",
    ) -> None:
        needed = geometry.window_text(window)
        what = "pool" if option == "size" else "kernel"
        super().__init__(
            f"{key or entry.keys[option]}={geometry.along(window)}: layer {entry.name} gets a {shape_text(map_hw)} "
            f"input, and a valid {needed} {what} needs at least {needed}.{remedies}"
        )
        self.entry, self.option, self.window, self.map_hw, self.key = entry, option, window, map_hw, key
        self.largest = min(map_hw) if isinstance(window, int) else map_hw[1]

    def with_remedies(self, remedies: list[str]) -> "DoesNotFitError":
        """The same with what would fit."""
        *most, last = remedies
        text = f" Use {', '.join(most)}{',' if len(most) > 1 else ''}{' or ' if most else ''}{last}."
        return DoesNotFitError(self.entry, self.option, self.window, self.map_hw, self.key, text)


def slide(entry: Entry, before: Before, layer_type: str, size_option: str, channels: int) -> Layer:
    """The planned layer of a window, without parameters; its side is the entry's `size_option`.

    Raises:
        InputError: a vector before it. DoesNotFitError: a valid window larger than the map.
    """
    options = entry.options
    kernel, stride = before.window(options[size_option]), before.window(options["stride"])
    padding = options["padding"]
    _, *map_hw = before.map_for(entry)
    axes = list(zip(map_hw, geometry.sides(kernel), geometry.sides(stride), strict=True))
    height, width = (geometry.output_size(*axis, padding) for axis in axes)
    if min(height, width) < 1:
        raise DoesNotFitError(entry, size_option, kernel, (map_hw[0], map_hw[1]))
    vertical, horizontal = (geometry.pads(*axis, padding) for axis in axes)
    seen = before.field.through(kernel, stride, (vertical, horizontal))
    layer = bare(entry, layer_type, (channels, height, width), seen.size, seen.jump)
    window = {"kernel_size": kernel, "stride": stride, "padding": padding, "pads": (vertical, horizontal)}
    return replace(layer, options=window)


def place_filters(
    entry: Entry,
    before: Before,
    layer_type: str,
    params: Callable[[int, int, geometry.Window, int], int],
    formula: str,
) -> Layer:
    """The planned layer of filters that slide. `params` counts the weights of (positions, filters, kernel, depth)."""
    depth, _, _ = before.map_for(entry)
    filters = entry.options["filters"]
    layer = slide(entry, before, layer_type, "kernel_size", filters)
    kernel = layer.options["kernel_size"]
    _, height, width = layer.output_shape
    positions = f"{width}" if before.is_sequence else f"{height}*{width}"
    return replace(
        layer,
        params=params(height * width, filters, kernel, depth),
        macs=geometry.conv_macs(height * width, filters, kernel, depth),
        formula=formula.format(positions=positions, filters=filters, area=geometry.area_text(kernel), depth=depth),
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
