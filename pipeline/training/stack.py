"""Train seeds of one arm at once, as one network side by side: `trainer.stack`.

A step of a small network is mostly what it costs to begin a hundred operations. Here a stack begins them once for all
its seeds, in a loop of its own: Lightning's is made for one run, and takes as long as such a step. Each seed keeps what
makes it a run: its initial weights, order of examples, draws, optimizer state, early stopping, checkpoint and record.
What comes of it does not depend on which others it was stacked with, to the bit; see architecture/stacked.py.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline import augmentation, config, data, rundir, stopping
from pipeline.architecture import stacked
from pipeline.architecture.plans import Plan
from pipeline.architecture.stacked_layers import StackedDropout
from pipeline.data import loader
from pipeline.data.images import normalise, to_batch
from pipeline.training import checkpoints, quiet
from pipeline.training.allocator import keep_buffers
from pipeline.training.checkpoints import Durable
from pipeline.training.fit import Fitted, count_parameters, module_of, sampler_of
from pipeline.training.guard import diverged
from pipeline.training.loss import example_losses
from pipeline.training.module import make_optimizer, rate_factor
from pipeline.training.record import BEAT_EVERY_S, system

LEAST = 2  # members: a stack of one would take other kernels, so a single one is there twice
LINE = 64  # numbers: where a member's weights begin in a cache line, and in a vector register, is the same for all
VAL_BATCH = 128  # examples of each member; always as many, the last one filled up

Failed = Callable[[Path, Exception], None]


@dataclass
class Member:
    """One seed of a stack: its run, and what of it is not in the stack's tensors."""

    path: Path
    key: str
    settings: config.Config
    prepared: data.Prepared
    val: np.ndarray
    sampler: loader.Shuffled
    augment: loader.Augment | None
    plan: Plan
    parameters: dict[str, int]
    state: dict[str, Tensor]  # as its checkpoints have it: mean, std, of text words, network.*
    class_weights: Tensor | None  # [classes], of its own training split
    moments: dict[str, Any]  # of the optimizer: name -> {weight: tensor}, or a scalar
    epoch: int = 0
    batch: int = 0  # of the epoch, how many are done
    loss_sum: float = 0.0
    seen: int = 0
    best_score: float | None = None
    best_epoch: int = -1
    to_beat: float | None = None  # the last score that ended the waiting for a better one
    waited: int = 0  # epochs since then
    stopped: bool = False  # early
    failed: bool = False
    shapes: dict[str, torch.Size] = field(init=False)

    def __post_init__(self) -> None:
        prefix = "network."
        self.shapes = {n.removeprefix(prefix): v.shape for n, v in self.state.items() if n.startswith(prefix)}

    @property
    def is_open(self) -> bool:
        """Whether there is something left to train."""
        return not (self.failed or self.stopped) and self.epoch < self.settings.trainer.max_epochs

    @property
    def step(self) -> int:
        """Optimizer steps that are done."""
        return self.epoch * len(self.sampler) + self.batch

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.settings.trainer.max_epochs * len(self.sampler)

    def images(self, indices: np.ndarray) -> np.ndarray:
        """What a batch of training shows, uint8 [B, H, W, C]."""
        x_BHWC = np.asarray(self.prepared.images[indices])
        return self.augment(x_BHWC, self.epoch, indices) if self.augment else x_BHWC

    def labels(self, indices: np.ndarray) -> Tensor:
        """int64 [B]."""
        return torch.from_numpy(np.asarray(self.prepared.labels[indices], dtype=np.int64))

    def draws(self, device: torch.device) -> torch.Generator:
        """What dropout draws from in this step, whether or not training was interrupted before."""
        names = np.random.SeedSequence([self.settings.seed, 0, self.step])
        return torch.Generator(device).manual_seed(int(names.generate_state(1)[0]))

    def save(self) -> None:
        """Write last.ckpt. Raises FloatingPointError where a weight is no number."""
        checkpoints.check_finite(self.state, self.step)
        kept = {"best_score": self.best_score, "best_epoch": self.best_epoch, "stopped": self.stopped}
        Durable(self.key).save_checkpoint(
            {
                "state_dict": self.state,
                "optimizer_states": [self.moments],
                "lr_schedulers": [],
                "callbacks": {"Keep": {**kept, "to_beat": self.to_beat, "waited": self.waited}},
                "position": {"epoch": self.epoch, "batch": self.batch},
                "train_loss": [[self.loss_sum, self.seen]],
                "global_step": self.step,
            },
            self.path / "checkpoints" / "last.ckpt",
        )


def fit_stack(paths: Sequence[Path], failed: Failed, gpu: int | None = None) -> dict[Path, Fitted]:
    """Train the runs at `paths`, which differ by their seeds, and leave their checkpoints there.

    Each goes on from its newest checkpoint where there is one, to the same numbers. One that fails is told to `failed`,
    and the others go on; what is returned is of those that did not. Raises Stopped where a signal asked for it, after
    a checkpoint of each.
    """
    quiet()
    for path in paths:
        rundir.trains(path)
    keep_buffers()
    settings = config.of_run(paths[0])
    device = torch.device("cpu") if gpu is None else torch.device("cuda", gpu)
    torch.set_num_threads(settings.trainer.threads or 1)
    _be_deterministic(settings.trainer.deterministic)
    members = [_member(path) for path in paths]
    with stopping.cooperative():
        for _, group in groupby(sorted(members, key=_pace), _pace):
            together = list(group)
            while together := [one for one in together if one.is_open]:
                stack = Stack(together, device)
                while all(one.is_open for one in together):
                    _epoch(stack, failed)
    return {one.path: Fitted(one.epoch, one.parameters) for one in members if not one.failed}


def _pace(one: Member) -> tuple[int, ...]:
    """Equal for members that can take their steps together: as far as each other, and as many batches of one size."""
    return one.epoch, one.batch, len(one.sampler), one.sampler.batch_size


def _be_deterministic(wanted: bool) -> None:
    """As Lightning's trainer is, which sets it for its process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # see fit.py
    torch.use_deterministic_algorithms(wanted)


def _member(path: Path) -> Member:
    settings, record = config.of_run(path), rundir.read_run(path)
    prepared = data.prepare(settings.data, settings.seed)
    splits = data.split(prepared, settings.data, settings.seed)
    newest = checkpoints.newest(path)
    module = module_of(record, settings, prepared, splits, newest and newest[1])
    one = Member(
        path=path,
        key=record.key,
        settings=settings,
        prepared=prepared,
        val=splits["val"],
        sampler=sampler_of(settings, prepared, splits),
        augment=augmentation.build(settings.augmentation, settings.seed),
        plan=module.network.plan,  # type: ignore[arg-type]
        parameters=count_parameters(module),
        class_weights=module.class_weights,
        state=module.state_dict(),
        moments={},
    )
    if newest:
        file, found = newest
        checkpoints.restore_best(path, file, found)
        kept = found["callbacks"]["Keep"]
        one.state, one.moments = found["state_dict"], found["optimizer_states"][0]
        place = checkpoints.position(found)
        one.epoch, one.batch = place["epoch"], place["batch"]
        [(one.loss_sum, one.seen)] = found["train_loss"]
        one.best_score, one.best_epoch, one.stopped = kept["best_score"], kept["best_epoch"], kept["stopped"]
        one.to_beat, one.waited = kept.get("to_beat", kept["best_score"]), kept["waited"]
    return one


class Stack:
    """The members' network and its optimizer, whose one parameter is all weights in a row."""

    def __init__(self, members: list[Member], device: torch.device) -> None:
        self.members, self.device = members, device
        self.seats = members if len(members) >= LEAST else members * LEAST
        first, network = members[0], stacked.Stacked(members[0].plan, len(self.seats))
        states = [one.state for one in self.seats]
        stacked.fill(network, [{name: one.state[f"network.{name}"] for name in one.shapes} for one in self.seats])
        self.network = network.to(device)
        self.mean, self.std = (torch.cat([state[name] for state in states]).to(device) for name in ("mean", "std"))
        self.draws = any(isinstance(one, StackedDropout) for one in network.modules())
        self._flatten()
        options, trainer = first.settings.optimizer, first.settings.trainer
        self.optimizer = make_optimizer([{"params": [self.flat]}], options, fused=True)
        self._restore_moments()
        self.rate = rate_factor(options, first.steps, trainer.max_epochs)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=trainer.precision == "bf16-mixed")

    def _flatten(self) -> None:
        """Put all weights into one tensor, and all gradients: one kernel then updates them, without an odd end each."""
        weights = dict(self.network.named_parameters())
        self.places: dict[str, tuple[torch.Size, tuple[int, ...], int]] = {}
        size = 0
        for name, one in weights.items():
            self.places[name] = one.shape, one.stride(), size
            size += -(-one.numel() // LINE) * LINE
        self.flat = torch.nn.Parameter(torch.zeros(size, device=self.device))
        self.flat.grad = torch.zeros_like(self.flat)
        for name, one in weights.items():
            place = self._view(self.flat.data, name)
            one.data = place.copy_(one.data)
            one.grad = self._view(self.flat.grad, name)

    def _view(self, flat: Tensor, name: str) -> Tensor:
        return flat.as_strided(*self.places[name])

    def _restore_moments(self) -> None:
        """What the members' optimizers know, as this one's."""
        known = [one.moments for one in self.seats]
        state = self.optimizer.state[self.flat] if known[0] else {}
        for kind, value in known[0].items():
            if not isinstance(value, dict):  # steps, of which all have made as many
                state[kind] = value.to(self.device, copy=True) if isinstance(value, Tensor) else value
                continue
            state[kind] = torch.zeros_like(self.flat)
            for name in self.places:
                view = self._view(state[kind], name)
                view.copy_(stacked.joined([one[kind][name] for one in known], view))

    def step(self, indices: Sequence[np.ndarray]) -> Tensor:
        """One step on a batch of each seat; its losses [S]."""
        first = self.members[0]
        if self.draws:
            stacked.name_draws(self.network, [one.draws(self.device) for one in self.seats])
        shown = [one.images(mine) for one, mine in zip(self.seats, indices, strict=True)]
        labels = [one.labels(mine) for one, mine in zip(self.seats, indices, strict=True)]
        with self.autocast:
            logits_SBK = self.network(self._batch(shown))
        y = torch.cat(labels).to(self.device)
        losses = example_losses(logits_SBK.float().flatten(0, 1), y, first.settings.loss, self._weights(labels))
        losses_S = losses.view(len(shown), -1).mean(1)
        assert self.flat.grad is not None
        self.flat.grad.zero_()
        losses_S.sum().backward()  # no sum over members: each weight has a part in one of them
        self.optimizer.param_groups[0]["lr"] = self.lr
        self.optimizer.step()
        return losses_S.detach()

    def _weights(self, labels: Sequence[Tensor]) -> Tensor | None:
        """What each example of all seats counts [S*B]; None where all count the same."""
        found = [
            one.class_weights[mine]
            for one, mine in zip(self.seats, labels, strict=True)
            if one.class_weights is not None
        ]
        return torch.cat(found).to(self.device) if found else None

    @property
    def lr(self) -> float:
        """Of the step to come."""
        first = self.members[0]
        return first.settings.optimizer.lr * self.rate(first.step)

    def _batch(self, images: Sequence[np.ndarray]) -> Tensor:
        """Members' images uint8 [B, H, W, C] as what the stacked network takes: [B, S*C, H, W], each normalised."""
        x_BHWSC = np.stack(images, axis=3)
        x_BCHW = to_batch(x_BHWSC.reshape(*x_BHWSC.shape[:3], -1)).to(self.device)
        return normalise(x_BCHW, self.mean, self.std)

    @torch.no_grad()
    def val_logits(self) -> list[Tensor]:
        """Of each seat [N, classes], in full precision."""
        self.network.eval()
        most = max(len(one.val) for one in self.seats)
        found = []
        for start in range(0, most, VAL_BATCH):
            wanted = range(start, start + VAL_BATCH)
            images = [one.prepared.images[one.val.take(wanted, mode="clip")] for one in self.seats]
            found.append(self.network(self._batch(images)).cpu())
        self.network.train()
        logits_SNK = torch.cat(found, 1)
        return [logits_SNK[i, : len(one.val)] for i, one in enumerate(self.seats)]

    def copy_out(self) -> None:
        """Give each member a copy of its weights and moments as they are now."""
        moments = self.optimizer.state.get(self.flat, {})
        for seat, one in enumerate(self.members):
            own = stacked.state_of(self.network, seat, one.shapes)
            one.state = {name: value for name, value in one.state.items() if not name.startswith("network.")}
            one.state |= {f"network.{name}": value.cpu() for name, value in own.items()}
            one.moments = {kind: self._share(value, seat, one) for kind, value in moments.items()}

    def _share(self, value: Any, seat: int, one: Member) -> Any:
        if not isinstance(value, Tensor) or value.shape != self.flat.shape:
            return value.clone() if isinstance(value, Tensor) else value
        views = {name: self._view(value, name) for name in self.places}
        return {name: stacked.share(view, seat, one.shapes[name]).clone().cpu() for name, view in views.items()}


def _epoch(stack: Stack, failed: Failed) -> None:
    """Train to the end of the epoch, or until a member fails; then all members hold what they came to."""
    members, first = stack.members, stack.members[0]
    stack.network.train()
    began = saved = time.monotonic()
    beaten, batches = 0.0, 0
    for one in members:
        one.sampler.go_on(one.epoch, one.batch)
    sums = torch.tensor([one.loss_sum for one in stack.seats], device=stack.device)
    orders = [list(one.sampler) for one in members] * (len(stack.seats) // len(members))
    for indices in zip(*orders, strict=True):
        losses = stack.step(indices)
        sums += losses * len(indices[0])
        bad = () if losses.isfinite().all() else (~losses.isfinite()).nonzero()[:, 0].tolist()
        for one in members:
            one.batch, one.seen = one.batch + 1, one.seen + len(indices[0])
        batches += 1
        for seat in sorted({seat % len(members) for seat in bad}):
            one, loss = members[seat], float(losses[seat])
            _fail(one, diverged(one.path, one.epoch + 1, one.batch, loss, indices[seat].tolist()), failed)
        now = time.monotonic()
        if now - beaten > BEAT_EVERY_S:
            beaten = now
            for one in members:
                rundir.beat(one.path, one.step, one.steps)
        is_last = first.batch == len(first.sampler)  # then come validation and a checkpoint of the whole epoch
        due = now - saved > first.settings.trainer.checkpoint_every_s
        if bad or (not is_last and (stopping.asked() or due)):
            _note(stack, sums)
            if stopping.asked() or due:
                _save(members, failed)
                saved = now
            if stopping.asked():
                raise stopping.Stopped
            if bad:
                return
    _note(stack, sums)
    trained_s = time.monotonic() - began
    logits = stack.val_logits()
    timed = {"time/epoch_s": time.monotonic() - began}
    timed["time/images_per_s"] = batches * first.sampler.batch_size / trained_s
    lr, machine = stack.lr, system()
    for one, logits_NK in zip(members, logits, strict=False):
        row = {"train/loss": one.loss_sum / one.seen, **_validated(one, logits_NK), "lr": lr, **timed, **machine}
        one.epoch, one.batch, one.loss_sum, one.seen = one.epoch + 1, 0, 0.0, 0
        rundir.append_metrics(one.path, one.epoch, row)
        rundir.beat(one.path, one.step, one.steps)
        _judge(one, row[one.settings.trainer.monitor])
    _save(members, failed)
    for one in members:
        if one.best_epoch == one.epoch - 1 and not one.failed:
            checkpoints.link_best(one.path / "checkpoints" / "last.ckpt")
    if stopping.asked():
        raise stopping.Stopped


def _note(stack: Stack, sums: Tensor) -> None:
    """Write to the members what the stack knows of them."""
    stack.copy_out()
    for one, loss_sum in zip(stack.members, sums.tolist(), strict=False):
        one.loss_sum = loss_sum


def _validated(one: Member, logits_NK: Tensor) -> dict[str, float]:
    y = one.labels(one.val)
    right = (logits_NK.argmax(1) == y).double().mean().item()
    return {"val/loss": F.cross_entropy(logits_NK, y).item(), "val/acc": right}


def _judge(one: Member, value: float) -> None:
    """Whether the epoch that is over was the best, and whether the member waits no longer for a better one."""
    trainer = one.settings.trainer
    score = -value if trainer.monitor.endswith("loss") else value
    one.waited += 1
    # In single precision, as Lightning's EarlyStopping computes.
    if one.to_beat is None or np.float32(score) - np.float32(trainer.early_stopping_min_delta) > one.to_beat:
        one.to_beat, one.waited = score, 0
    if one.best_score is None or score >= one.best_score:  # of equals the later one, see checkpoints.Keep
        one.best_score, one.best_epoch = score, one.epoch - 1
    if patience := trainer.early_stopping_patience:
        one.stopped = one.waited >= patience or not math.isfinite(score)


def _save(members: Sequence[Member], failed: Failed) -> None:
    for one in members:
        if one.failed:
            continue
        try:
            one.save()
        except FloatingPointError as error:
            _fail(one, error, failed)


def _fail(one: Member, error: Exception, failed: Failed) -> None:
    one.failed = True
    failed(one.path, error)
