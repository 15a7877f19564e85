"""How long a sweep will take and how much disk it needs: a few real training steps on this machine, scaled."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from pipeline import config, environment
from pipeline.architecture import Plan
from pipeline.architecture.stacked import Stacked, name_draws
from pipeline.config import Config
from pipeline.data.images import normalise, to_batch
from pipeline.training.allocator import keep_buffers
from pipeline.transfer.build import construct

# Measured around the notes' CNN on two cores: what the training loop adds to each step, and what a run costs
# beyond its steps (building, checkpoints, evaluation of small sets, its record and its MLflow run).
STEP_OVERHEAD_S = 0.0012
RUN_OVERHEAD_S = 0.6

WARM_UP, STEPS, PATIENCE_S = 2, 5, 3.0


@dataclass
class Sizes:
    """How many examples a run trains on, validates on after each epoch, and tests on once."""

    train: int
    val: int
    test: int


def estimate(runs: Sequence[tuple[Config, Plan]], sizes: Sequence[Sizes]) -> dict[str, Any]:
    """Seconds and bytes of all `runs`, one after the other.

    The cheapest and the dearest network (by MACs x batch) are timed, in a stack where they are trained in one; the
    others lie on the line between them.
    """
    keep_buffers()
    members = _members(runs)
    work = [planned.macs * settings.data.batch_size for settings, planned in runs]
    low, high = min(range(len(runs)), key=work.__getitem__), max(range(len(runs)), key=work.__getitem__)
    timed = {work[i]: time_step(*runs[i], members[i]) for i in (low, high)}

    def seconds(i: int) -> float:
        settings, _ = runs[i]
        (step_0, image_0), (step_1, image_1) = timed[work[low]], timed[work[high]]
        part = (work[i] - work[low]) / (work[high] - work[low]) if work[high] > work[low] else 0.0
        step, image = step_0 + part * (step_1 - step_0), image_0 + part * (image_1 - image_0)
        steps = max(1, sizes[i].train // settings.data.batch_size)
        epoch = steps * (step + STEP_OVERHEAD_S / members[i]) + sizes[i].val * image
        return RUN_OVERHEAD_S + settings.trainer.max_epochs * epoch + (sizes[i].val + sizes[i].test) * image

    def disk(i: int) -> int:
        settings, planned = runs[i]
        # best and last checkpoint, each weights and two moments in float32; logits of the test split
        own = 2 * 3 * 4 * planned.params + sizes[i].test * (4 * planned.output_shape[0] + 16) + 50_000
        return own * (1 if settings.tracking.uri is None else 2)  # tracked runs have a copy of their files

    return {
        "seconds": sum(map(seconds, range(len(runs)))),
        "disk_bytes": sum(map(disk, range(len(runs)))),
        "timed": [{"macs": runs[i][1].macs, "step_s": timed[work[i]][0]} for i in dict.fromkeys((low, high))],
    }


def _members(runs: Sequence[tuple[Config, Plan]]) -> list[int]:
    """With how many seeds of its arm each run is trained at once."""
    arms = [str(dataclasses.replace(settings, seed=0, dir=None)) for settings, _ in runs]
    stacks = [config.settled(settings, planned).trainer.stack for settings, planned in runs]
    return [1 if stack == "off" else min(int(stack), arms.count(arm)) for stack, arm in zip(stacks, arms, strict=True)]


def time_step(settings: Config, planned: Plan, members: int = 1) -> tuple[float, float]:
    """Seconds of one training step, and of evaluating one image, on made-up images; of one of so many members."""
    device = torch.device("cuda" if settings.trainer.accelerator == "gpu" and torch.cuda.is_available() else "cpu")
    if members > 1:
        network: torch.nn.Module = Stacked(planned, members)
        name_draws(network, [torch.Generator(device)] * members)
    else:
        network = construct(settings.architecture, planned, planned.output_shape[0])
        network.to(memory_format=torch.channels_last)
    network.to(device)
    batch = settings.data.batch_size
    made = settings.data.kind.noise(np.random.default_rng(0), batch, planned.input_shape).repeat(members, axis=3)
    x_BCHW = to_batch(made).to(device)
    channels = x_BCHW.shape[1]
    mean, std = torch.zeros(channels, 1, 1, device=device), torch.ones(channels, 1, 1, device=device)
    torch.set_num_threads(config.settled(settings, planned).trainer.threads or 1)
    y = torch.randint(0, planned.output_shape[0], (members * batch,)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    bf16 = settings.trainer.precision == "bf16-mixed" or (
        settings.trainer.precision == "auto" and environment.native_bf16(settings.trainer.accelerator)
    )

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(network(normalise(x_BCHW, mean, std)).flatten(0, -2), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def evaluate() -> None:
        with torch.no_grad():
            network(normalise(x_BCHW, mean, std))
        if device.type == "cuda":
            torch.cuda.synchronize()

    return _best_time(step) / members, _best_time(evaluate) / batch / members


def _best_time(call: Any) -> float:
    """The least of a few timings: what disturbs a shared machine only ever adds."""
    began = time.perf_counter()
    times: list[float] = []
    while len(times) < WARM_UP + STEPS and (not times or time.perf_counter() - began < PATIENCE_S):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
