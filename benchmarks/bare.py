"""The networks of a sweep trained again by bare loops: no framework, no validation, nothing kept.

    python -m benchmarks.bare SWEEP

With each run's own settings (precision, layout, batches, optimizer=adam), one after the other on one core. Prints one
JSON line: the seconds of all loops.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from pipeline import config, data, rundir
from pipeline.training.allocator import keep_buffers
from pipeline.transfer import network as networks


def seconds_of(path: Path) -> float:
    """Of one run's loop, without what comes before it."""
    record, settings = rundir.read_run(path), config.of_run(path)
    prepared = data.open_prepared(record.dataset.dir, settings.data, settings.seed)
    train = data.split(prepared, settings.data, settings.seed)["train"]
    mean, std = map(torch.as_tensor, prepared.kind.normalisation(prepared.images, train))
    torch.manual_seed(settings.seed)
    network = networks.of_run(record).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=settings.optimizer.lr, fused=True)
    size, bf16 = settings.data.batch_size, settings.trainer.precision == "bf16-mixed"
    mean, std = (one.reshape(-1, 1, 1).float() for one in (mean, std))
    began = time.perf_counter()
    for epoch in range(settings.trainer.max_epochs):
        order = np.random.default_rng([settings.seed, epoch]).permutation(train)
        for start in range(0, len(order) - size + 1, size):
            indices = order[start : start + size]
            x = torch.from_numpy(prepared.images[indices]).permute(0, 3, 1, 2)
            y = torch.from_numpy(prepared.labels[indices])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(network((x.float() / 255 - mean) / std), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
    return time.perf_counter() - began


def main() -> None:
    """All runs of the sweep."""
    torch.set_num_threads(1)
    keep_buffers()
    sweep = Path(sys.argv[1])
    print(json.dumps({"seconds": sum(seconds_of(sweep / job.dir) for job in rundir.read_sweep(sweep).jobs)}))


if __name__ == "__main__":
    main()
