"""The network with its loss, its metrics and its optimizer, as Lightning wants it."""

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from pipeline.config.loss import Loss
from pipeline.config.trainer import Optimizer
from pipeline.data.images import normalise
from pipeline.data.loader import Batch
from pipeline.training.loss import example_losses
from pipeline.transfer import Tuning


class Classifier(pl.LightningModule):
    """uint8 images [B, C, H, W] in, logits [B, classes] out: normalisation belongs to what is saved.

    Of text, int32 token numbers [B, 1, 1, T]; its vocabulary, packed, is saved as `words` as well.
    """

    mean: torch.Tensor
    std: torch.Tensor
    class_weights: torch.Tensor | None

    def __init__(
        self,
        network: torch.nn.Module,
        mean: torch.Tensor,
        std: torch.Tensor,
        classes: int,
        optimizer: Optimizer | None = None,
        tuning: Tuning | None = None,
        loss: Loss | None = None,
        class_weights: torch.Tensor | None = None,
        words: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        # NHWC weights fit the NHWC images: 2 times the images/s of NCHW on a CPU with bf16.
        self.network = network.to(memory_format=torch.channels_last)
        self.register_buffer("mean", mean.reshape(-1, 1, 1).float())
        self.register_buffer("std", std.reshape(-1, 1, 1).float())
        if words is not None:
            self.register_buffer("words", words)
        self.options, self.tuning, self.loss = optimizer, tuning, loss or Loss()
        self.register_buffer("class_weights", class_weights, persistent=False)  # no part of the network
        self.waiting: list[torch.Tensor] = []  # what is not yet trained in this epoch
        self.cached = False  # batches are the features of a frozen trunk, not images: see features.py
        # Over the examples of this epoch so far. torchmetrics' mean takes 0.2 ms a batch, for checks.
        self.loss_sum: torch.Tensor | float = 0.0
        self.seen = 0
        self.val_loss = MeanMetric()
        self.val_acc = MulticlassAccuracy(classes, average="micro", validate_args=False)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.network(self.normalised(x_BCHW))

    def normalised(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """What the network takes of uint8 images [B, C, H, W]."""
        return normalise(x_BCHW, self.mean, self.std)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, classes] of what the trunk gives: the new layers at the network's end, one after the other."""
        assert self.tuning is not None
        for name in self.tuning.head:
            features = self.network.get_submodule(name)(features)
        return features

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode for what learns in this epoch; all else behaves as in evaluation, whoever calls this.

        A frozen batch norm in training mode would go on changing its statistics.
        """
        super().train(mode)
        if mode and self.tuning is not None:
            for name, module in self.network.named_modules():
                if self.tuning.rests(name, self.current_epoch):
                    module.training = False
        return self

    def on_train_start(self) -> None:
        self.on_train_epoch_start()  # of a run that goes on within an epoch, whose start is long past

    def on_train_epoch_start(self) -> None:
        if self.tuning is None:
            return
        self.train()  # what rests is up to the epoch, also of a resumed run
        self.waiting = [
            weights
            for name, weights in self.network.named_parameters()
            if (part := self.tuning.part(name)) and not self.tuning.learns(part, self.current_epoch)
        ]

    def on_after_backward(self) -> None:
        # Not by requires_grad: DDP listens only to the weights that ask for gradients when it wraps them.
        for weights in self.waiting:
            weights.grad = None  # the optimizer passes it by: no step, no moments, no weight decay

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        x, y, _ids = batch
        logits = self.head(x) if self.cached else self(x)
        if self.loss.is_plain:
            loss = F.cross_entropy(logits, y)
        else:
            weights = None if self.class_weights is None else self.class_weights[y]
            loss = example_losses(logits, y, self.loss, weights).mean()
        self.loss_sum = self.loss_sum + loss.detach() * len(y)
        self.seen += len(y)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        x, y, _ids = batch
        # In full precision, so that a metric is what the checkpoint gives on any machine.
        with torch.autocast(self.device.type, enabled=False):
            logits = self.head(x) if self.cached else self(x)
        self.val_loss.update(F.cross_entropy(logits, y), len(y))
        self.val_acc.update(logits, y)

    def on_validation_epoch_end(self) -> None:
        # Here and not at the end of the training epoch: what is logged there is known only after all callbacks
        # ran, and the record would show it an epoch late.
        sums = torch.tensor([float(self.loss_sum), self.seen], device=self.device)
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(sums)
        self.log("train/loss", sums[0] / sums[1])
        self.loss_sum, self.seen = 0.0, 0
        self.log("val/loss", self.val_loss)
        self.log("val/acc", self.val_acc)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Within an epoch, its loss so far, of each process."""
        mine: list[Any] = [float(self.loss_sum), self.seen]
        everyones = [mine]
        if self.trainer.world_size > 1:
            everyones = [[]] * self.trainer.world_size
            torch.distributed.all_gather_object(everyones, mine)
        checkpoint["train_loss"] = everyones

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.loss_sum, self.seen = checkpoint["train_loss"][self.trainer.global_rank]

    def _groups(self, lr: float) -> list[dict[str, Any]]:
        """The weights that learn at some time, in groups of one rate each, the head's first."""
        groups: dict[float, list[torch.Tensor]] = {1.0: []}
        for name, weights in self.network.named_parameters():
            part = self.tuning.part(name) if self.tuning else None
            if weights.requires_grad:
                rate = self.tuning.rate(part) if self.tuning and part else 1.0
                groups.setdefault(rate, []).append(weights)
        return [{"params": groups[rate], "lr": lr * rate} for rate in sorted(groups, reverse=True)]

    def configure_optimizers(self) -> Any:
        o = self.options
        assert o is not None
        # One fused kernel instead of a Python loop over the tensors, on CPU too. Lightning does not clip the gradients
        # that such a one takes in mixed precision.
        fused = self.trainer.gradient_clip_val is None or self.trainer.precision == "32-true"
        made = make_optimizer(self._groups(o.lr), o, fused)
        if o.schedule == "constant" and not o.warmup_epochs:
            return made
        factor = rate_factor(o, int(self.trainer.estimated_stepping_batches), self.trainer.max_epochs or 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(made, factor)
        return {"optimizer": made, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def make_optimizer(groups: list[dict[str, Any]], options: Optimizer, fused: bool) -> torch.optim.Optimizer:
    """The optimizer of `options`, for parameter groups that may have rates of their own."""
    if options.type == "sgd":
        return torch.optim.SGD(
            groups, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay, fused=fused
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.type]
    return kind(groups, lr=options.lr, weight_decay=options.weight_decay, fused=fused)


def rate_factor(options: Optimizer, steps: int, epochs: int) -> Callable[[int], float]:
    """By what the learning rate is multiplied at each of `steps`, of a training of so many epochs."""
    warmup = round(options.warmup_epochs * steps / epochs)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if options.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor
