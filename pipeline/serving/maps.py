"""A picture for each image: what in it spoke for the class that it was given."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline import folders
from pipeline.data.images import to_batch
from pipeline.data.raw import printable
from pipeline.errors import InputError
from pipeline.insight import class_maps
from pipeline.insight.figures import blended
from pipeline.serving.answers import Answers
from pipeline.serving.opened import Opened

SIDE = 224  # pixels at least: the images of small networks are enlarged
BATCH = 100


def check_folder(maps: str) -> Path:
    """The path of a folder that is to be made. InputError where it cannot be, or is there already."""
    folder = Path(maps).expanduser()
    if folder.exists() or folder.is_symlink():
        raise InputError(f"maps={maps}: is there already. Name a folder that is to be made.")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"maps={maps}: the folder that it is to be made in does not exist.")
    return folder


class Pictures:
    """PNG files NUMBER_NAME.png, numbered from 0 in the order of the inputs, also of those that were skipped."""

    def __init__(self, folder: Path, network: Opened) -> None:
        self.folder, self.network = folder, network
        self.method = ""
        self.n = 0

    def add(self, answers: Answers) -> None:
        """Draw a lot."""
        used = [i for i, reason in enumerate(answers.reasons) if not reason]
        for start in range(0, len(used), BATCH):
            images = answers.images[start : start + BATCH]
            module = self.network.module
            x_BCHW = to_batch(images).to(module.device)
            given_B = torch.from_numpy(answers.probabilities[start : start + BATCH].argmax(1)).to(module.device)
            found = class_maps(module, x_BCHW, given_B)
            self.method = found.method
            drawn = found.upsampled(images.shape[1]).float().cpu().numpy()
            for i, image, map_HW in zip(used[start : start + BATCH], images, drawn, strict=True):
                name = f"{self.n + i:06}_{_stem(answers.inputs[i].path)}.png"
                (self.folder / name).write_bytes(_png(image, map_HW))
        self.n += len(answers.inputs)


def _stem(path: str) -> str:
    """The name of a file as text, as much of it as any disk takes beside a number: 255 bytes are the most."""
    return printable(Path(path).stem).encode()[:200].decode(errors="ignore")


def _png(image: np.ndarray, map_HW: np.ndarray) -> bytes:
    from PIL import Image

    mixed = blended(image.astype(np.float32).mean(2) / 255, map_HW)
    times = -(-SIDE // image.shape[0])
    drawn = (mixed * 255).round().astype(np.uint8).repeat(times, 0).repeat(times, 1)
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "PNG")
    return buffer.getvalue()


@contextlib.contextmanager
def pictures(folder: Path, network: Opened) -> Iterator[Pictures]:
    """What draws into `folder`, which is there when the body ends well, and not at all where it does not."""
    beside = folder.with_name(f".{folder.name}.drawn")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield Pictures(beside, network)
        beside.rename(folder)
        folders.sync(folder.absolute().parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
