"""The vocabulary of a run on text: the most frequent tokens of what it is trained on, and of nothing else.

A prepared set numbers all its tokens from 1 (words.json), 0 being none. What a run sees of it: 0 none, 1 a token that
its vocabulary lacks, 2 and on the tokens of `Prepared.words`, data.vocabulary numbers in all.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np

Data = Any  # data.config.Data and prepared.Prepared, which look their kind up in a table of such modules
Prepared = Any

NONE, UNKNOWN, FIRST = 0, 1, 2


def opened(prepared: Prepared, config: Data, train: np.ndarray) -> Prepared:
    """The set in the numbers of a run that is trained on the indices `train`; ties in frequency go by name.

    int32 [N, 1, T, 1] in memory: 1 GB for four million texts of 64 tokens.
    """
    known = prepared.words
    assert known is not None
    counts = np.bincount(prepared.images[train].ravel(), minlength=len(known) + 1)[1:]
    by_rank = sorted(np.flatnonzero(counts).tolist(), key=lambda i: (-counts[i], known[i]))
    kept = by_rank[: config.vocabulary - FIRST]
    number = np.full(len(known) + 1, UNKNOWN, np.int32)
    number[0] = NONE
    number[1 + np.array(kept, np.intp)] = FIRST + np.arange(len(kept))
    words = [known[i] for i in kept]
    return replace(prepared, images=number[prepared.images], words=words, vocabulary=config.vocabulary)


def packed(words: list[str]) -> np.ndarray:
    """uint8: a vocabulary as what can be saved with weights."""
    return np.frombuffer(json.dumps(words, ensure_ascii=False).encode(), np.uint8).copy()


def unpacked(content: np.ndarray) -> list[str]:
    """The inverse of `packed`. ValueError where it is none."""
    words = json.loads(content.tobytes().decode())
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise ValueError("no list of words")
    return words
