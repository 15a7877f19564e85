"""Reading weights that others wrote: tensors and nothing else, whatever the file holds."""

import functools
import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import InputError
from pipeline.folders import check_parts

NESTED = ("state_dict", "model", "state_dict_ema", "model_ema")
"""Under which keys training scripts put the weights beside other things."""

SHOWN = 4
"""How many names a message lists."""


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and the SHA-256 of all of them: of names, types, shapes and values, not of the file."""

    tensors: Mapping[str, torch.Tensor]
    digest: str
    run_key: str | None = None  # of the run whose checkpoint it is


def read(file: Path, key: str) -> Weights:
    """The tensors of a safetensors file, or of one that torch saved: a state dict, or a dict that holds one.

    No code in the file is run: torch.load takes weights alone. `key` names the file in messages.

    Raises:
        InputError: no such file, damaged, or not weights alone.
    """
    try:
        stat = file.stat()
    except OSError as error:
        raise InputError(f"{key}: cannot be read ({error.strerror}).") from None
    return _read(file, key, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=1)  # a command looks at its source more than once; a sweep mostly has one
def _read(file: Path, key: str, mtime_ns: int, size: int) -> Weights:
    with file.open("rb") as start:
        head = start.read(16)
    # Eight bytes of length, then JSON: what safetensors begins with.
    found = _safetensors(file, key) if head[8:9] == b"{" or file.suffix == ".safetensors" else _torch(file, key)
    tensors = _tensors(found)
    if not tensors:
        what = f"a {type(found).__name__}" if not isinstance(found, Mapping) else f"a dict of {_some(list(found))}"
        raise InputError(f"{key}: holds no weights by name, but {what}.")
    tensors = {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}  # left by DDP
    return Weights(tensors, digest(tensors), found.get("run_key") if isinstance(found, Mapping) else None)


def _safetensors(file: Path, key: str) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{key}: cannot be read as safetensors ({_line(error)}).") from None


def _torch(file: Path, key: str) -> Any:
    try:
        if zipfile.is_zipfile(file):
            check_parts(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript archives, which are refused all the same
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = _line(error)
        if "nsupported" in str(error) or "not an allowed global" in str(error):
            reason = "it holds more than weights, which could be code: nothing of it was run"
        raise InputError(f"{key}: cannot be read as weights ({reason}).") from None
    except Exception as error:  # a damaged file can make the reader raise anything
        raise InputError(f"{key}: cannot be read as weights ({type(error).__name__}: {_line(error)}).") from None


def _tensors(found: Any) -> dict[str, torch.Tensor]:
    """The tensors by name in what a file held: at its top, or under a key of NESTED."""
    if not isinstance(found, Mapping):
        return {}
    if all(isinstance(value, torch.Tensor) for value in found.values()):
        return dict(found)
    return next((dict(t) for name in NESTED if (t := _tensors(found.get(name)))), {})


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def compare(key: str, what: str, tensors: Mapping[str, torch.Tensor], wanted: set[str], optional: set[str]) -> None:
    """Raise InputError unless `tensors` has all of `wanted`, and nothing but these and `optional`."""
    missing = sorted(name for name in wanted - optional - set(tensors) if not name.endswith("num_batches_tracked"))
    unknown = sorted(set(tensors) - wanted - optional)
    if not missing and not unknown:
        return
    said = []
    if missing:
        said.append(f"{len(missing)} of its {len(wanted)} tensors are missing ({_some(missing)})")
    if unknown:
        said.append(f"{len(unknown)} of the {len(tensors)} in the file are unknown to it ({_some(unknown)})")
    raise InputError(f"{key}: does not fit {what}: {' and '.join(said)}.")


def _some(names: list[Any]) -> str:
    shown = ", ".join(map(str, names[:SHOWN]))
    return f"{shown}, ..." if len(names) > SHOWN else shown


def _line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200].rstrip(".")
