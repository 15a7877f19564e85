"""What timm publishes with a model: weights, and the normalisation that they were trained with."""

import secrets
from pathlib import Path

import timm
import torch

from pipeline.architecture import Timm
from pipeline.errors import InputError


def channels(model: Timm) -> int:
    """Channels of the images that the published weights were trained on."""
    found = timm.get_pretrained_cfg(model.name) if timm.is_model(model.name.split(".")[0]) else None
    return found.input_size[0] if found is not None else 3  # an unknown name is refused where it is planned


def normalisation(model: Timm) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of pixels from 0 to 1."""
    found = timm.get_pretrained_cfg(model.name)
    assert found is not None
    return found.mean, found.std


def fetch(model: Timm, folder: Path) -> Path:
    """The published weights as a file in `folder`. Raises InputError where they cannot be had."""
    file = folder / f"timm-{model.name}.pth"
    if file.exists():
        return file
    found = timm.get_pretrained_cfg(model.name)
    # What has a loader of its own is not held to reading weights alone.
    if found is None or not found.has_weights or found.custom_load:
        raise InputError(
            f"architecture.name={model.name}: timm {timm.__version__} has no published weights for it that can be "
            "read safely. Give a file of them: transfer.weights=FILE."
        )
    try:
        network = timm.create_model(model.name, pretrained=True)
    except Exception as error:  # of the network, the hub's client, the file: any of dozens
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"transfer.source=timm: the weights of {model.name} could not be fetched ({reason}). "
            "Without the network, give a file of them: transfer.weights=FILE."
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with part.open("xb") as opened:
        torch.save(network.state_dict(), opened)
    part.replace(file)
    return file
