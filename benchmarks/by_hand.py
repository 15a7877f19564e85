"""The notes' CNN trained by a hand-written loop: what a careful person would write without any framework.

    python -m benchmarks.by_hand PREPARED_DIR EPOCHS SEED

Same settings as `python -m pipeline.train data=idx`: bf16 autocast where it is native, channels_last, fused
Adam, batches gathered from memory-mapped uint8, the allocator's thresholds, validation in float32 after every
epoch, a checkpoint when it is the best. Prints one JSON line: images per second over all epochs, with validation and
without it, and accuracy.
"""

import ctypes
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def main() -> None:
    folder, epochs, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    libc = ctypes.CDLL("libc.so.6")
    for option, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 256 << 20)):
        libc.mallopt(option, value)
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy")
    n = int((np.load(folder / "split.npy") == 0).sum())
    order = np.random.default_rng(seed).permutation(n)
    train, val = np.sort(order[n // 10 :]), np.sort(order[: n // 10])
    mean, std = float(images[train].mean()) / 255, float(images[train].std()) / 255

    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    channels = 1
    for filters in (32, 64, 128):
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    side = images.shape[1] // 8
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * side * side, 10)).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

    def batch(indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(np.asarray(images[indices])).permute(0, 3, 1, 2)
        return (x.float() / 255 - mean) / std, torch.from_numpy(labels[indices])

    best, began, training = -1.0, time.perf_counter(), 0.0
    for epoch in range(epochs):
        epoch_began = time.perf_counter()
        shuffled = np.random.default_rng([seed, epoch]).permutation(train)
        for start in range(0, len(shuffled) - 127, 128):
            x, y = batch(shuffled[start : start + 128])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(net(x), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
        training += time.perf_counter() - epoch_began
        correct = 0
        with torch.no_grad():
            for start in range(0, len(val), 512):
                x, y = batch(val[start : start + 512])
                correct += int((net(x).argmax(1) == y).sum())
        if correct / len(val) > best:
            best = correct / len(val)
            torch.save({"net": net.state_dict(), "adam": adam.state_dict()}, "by_hand.pt")
    seconds, trained = time.perf_counter() - began, epochs * (len(train) // 128) * 128
    found = {"images_per_s": trained / seconds, "training_images_per_s": trained / training, "val_acc": best}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
