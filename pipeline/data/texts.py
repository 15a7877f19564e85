"""Text as input: int32 token numbers [N, 1, T, 1] on disk, as many as data.size of each text, 0 where it is shorter.

Tokens are, by data.tokens:

| words      | runs of letters and digits with their marks, in small letters; an apostrophe with what follows (it's: |
|            | it, 's); a Chinese or Japanese sign by itself, as no space tells words there; any other sign by itself |
| characters | each one, in small letters; white space of any length as one blank                                    |

after Unicode's composition (NFC); control characters count as white space, curly apostrophes as straight ones. Other
languages without spaces, such as Thai, want characters. Longer texts are cut at their end.
"""

import functools
import html
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.files import UnusableError, opened, regular_file
from pipeline.data.raw import Photo, Refused
from pipeline.data.sheet import CLASSES, chosen
from pipeline.data.vocabulary import FIRST, NONE, UNKNOWN
from pipeline.errors import InputError
from pipeline.terminal import literal

Data = Any  # data.config.Data and prepared.Prepared, which look their kind up in a table of such modules
Prepared = Any

TOKENS = ("words", "characters")
# Ideographs and kana.
ALONE = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
SAME = str.maketrans({"\u2019": "'", "\u02bc": "'", "\xad": None})  # apostrophes; a hyphen that may be left out
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # all that Unicode calls so
MOST_BYTES = 1 << 20  # of one text; a book has as many
MOST_TOKENS = 2_000_000  # different ones in a set: more is no language, and would fill the memory
EMPTY = "an empty line"
SHOWN = 4  # texts of each class on a card


def tokens(text: str, how: str) -> Iterator[str]:
    """The tokens of a text, one after the other."""
    text = unicodedata.normalize("NFC", text).lower().translate(SAME)
    text = CONTROL.sub(" ", text)
    return (one.group() for one in _word().finditer(text)) if how == "words" else iter(" ".join(text.split()))


@functools.cache
def _word() -> re.Pattern[str]:
    """Of the marks that belong to letters, as vowels of Hindi do, Python's \\w knows none; they take 12 ms to find."""
    marks = "".join(chr(c) for c in range(0x300, 0x20000) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    marks += "\u200c\u200d\U000e0100-\U000e01ef"  # what joins letters or keeps them apart; variants of signs
    run = rf"[^\W_{ALONE}](?:[^\W_{ALONE}]|[{marks}])*"
    return re.compile(rf"[{ALONE}][{marks}]*|'?{run}|[^\w\s]|_")


class Numbers(dict[str, int]):
    """Numbers of the tokens of a set, from 1 in the order in which they are met; `words` lists them."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def __missing__(self, token: str) -> int:
        if len(self) >= MOST_TOKENS:
            raise InputError(f"data.tokens=words: there are more than {MOST_TOKENS:,} different ones. Is this text?")
        self.words.append(token)
        self[token] = len(self.words)
        return self[token]


class Known(dict[str, int]):
    """Numbers of a run's vocabulary; what it lacks is UNKNOWN."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__((word, FIRST + i) for i, word in enumerate(words))

    def __missing__(self, token: str) -> int:
        return UNKNOWN


def example(text: str, config: Data, numbers: dict[str, int]) -> Photo | Refused:
    """A text in numbers, int32 [1, T, 1], and how many tokens it has."""
    found = [numbers[one] for one in tokens(text, config.tokens)]
    if not found:
        return Refused("no word in it")
    places = np.zeros((1, config.size, 1), np.int32)
    places[0, : min(len(found), config.size), 0] = found[: config.size]
    return Photo(places, 1, len(found))


def decoded(content: bytes) -> str:
    """Text of bytes, without a byte order mark. UnusableError with the reason where they are none."""
    if len(content) > MOST_BYTES:
        raise UnusableError(f"more than {MOST_BYTES:,} bytes in one text")
    if b"\0" in content:
        raise UnusableError("no text in UTF-8 (it has NUL bytes, as UTF-16 and binary files have)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableError(f"no text in UTF-8 (byte 0x{content[error.start]:02x} at {error.start})") from None


def lines(path: Path, root: Path) -> Iterator[tuple[int, str | Refused]]:
    """Each line of a file below `root`, numbered from 1, without its end: text, or why it cannot be used.

    Raises UnusableError where the file itself cannot be read.
    """
    regular_file(os.path.realpath(root), str(path))
    with opened(str(path)) as file:
        number = 0
        while content := file.readline(MOST_BYTES + 1):
            number += 1
            if len(content) > MOST_BYTES and not content.endswith(b"\n"):
                while (rest := file.readline(MOST_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield number, Refused(f"more than {MOST_BYTES:,} bytes in a line")
                continue
            try:
                text = decoded(content)
            except UnusableError as error:
                yield number, Refused(str(error))
                continue
            yield number, text if text.strip() else Refused(EMPTY)


def documents(root: str, paths: list[str], config: Data, numbers: dict[str, int]) -> Iterator[Photo | Refused]:
    """One text for each of the files `paths` below `root`, in order."""
    real_root = os.path.realpath(root)
    for path in paths:
        try:
            regular_file(real_root, os.path.join(root, path))
            with opened(os.path.join(root, path)) as file:
                content = file.read(MOST_BYTES + 1)
            yield example(decoded(content), config, numbers)
        except UnusableError as error:
            yield Refused(str(error))


def files(root: str, paths: list[str], config: Data, words: list[str] | None = None) -> Iterator[Photo | Refused]:
    """One text for each file, in the numbers of a run's vocabulary."""
    assert words is not None, "of a set's own files, text_folder has the numbers"
    yield from documents(root, paths, config, Known(words))


def example_shape(size: int) -> tuple[int, int]:
    """(H, W): a sequence."""
    return 1, size


def declared_shape(config: Data, channels: int) -> tuple[int, int, int]:
    """(V, 1, T): each token is one of so many."""
    return config.vocabulary, 1, config.size


def input_shape(prepared: Prepared) -> tuple[int, int, int]:
    """(V, 1, T) of one text."""
    return prepared.vocabulary, 1, prepared.images.shape[2]


def normalisation(texts: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of tokens are taken as they are."""
    return np.zeros(1), np.ones(1)


def noise(random: np.random.Generator, n: int, shape: tuple[int, int, int]) -> np.ndarray:
    """int32 [n, 1, T, 1] for an input shape (V, 1, T)."""
    vocabulary, _, size = shape
    return random.integers(0, vocabulary, (n, 1, size, 1), np.int32)


def fitted(block_N1T1: np.ndarray, config: Data) -> np.ndarray:
    """Texts come in as many tokens as are asked for."""
    return block_N1T1


def in_words(prepared: Prepared, index: int) -> str:
    """A text as a network is given it: its tokens, `□` for one that the run's vocabulary lacks."""
    words = prepared.words or []
    found = [int(one) for one in prepared.images[index].ravel() if one != NONE]
    by_character = all(len(word) == 1 for word in islice(words, 100))
    return ("" if by_character else " ").join("□" if one == UNKNOWN else words[one - FIRST] for one in found)


def sheet(prepared: Prepared) -> str:
    """HTML: some texts of each of the first classes, and how much of the set's text a network is not shown."""
    parts = []
    for label, name in enumerate(prepared.classes[:CLASSES]):
        shown = "".join(f"<li>{_text(in_words(prepared, i))}</li>" for i in chosen(prepared.labels, label, SHOWN))
        parts.append(f"<p><b>{_text(name)}</b></p><ul>{shown}</ul>")
    of = prepared.images[prepared.labels >= 0]
    unknown = (of == UNKNOWN).sum() / max(1, (of != NONE).sum())
    full = (of[:, 0, -1, 0] != NONE).mean()
    return "".join(parts) + (
        f'<p class="sub">As a network is given them. {len(prepared.words or []):,} tokens of the training part are in '
        f"the vocabulary; {100 * unknown:.1f} % of all tokens are not (□). {100 * full:.1f} % of the texts fill "
        f"all {of.shape[2]} places, and may be cut.</p>"
    )


def one(prepared: Prepared, index: int) -> str:
    """HTML: one text."""
    return f"<p>{_text(in_words(prepared, index))}</p>"


def shape_in_words(shape: tuple[int, int, int]) -> str:
    """Of (V, 1, T)."""
    return f"{shape[2]} tokens of {shape[0]:,}"


def size_in_words(size: Sequence[int]) -> str:
    """Of (1, tokens)."""
    return f"{size[1]:,} token{'s' * (size[1] != 1)}"


def _text(value: object) -> str:
    return html.escape(literal(value))
