"""Batches for training and evaluation: uint8 images gathered from the memory-mapped set, a batch at a time.

Which examples make up a step depends on the seed and the epoch alone, not on how many processes share the
step: every process takes its own slice of the same global batch.
"""

import sys
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline.data.images import to_batch

Augment = Callable[[np.ndarray, int, np.ndarray], np.ndarray]  # uint8 images [B, H, W, C], epoch, indices [B]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # images [B, C, H, W] uint8, labels [B], indices [B]


class Images(Dataset):
    """The prepared arrays; an item is a whole batch, asked for by its indices."""

    def __init__(self, images_NHWC: np.ndarray, labels: np.ndarray) -> None:
        self.images_NHWC, self.labels = images_NHWC, labels

    def __getitem__(self, indices: np.ndarray) -> Batch:
        return self._batch(self.images_NHWC[indices], indices)

    def _batch(self, images_BHWC: np.ndarray, indices: np.ndarray) -> Batch:
        return (
            to_batch(images_BHWC),
            torch.from_numpy(np.asarray(self.labels[indices], dtype=np.int64)),
            torch.from_numpy(indices),
        )


class Augmented(Images):
    """The same, changed as the epoch has it; an item is asked for by (epoch, indices)."""

    def __init__(self, images_NHWC: np.ndarray, labels: np.ndarray, augment: Augment) -> None:
        super().__init__(images_NHWC, labels)
        self.augment = augment

    def __getitem__(self, request: tuple[int, np.ndarray]) -> Batch:  # type: ignore[override]
        epoch, indices = request
        return self._batch(self.augment(np.asarray(self.images_NHWC[indices]), epoch, indices), indices)


class Shuffled(Sampler):
    """Batches of a permutation drawn from (seed, epoch); the incomplete last one is left out.

    Fewer examples than one batch make a single smaller batch. `rank` of `world` processes gets its share of
    each batch; the shares are of equal size, so the mean of their gradients is the gradient of the batch.

    With the `labels` of all examples an epoch has as many of each class, and no more in all: of a frequent class some,
    others in each epoch; of a rare one each as often as any other, give or take one. Augmentation, which is named by
    epoch and example, shows the same picture each time.
    """

    def __init__(
        self,
        indices: np.ndarray,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        labels: np.ndarray | None = None,
    ) -> None:
        self.indices, self.seed, self.rank, self.world = indices, seed, rank, world
        self.of_class = None if labels is None else _by_class(indices, np.asarray(labels[indices]))
        self.epoch = self.skip = 0
        self.batch_size = min(batch_size, len(indices) // world * world)
        if self.batch_size == 0:
            raise ValueError(f"{len(indices)} training examples are too few for {world} processes")

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def go_on(self, epoch: int, batch: int) -> None:
        """Begin within `epoch`, `batch` batches into it. The trainer makes its first iterator before `set_epoch`."""
        self.epoch, self.skip = epoch, batch

    def __iter__(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng([self.seed, self.epoch])
        shown = self.indices if self.of_class is None else _balanced(self.of_class, len(self.indices), random)
        order = random.permutation(shown)
        first, self.skip = self.skip, 0
        for batch in range(first, len(self)):
            start = batch * self.batch_size
            yield order[start : start + self.batch_size][self.rank :: self.world]

    def __len__(self) -> int:
        return len(self.indices) // self.batch_size


def _by_class(indices: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    return [indices[labels == name] for name in np.unique(labels)]


def _balanced(of_class: list[np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """`count` examples, of each class as many; where that does not come out even, some have one more by chance."""
    share, left = divmod(count, len(of_class))
    more = random.permutation(len(of_class)) < left
    shown = []
    for members, one_more in zip(of_class, more, strict=True):
        wanted = share + int(one_more)
        times = -(-wanted // len(members))
        shown += [np.concatenate([random.permutation(members) for _ in range(times)] or [members[:0]])[:wanted]]
    return np.concatenate(shown)


class WithEpoch(Sampler):
    """The batches of a shuffled sampler as (epoch, indices).

    The sampler lives in the training process and knows the epoch; workers live on through all epochs and
    would not. So each request for a batch carries it.
    """

    def __init__(self, sampler: Shuffled) -> None:
        self.sampler, self.set_epoch = sampler, sampler.set_epoch

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        epoch = self.sampler.epoch
        for indices in self.sampler:
            yield epoch, indices

    def __len__(self) -> int:
        return len(self.sampler)


class InOrder(Sampler):
    """Batches in order, each example once over all processes: shares may differ in size, none is padded."""

    def __init__(self, indices: np.ndarray, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.indices, self.batch_size = indices[rank::world], batch_size

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.indices), self.batch_size):
            yield self.indices[start : start + self.batch_size]

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)


def loader(
    images_NHWC: np.ndarray,
    labels: np.ndarray,
    sampler: Sampler,
    num_workers: int = 0,
    augment: Augment | None = None,
    timeout_s: float = 0,
) -> DataLoader:
    """A DataLoader whose sampler names whole batches; `augment` changes what a shuffled one shows.

    Gathering is faster than a worker's hand-over, and so is the fused augmentation of small images, hence 0.
    A batch for which a worker needs more than `timeout_s` is an error (0: never).
    """
    dataset = Images(images_NHWC, labels)
    if augment is not None:
        assert isinstance(sampler, Shuffled), "only training images are augmented"
        dataset, sampler = Augmented(images_NHWC, labels, augment), WithEpoch(sampler)
    return DataLoader(
        cast(Dataset, dataset),
        sampler=sampler,
        batch_size=None,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        # Named, where it is the usual one: within one of joblib's processes that is joblib's, which fails.
        multiprocessing_context="fork" if num_workers and sys.platform == "linux" else None,
        timeout=timeout_s if num_workers else 0,
        prefetch_factor=4 if num_workers else None,  # batches ahead per worker; torch gives each worker one thread
        # Its own generator: the loader otherwise draws its base seed from the global one, every epoch.
        generator=torch.Generator().manual_seed(0),
    )
