"""The transfer of a run, from its data and its source to what run.json says of it. No torch but where it is needed."""

from collections.abc import Mapping
from typing import Any

from pipeline.architecture import Section
from pipeline.data import Data, Prepared, split
from pipeline.transfer.config import Transfer
from pipeline.transfer.outline import Outline, outline
from pipeline.transfer.source import Source


def settle(
    section: Section, transfer: Transfer, prepared: Prepared, options: Data, seed: int, source: Source | None = None
) -> Outline:
    """`outline` for prepared data; of transfer=auto, what its training split (by `options` and `seed`) asks for."""
    if transfer.strategy != "auto":
        return outline(section, transfer, prepared.input_shape, len(prepared.classes), source)
    from pipeline.transfer.advise import advised  # torch: only for who looks at data

    assert source is not None
    return advised(section, transfer, prepared, split(prepared, options, seed)["train"], seed, source)


def record(outlined: Outline, source: Source | None) -> dict[str, Any]:
    """What run.json says of the transfer: {} where there is none. The source's weights are read, and checked to fit.

    Raises:
        InputError: weights that cannot be read, or do not fit the source's network.
    """
    if source is None:
        return {}
    from pipeline.transfer.network import read_source  # torch: only for who reads weights

    return outlined.record() | {"source": read_source(outlined, source).to_json()}


def deciding(record: Mapping[str, Any]) -> list[Any]:
    """What of a record decides the result besides the configuration; part of the run's key."""
    if not record:
        return []
    source = record["source"]
    # The key of a source that is trained for the run says which weights these will be before they are.
    return [source.get("key") or source["digest"], record["network"]]
