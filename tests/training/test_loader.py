"""Which examples make up a step: by seed and epoch alone, however many processes share it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.loader import Images, InOrder, Shuffled, loader

INDICES = np.arange(100, 1100)  # a training split is no range from 0


def batches(sampler, epoch=0):
    if isinstance(sampler, Shuffled):
        sampler.set_epoch(epoch)
    return [list(map(int, batch)) for batch in sampler]


@pytest.fixture
def images():
    """20 images [3, 2, 4] whose first byte is their index, and their labels."""
    images_NHWC = np.random.default_rng(0).integers(0, 256, (20, 2, 4, 3), dtype=np.uint8)
    images_NHWC[:, 0, 0, 0] = np.arange(20)
    return images_NHWC, np.arange(20) % 3


# ---- training


def test_one_epoch_is_a_permutation_without_its_incomplete_end():
    sampler = Shuffled(INDICES, 32, seed=0)
    found = batches(sampler)
    assert len(sampler) == len(found) == 31  # 1000 = 31 x 32 + 8
    assert all(len(batch) == 32 for batch in found)
    flat = [i for batch in found for i in batch]
    assert len(set(flat)) == 992
    assert set(flat) <= set(INDICES.tolist())
    assert flat != sorted(flat)


@given(
    n=st.integers(8, 70),
    batch=st.sampled_from([4, 8, 16, 32]),
    world=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 3),
)
def test_the_processes_share_the_batches_of_one(n, batch, world, seed, epoch):
    indices = np.arange(n) * 3
    alone = batches(Shuffled(indices, batch, seed), epoch)
    shares = [batches(Shuffled(indices, batch, seed, rank, world), epoch) for rank in range(world)]
    if n < batch:  # one smaller batch, of as many examples as can be shared evenly
        alone = [alone[0][: n // world * world]]
    assert [len(share) for share in shares] == [len(alone)] * world
    for step, whole in enumerate(alone):
        parts = [share[step] for share in shares]
        assert {len(part) for part in parts} == {len(whole) // world}
        assert sorted(i for part in parts for i in part) == sorted(whole)


def test_epochs_and_seeds_differ_and_repeat():
    orders = {(seed, epoch): batches(Shuffled(INDICES, 32, seed), epoch) for seed in (0, 1) for epoch in (0, 1)}
    assert len({str(order) for order in orders.values()}) == 4
    again = Shuffled(INDICES, 32, seed=1)
    assert batches(again, 1) == orders[1, 1]  # whatever came before
    assert batches(again, 0) == orders[1, 0]


def test_the_order_does_not_depend_on_the_global_generators():
    np.random.seed(1)
    torch.manual_seed(1)
    first = batches(Shuffled(INDICES, 32, seed=0))
    np.random.seed(2)
    torch.manual_seed(2)
    assert batches(Shuffled(INDICES, 32, seed=0)) == first


def test_a_small_set_makes_one_smaller_batch():
    sampler = Shuffled(np.arange(5), 32, seed=0)
    assert sampler.batch_size == 5
    assert [sorted(batch) for batch in batches(sampler)] == [[0, 1, 2, 3, 4]]
    shares = [batches(Shuffled(np.arange(5), 32, 0, rank, 2)) for rank in (0, 1)]
    assert [len(batch) for share in shares for batch in share] == [2, 2]


def test_too_few_for_the_processes_is_an_error():
    with pytest.raises(ValueError, match="1 training examples are too few for 2 processes"):
        Shuffled(np.arange(1), 32, 0, 0, 2)


def test_every_example_comes_up_over_the_epochs():
    sampler = Shuffled(np.arange(10), 4, seed=0)
    seen = {i for epoch in range(20) for batch in batches(sampler, epoch) for i in batch}
    assert seen == set(range(10))  # what one epoch leaves out, another has


# ---- evaluation


@given(n=st.integers(0, 70), batch=st.integers(1, 16), world=st.integers(1, 8))
def test_each_evaluation_example_comes_once_whatever_the_number_of_processes(n, batch, world):
    indices = np.arange(n) + 7
    samplers = [InOrder(indices, batch, rank, world) for rank in range(world)]
    found = [i for sampler in samplers for part in batches(sampler) for i in part]
    assert sorted(found) == indices.tolist()
    for sampler in samplers:
        parts = batches(sampler)
        assert len(parts) == len(sampler)
        assert all(0 < len(part) <= batch for part in parts)


def test_alone_evaluation_keeps_the_order():
    assert batches(InOrder(np.array([5, 3, 9, 1, 2]), 2)) == [[5, 3], [9, 1], [2]]


# ---- batches


def test_a_batch_is_gathered_as_it_was_asked_for(images):
    images_NHWC, labels = images
    x_BCHW, y, ids = Images(images_NHWC, labels)[np.array([7, 3, 7])]
    assert x_BCHW.shape == (3, 3, 2, 4)
    assert x_BCHW.dtype == torch.uint8
    assert x_BCHW[:, 0, 0, 0].tolist() == ids.tolist() == [7, 3, 7]
    assert (y.dtype, y.tolist()) == (torch.int64, [1, 0, 1])
    assert np.array_equal(x_BCHW.permute(0, 2, 3, 1).numpy(), images_NHWC[[7, 3, 7]])


def test_a_batch_is_channels_last_without_a_copy(images):
    x_BCHW, _, _ = Images(*images)[np.arange(8)]
    assert x_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert not x_BCHW.is_contiguous()
    assert x_BCHW.stride() == (24, 1, 12, 3)  # of 2 rows of 4 pixels of 3 channels


def test_a_batch_of_a_memory_map_may_be_written_to(images, tmp_path):
    np.save(tmp_path / "images.npy", images[0])
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    x_BCHW, _, _ = Images(mapped, images[1])[np.array([1, 2])]
    x_BCHW.zero_()
    assert np.array_equal(mapped, images[0])


def test_the_loader_gives_the_samplers_batches(images):
    sampler = Shuffled(np.arange(20), 8, seed=0)
    found = [(ids.tolist(), y.tolist()) for _, y, ids in loader(*images, sampler)]
    assert [ids for ids, _ in found] == batches(sampler)
    assert [[i % 3 for i in ids] for ids, _ in found] == [labels for _, labels in found]


def test_the_loader_leaves_the_global_generator_alone(images):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(loader(*images, InOrder(np.arange(20), 8)))
    assert torch.equal(torch.rand(3), expected)


def test_workers_give_the_same_batches(images):
    here = [x_BCHW for x_BCHW, _, _ in loader(*images, Shuffled(np.arange(20), 8, seed=0))]
    there = [x_BCHW for x_BCHW, _, _ in loader(*images, Shuffled(np.arange(20), 8, seed=0), num_workers=1)]
    assert len(here) == len(there) == 2
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
