"""The notes' CNN trained as Lightning's own first pages show it.

    python -m benchmarks.plain_lightning PREPARED_DIR EPOCHS SEED

A TensorDataset of floats, a DataLoader that shuffles, Adam, torchmetrics, validation and checkpoints as they come, in
float32. Prints one JSON line: images per second, of training with validation and checkpoints.
"""

import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

TRAIN = 0.9


class Net(pl.LightningModule):
    """Convolutions of 32, 64 and 128 filters, 3x3, each with its pool."""

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for filters in (32, 64, 128):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels, side = filters, side // 2
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * side * side, 10))
        self.acc = MulticlassAccuracy(10)
        self.began = self.seconds = 0.0

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        x, y = batch
        self.acc(self.net(x), y)
        self.log("val_acc", self.acc)

    def on_train_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_end(self) -> None:
        self.seconds = time.perf_counter() - self.began

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main() -> None:
    """Train it."""
    folder, epochs, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    pl.seed_everything(seed, verbose=False)
    images, labels, part = (np.load(folder / f"{name}.npy") for name in ("images", "labels", "split"))
    x = torch.from_numpy(images[part == 0]).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(labels[part == 0])
    cut = int(len(x) * TRAIN)
    x = (x - x[:cut].mean()) / x[:cut].std()
    train = DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=128, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(x[cut:], y[cut:]), batch_size=512)
    net = Net(images.shape[1])
    with tempfile.TemporaryDirectory() as kept:
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", default_root_dir=kept, logger=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(net, train, val)
    print(json.dumps({"images_per_s": epochs * len(train) * 128 / net.seconds}))


if __name__ == "__main__":
    main()
