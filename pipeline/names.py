"""Texts of any length where there is room for some of it: names of runs and folders, cells of tables, tags."""

import hashlib
from collections.abc import Mapping, Sequence

DIGITS = 8
LONGEST = 60  # characters of a level in the name of its arm


def shortened(text: str, most: int) -> str:
    """`text`, or if it has more than `most` characters its beginning, an ellipsis and digits of its digest.

    Two texts that differ stay two, wherever they do.
    """
    if len(text) <= most:
        return text
    return f"{text[: most - DIGITS - 1]}…{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


def short_names(keys: Sequence[str]) -> list[str]:
    """The last part of each key's name; all of it where these are ambiguous."""
    short = [key.rpartition(".")[2] for key in keys]
    return short if len(set(short)) == len(short) else list(keys)


def arm(levels: Mapping[str, object]) -> str:
    """`kernel_size=3,padding=same`: the levels by the last part of their names, where that is not ambiguous."""
    names = short_names(list(levels))
    words = [shortened(str(value).replace(" ", ""), LONGEST) for value in levels.values()]
    return ",".join(f"{name}={word}" for name, word in zip(names, words, strict=True))
