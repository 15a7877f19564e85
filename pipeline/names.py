"""Texts of any length where there is room for some of it: names of runs and folders, cells of tables, tags."""

import hashlib

DIGITS = 8


def shortened(text: str, most: int) -> str:
    """`text`, or if it has more than `most` characters its beginning, an ellipsis and digits of its digest.

    Two texts that differ stay two, wherever they do.
    """
    if len(text) <= most:
        return text
    return f"{text[: most - DIGITS - 1]}…{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"
