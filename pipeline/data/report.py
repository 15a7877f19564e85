"""What `pipeline.prepare` says about a prepared set."""

import hashlib
from typing import Any

import numpy as np

from pipeline.data.prepared import Prepared, per_class


def describe(prepared: Prepared, splits: dict[str, np.ndarray]) -> dict[str, Any]:
    """The `prepare` document: folder, digest, counts, what was put aside, what leaks between splits."""
    return {
        "dataset": str(prepared.dir),
        "digest": prepared.digest,
        "counts": class_counts(prepared, splits),
        "quarantined": [],
        "duplicates": duplicates_across(prepared, splits),
    }


def class_counts(prepared: Prepared, splits: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """{split: {class: number of examples}}."""
    return {name: per_class(prepared.labels[indices], prepared.classes) for name, indices in splits.items()}


def duplicates_across(prepared: Prepared, splits: dict[str, np.ndarray]) -> list[dict[str, list[Any]]]:
    """Images that are the same to the last bit and lie in more than one split, which makes a test too easy.

    [{"indices": [i, ...], "splits": [the split of each], "classes": [the class of each]}, ...]
    """
    seen: dict[bytes, list[tuple[int, str]]] = {}
    for name, indices in splits.items():
        for index in indices.tolist():
            key = hashlib.blake2b(prepared.images[index].tobytes(), digest_size=16).digest()
            seen.setdefault(key, []).append((index, name))
    return [
        {
            "indices": [index for index, _ in group],
            "splits": [name for _, name in group],
            "classes": [prepared.classes[prepared.labels[index]] for index, _ in group],
        }
        for group in seen.values()
        if len({name for _, name in group}) > 1
    ]
