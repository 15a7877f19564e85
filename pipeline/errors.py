"""What a user did wrong, in one clear message. Our own bugs are `assert`s, never this."""

import difflib
from collections.abc import Iterable

LONGEST_S = 1_000_000


class InputError(ValueError):
    """Bad input. The message names the field, what was given and what is allowed; commands exit with 2."""


def nearest(name: str, allowed: Iterable[str], prefix: str = "") -> str:
    """` Did you mean '<prefix>x'?` for the allowed name most like `name`, or nothing where none is like it."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{prefix}{close[0]}'?" if close else ""


def one_of(field: str, value: object, allowed: Iterable[str]) -> None:
    """Raise InputError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise InputError(f"{field}={value}: must be one of {', '.join(allowed)}.{nearest(str(value), allowed)}")


def at_least(field: str, value: float, low: float) -> None:
    """Raise InputError unless `value >= low`."""
    if not value >= low:
        raise InputError(f"{field}={value}: must be at least {low}.")


def within(field: str, value: float, low: float, high: float) -> None:
    """Raise InputError unless `low <= value <= high`."""
    if not low <= value <= high:
        raise InputError(f"{field}={value}: must lie between {low} and {high}.")


def seconds(field: str, value: float) -> None:
    """Raise InputError unless `value` is a time that can be waited for: poll() overflows at 25 days."""
    if not value > 0:
        raise InputError(f"{field}={value}: must be greater than 0.")
    if not value <= LONGEST_S:
        raise InputError(f"{field}={value}: must be a finite number, at most {LONGEST_S:,} (11 days).")
