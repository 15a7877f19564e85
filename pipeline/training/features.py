"""Features of a frozen trunk, computed once: then an epoch is one of the head alone, with the same result."""

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline import rundir
from pipeline.data import loader
from pipeline.training.module import Classifier
from pipeline.transfer.build import before
from pipeline.transfer.strategies import FROZEN

IN_MEMORY_BYTES = 1 << 30
"""More than this goes into a file, as does what several processes share."""


class Features(Dataset):
    """What the head is given for each example; an item is a whole batch, asked for by its indices."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels
        self.rows: np.ndarray | None = None  # float32 [N, ...]; those of other splits are never written nor read

    def __getitem__(self, indices: np.ndarray) -> loader.Batch:
        assert self.rows is not None
        return (
            torch.from_numpy(np.asarray(self.rows[indices])),
            torch.from_numpy(np.asarray(self.labels[indices], dtype=np.int64)),
            torch.from_numpy(indices),
        )


class Cached(pl.Callback):
    """Computes the features before the first epoch, each process its share, and gives them to `features`."""

    def __init__(self, path: Path, images_NHWC: np.ndarray, splits: dict[str, np.ndarray], batch_size: int) -> None:
        self.path, self.images_NHWC, self.splits, self.batch_size = path, images_NHWC, splits, batch_size
        self.features: Features | None = None

    def loaders(self, labels: np.ndarray, train: Sampler, val: Sampler) -> tuple[DataLoader, DataLoader]:
        """Of the features, for training and validation."""
        self.features = Features(labels)
        first, second = (
            DataLoader(cast(Dataset, self.features), sampler=sampler, batch_size=None, generator=torch.Generator())
            for sampler in (train, val)
        )
        return first, second

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        began = time.perf_counter()
        module = cast(Classifier, pl_module)
        assert self.features is not None
        module.eval()
        one = _features(module, self._batch(self.splits["train"][:1]))
        self.features.rows = self._open(trainer, tuple(one.shape[1:]))
        total = len(self.splits["train"]) + len(self.splits["val"])
        done = 0
        for split in ("train", "val"):
            for indices in loader.InOrder(
                np.sort(self.splits[split]), self.batch_size, trainer.global_rank, trainer.world_size
            ):
                # Each split in the precision in which the network would see it: see Classifier.validation_step.
                with self._precision(trainer, module, split):
                    found = _features(module, self._batch(indices).to(module.device))
                self.features.rows[indices] = found.float().cpu().numpy()
                done += len(indices) * trainer.world_size
                if trainer.is_global_zero:
                    rundir.beat(self.path, min(done, total), total)
        trainer.strategy.barrier("features")
        module.cached = True
        if trainer.is_global_zero:
            rundir.append_metrics(self.path, 0, {"time/features_s": time.perf_counter() - began})

    def _batch(self, indices: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.images_NHWC[indices])).permute(0, 3, 1, 2)

    def _precision(self, trainer: pl.Trainer, module: Classifier, split: str) -> AbstractContextManager:
        if split == "train":
            return trainer.precision_plugin.forward_context()
        return torch.autocast(module.device.type, enabled=False)

    def _open(self, trainer: pl.Trainer, shape: tuple[int, ...]) -> np.ndarray:
        """Room for all examples, of which only what is written takes memory or disk."""
        shape = (len(self.images_NHWC), *shape)
        if trainer.world_size == 1 and self._bytes(shape) <= IN_MEMORY_BYTES:
            return np.zeros(shape, np.float32)
        file = self.path / "features.npy"
        if trainer.is_global_zero:
            np.lib.format.open_memmap(file, "w+", np.float32, shape).flush()
        trainer.strategy.barrier("features are made room for")
        rows = np.load(file, mmap_mode="r+", allow_pickle=False)
        trainer.strategy.barrier("features are open")
        if trainer.is_global_zero:
            file.unlink()  # it lives on while it is open, and leaves nothing however the run ends
        return rows

    def _bytes(self, shape: tuple[int, ...]) -> int:
        return 4 * (len(self.splits["train"]) + len(self.splits["val"])) * int(np.prod(shape[1:]))

    def possible(self, module: Classifier) -> bool:
        """Whether the network is trunk and head and nothing else, the trunk frozen, and there is disk for it."""
        tuning = module.tuning
        if tuning is None or any(part.role != FROZEN for part in tuning.parts if part.group > 0):
            return False
        if not all(weights.requires_grad is False for weights in _trunk(module)):
            return False
        if not isinstance(module.network, torch.nn.Sequential) and len(tuning.head) > 1:
            return False  # a distilled transformer: two class layers, side by side
        x_BCHW = self._batch(self.splits["train"][:2])
        was_training = module.training
        module.eval()
        with torch.no_grad():
            found = _features(module, x_BCHW)
            same = torch.allclose(module(x_BCHW), module.head(found), atol=1e-5)
        module.train(was_training)
        bytes_ = self._bytes((len(self.images_NHWC), *found.shape[1:]))
        return same and (bytes_ <= IN_MEMORY_BYTES or 2 * bytes_ <= shutil.disk_usage(self.path).free)


def _trunk(module: Classifier) -> Iterator[torch.nn.Parameter]:
    """The weights that are no part of the head."""
    assert module.tuning is not None
    for name, weights in module.network.named_parameters():
        part = module.tuning.part(name)
        if part is None or part.group > 0:
            yield weights


@torch.no_grad()
def _features(module: Classifier, x_BCHW: torch.Tensor) -> torch.Tensor:
    """What the head is given for images [B, C, H, W]."""
    assert module.tuning is not None
    return before(module.network, module.tuning.head[0], module.normalised(x_BCHW))
