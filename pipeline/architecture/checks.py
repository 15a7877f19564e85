"""What options of sections and layers must be. Each raises InputError that names the key as a user types it."""

from collections.abc import Sequence
from numbers import Integral

from pipeline.errors import InputError, at_least, one_of, within

PADDINGS = ("same", "valid")
MAX_KERNEL = 11


def whole(key: str, value: object, low: int, high: int | None = None) -> None:
    """Raise InputError unless `value` is a whole number of at least `low` and at most `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{key}={value}: must be a whole number.")
    if high is None:
        at_least(key, int(value), low)
    else:
        within(key, int(value), low, high)


def count(key: str, value: object) -> None:
    """Raise InputError unless `value` is a whole number of at least 1."""
    whole(key, value, 1)


def count_or_none(key: str, value: object) -> None:
    """Raise InputError unless `value` is a whole number of at least 1, or None."""
    if value is not None:
        whole(key, value, 1)


def kernel(key: str, value: object) -> None:
    """Raise InputError unless `value` is a side of a kernel: 1 to MAX_KERNEL."""
    whole(key, value, 1, MAX_KERNEL)


def kernels(key: str, value: object) -> None:
    """Raise InputError unless `value` is a list of sides of kernels."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise InputError(f"{key}={value}: must be a list of whole numbers, as [3,4,5].")
    for i, side in enumerate(value):
        kernel(f"{key}[{i}]", side)


def padding(key: str, value: object) -> None:
    """Raise InputError unless `value` is one of PADDINGS."""
    one_of(key, value, PADDINGS)


def rate(key: str, value: object) -> None:
    """Raise InputError unless `value` is a dropout rate: 0 <= value < 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(f"{key}={value}: must be a number of at least 0 and below 1.")


def yes_or_no(key: str, value: object) -> None:
    """Raise InputError unless `value` is a bool."""
    if not isinstance(value, bool):
        raise InputError(f"{key}={value}: must be true or false.")
