"""Deal out the GPUs of this machine: each run gets its own, whoever started it.

A lock file for each GPU, held as long as the process lives: the kernel lets go of a killed one's. Named by the
GPU's UUID: within its own job, SLURM numbers every GPU 0.
"""

import contextlib
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline import terminal
from pipeline.config.trainer import Trainer
from pipeline.errors import InputError

POLL_S = 0.5


def here() -> list[str]:
    """The UUIDs of the GPUs that this process may use, in the order in which CUDA numbers them."""
    import torch

    return [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]


class NoGPUError(InputError):
    """This machine has not as many as were asked for."""


def check_devices(trainer: Trainer) -> None:
    """Raise NoGPUError if this machine has not what the trainer asks for."""
    if trainer.accelerator == "gpu":
        import torch

        _check_count(trainer.devices, torch.cuda.device_count())


def cores_of(trainer: Trainer, cores: int) -> int:
    """How many of this machine's `cores` a run keeps busy; of one on GPUs, so many that each run gets its own."""
    if trainer.accelerator == "gpu":
        import torch

        return -(-cores * trainer.devices // max(1, torch.cuda.device_count()))
    assert trainer.threads  # settled
    return trainer.threads * trainer.devices


def _check_count(count: int, there: int) -> None:
    if there < count:
        raise NoGPUError(f"trainer.devices={count}: this machine has {there} GPUs. Use trainer=cpu.")


@contextlib.contextmanager
def dealt(count: int, gpus: list[str] | None = None) -> Iterator[list[int]]:
    """Hold `count` GPUs that no other run holds: their indices among `gpus`, those of this machine.

    Waits until so many are free, with a line on stderr; all at once or none, so that two runs never wait for each
    other. Raises NoGPUError where there are not so many.
    """
    if not count:
        yield []
        return
    gpus = here() if gpus is None else gpus
    _check_count(count, len(gpus))
    folder = _folder()
    waited = False
    while True:
        with contextlib.ExitStack() as held:
            got = []
            for index, name in enumerate(gpus):
                # 0666: another user's run has to be able to lock it too.
                lock = FileLock(folder / f"{name}.lock", timeout=0, mode=0o666)
                with contextlib.suppress(Timeout):
                    held.enter_context(lock)
                    got.append(index)
                if len(got) == count:
                    yield got
                    return
        if not waited:
            waited = True
            terminal.say(f"waiting for {count} of {len(gpus)} GPUs: other runs hold them")
        time.sleep(POLL_S * random.uniform(0.5, 1.5))  # two that each want all would take some and give them back


def visible(indices: list[int]) -> dict[str, str]:
    """The environment of processes that are to see these GPUs alone, by their indices for this process."""
    own = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": ",".join(own[i] if own else str(i) for i in indices)} if indices else {}


def _folder() -> Path:
    """Where the locks are: the same for all users of this machine."""
    folder = Path(tempfile.gettempdir()) / "convtrial-gpus"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o777)
    return folder
