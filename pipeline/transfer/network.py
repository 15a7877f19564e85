"""The torch side: the network of a run, what it takes from its source, what of it is frozen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import architecture
from pipeline.architecture import Timm
from pipeline.errors import InputError
from pipeline.records import RunRecord
from pipeline.transfer.build import construct
from pipeline.transfer.outline import Outline
from pipeline.transfer.record import SourceRecord, record_from_json
from pipeline.transfer.source import Source, planned
from pipeline.transfer.strategies import FROZEN, NEW, Tuning
from pipeline.transfer.weights import Weights, compare, read


def of_run(run: RunRecord) -> nn.Module:
    """The network of a run by its run.json, with fresh weights; what is frozen asks for no gradients."""
    section, record = architecture.section(run.config["architecture"]), record_from_json(run.transfer)
    channels, height, width = run.dataset.input_shape
    classes = len(run.dataset.classes)
    if record is None:
        return architecture.build(section, (channels, height, width), classes)
    shape = (record.channels, height, width)
    network = construct(section, planned(section, shape, classes, record.depth, record.behind), classes)
    freeze(network, record.tuning)
    return network


def tuning_of(run: RunRecord) -> Tuning | None:
    """How a run is trained, by its run.json; None where all its weights are, alike."""
    record = record_from_json(run.transfer)
    return record.tuning if record else None


def freeze(network: nn.Module, tuning: Tuning) -> None:
    """No gradient is ever made for what is frozen, so that no graph is built on the way to it."""
    for name, weights in network.named_parameters():
        part = tuning.part(name)
        weights.requires_grad_(part is None or part.role != FROZEN)


def load(network: nn.Module, begins: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    """Give the network its source's weights, as a run's record says what it begins with.

    Returns the source's mean and standard deviation per channel.

    None, and nothing is done, for a run that takes no weights. Raises InputError where the file is gone, or is
    another one than the run began with.
    """
    record = record_from_json(begins)
    if record is None:
        return None
    source = record.source
    if source.file is None or source.digest is None:
        return None
    key = f"transfer.source={source.named}: {source.file}"
    weights = read(Path(source.file), key)
    if weights.digest != source.digest:
        raise InputError(
            f"{key}: holds other weights (digest {weights.digest[:12]}) than those the run was begun with "
            f"({source.digest[:12]})."
        )
    tensors = _named(weights, source.is_run)
    for name in record.head:
        # timm's own starts are meant for training from nothing: MobileNetV2's for two classes draws weights up to
        # 0.7, with which the first epochs of a head on hymenoptera go by at a loss of 3 to 5.
        if isinstance(head := network.get_submodule(name), nn.Linear | nn.Conv2d):
            head.reset_parameters()
    state = network.state_dict()
    with torch.no_grad():
        for name, theirs in _taken(state, tensors, record.tuning).items():
            state[name].copy_(tensors[theirs])
    return torch.tensor(source.mean), torch.tensor(source.std)


def seed_of(run: RunRecord) -> int:
    """What a run's fresh weights are drawn from.

    A source that was trained for the run began from the run's own seed. What is new in the run begins elsewhere:
    from where the source's later layers began, they would find back to what the copied ones are used to.
    """
    seed, record = run.config["seed"], record_from_json(run.transfer)
    return seed ^ (1 << 31) if record and record.source.key else seed


def read_source(outlined: Outline, source: Source) -> SourceRecord:
    """What run.json says of the source, after its weights were read and found to fit.

    Raises:
        InputError: weights that cannot be read, or do not fit the source's network by name and shape.
    """
    if not outlined.loads:
        return SourceRecord(source.named, source.is_run, key=source.key)
    assert source.file is not None
    key = f"transfer.source={source.named}: {source.file}" if source.is_run else f"transfer.weights={source.file}"
    weights = read(source.file, key)
    if source.is_run and weights.run_key not in (None, source.run_key):
        raise InputError(f"{key}: is a checkpoint of another run.")
    tensors = _named(weights, source.is_run)
    assert outlined.tuning is not None
    classes = outlined.plan.output_shape[0]
    with torch.device("meta"):
        network = construct(outlined.section, outlined.plan, classes)
        theirs = _source_network(outlined, source, classes)
    heads: set[str] = set()
    if not source.is_run:
        from pipeline.architecture.backbone import classifier

        heads = {f"{name}.{leaf}" for name in classifier(theirs) for leaf in ("weight", "bias")}
    compare(key, _what(source), tensors, set(theirs.state_dict()), heads)
    state = network.state_dict()
    taken = _taken(state, tensors, outlined.tuning)
    wrong = [name for name in taken if state[name].shape != tensors[taken[name]].shape]
    if wrong:
        one = wrong[0]
        raise InputError(
            f"{key}: does not fit {_what(source)} at data.size={outlined.plan.input_shape[1]}: {len(wrong)} of its "
            f"tensors have other shapes ({one} is {_shape(tensors[taken[one]])} there and {_shape(state[one])} here)."
        )
    if source.is_run:
        if missing := {"mean", "std"} - set(weights.tensors):
            raise InputError(f"{key}: is no checkpoint of this pipeline: it lacks {min(missing)}.")
        mean, std = (weights.tensors[name].flatten().tolist() for name in ("mean", "std"))
    else:
        assert isinstance(source.section, Timm)
        from pipeline.transfer import published

        mean, std = map(list, published.normalisation(source.section))
    return SourceRecord(
        named=source.named,
        is_run=source.is_run,
        file=str(source.file),
        digest=weights.digest,
        key=source.key,
        mean=tuple(mean),
        std=tuple(std),
        tensors_loaded=len(taken),
        tensors_left_out=tuple(sorted(set(tensors) - set(taken.values()))),
    )


def _source_network(outlined: Outline, source: Source, classes: int) -> nn.Module:
    """On the meta device, the network whose weights the source has."""
    if source.is_run:
        assert source.classes is not None
        return construct(source.section, source.plan(), source.classes)
    return construct(source.section, architecture.plan(source.section, outlined.plan.input_shape, classes), classes)


def _named(weights: Weights, is_run: bool) -> dict[str, Tensor]:
    """Tensors by the names that they have in the network."""
    if not is_run:
        return dict(weights.tensors)
    prefix = "network."
    return {name.removeprefix(prefix): t for name, t in weights.tensors.items() if name.startswith(prefix)}


def _taken(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], tuning: Tuning) -> dict[str, str]:
    """{name in the network: name in the source} of what is loaded, buffers too."""
    found = {}
    for name in state:
        part = tuning.part(name)
        # In a cut timm model, what is kept stands one level deeper than in the whole one.
        theirs = name if name in tensors else name.removeprefix("trunk.")
        if part is not None and part.role != NEW and theirs in tensors:
            found[name] = theirs
    return found


def _what(source: Source) -> str:
    return f"timm's {source.section.name}" if isinstance(source.section, Timm) else "the network of its run.json"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
