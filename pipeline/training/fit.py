"""Train one run from its directory. Every process of a run calls this; a command line is never needed."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.strategies import Strategy
from torch.utils.data import DataLoader

from pipeline import augmentation, config, data, rundir, stopping
from pipeline.data import loader, vocabulary
from pipeline.records import RunRecord
from pipeline.training import checkpoints, quiet
from pipeline.training.allocator import keep_buffers
from pipeline.training.checkpoints import Durable, Keep
from pipeline.training.features import Cached
from pipeline.training.guard import Guard
from pipeline.training.loss import class_weights
from pipeline.training.module import Classifier
from pipeline.training.record import Record
from pipeline.training.together import Together
from pipeline.transfer import network as networks


@dataclass(frozen=True)
class Fitted:
    """What training knows at its end, of the process that speaks for the others."""

    epochs: int
    parameters: dict[str, int]  # total, trainable


def fit(path: Path, gpu: int | None = None) -> Fitted | None:
    """Train the run at `path` as its run.json says, and leave its checkpoints there.

    In this process alone, on the GPU of index `gpu`, or as one of several that torchrun's agent started: of these,
    all but the first return None. Goes on from the newest checkpoint where there is one, to the same numbers.
    Raises Stopped where a signal asked for it, after a checkpoint.
    """
    quiet()
    settings, record = config.of_run(path), rundir.read_run(path)
    several = settings.trainer.processes > 1  # else what a scheduler may have set is none of ours
    rank, world = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE")) if several else (0, 1)
    if gpu is not None:
        torch.cuda.set_device(gpu)  # what says no more than "cuda" means this one
    if rank == 0:
        rundir.trains(path)
    keep_buffers()
    # Deterministic mode also fills every fresh tensor with NaN, to expose reads of memory that nobody wrote: 3 %
    # of the notes' CNN's images/s, for nothing where tests find such reads.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    prepared = data.prepare(settings.data, settings.seed)
    splits = data.split(prepared, settings.data, settings.seed)
    newest = checkpoints.newest(path)
    module = module_of(record, settings, prepared, splits, newest and newest[1])
    # One for small networks, see Trainer.cpu_threads: what run.json says.
    torch.set_num_threads(settings.trainer.cpu_threads(module.network.plan.macs * settings.data.batch_size // world))  # type: ignore
    sampler = sampler_of(settings, prepared, splits, rank, world)
    if newest:
        sampler.go_on(**checkpoints.position(newest[1]))
        if rank == 0:
            checkpoints.restore_best(path, *newest)
    in_order = loader.InOrder(splits["val"], 512, rank, world)
    callbacks = _callbacks(path, settings, sampler.batch_size)
    train, val = _loaders(path, settings, prepared, splits, module, sampler, in_order, world, callbacks)
    trainer = _trainer(path, settings.trainer, callbacks, gpu, _strategy(settings.trainer, world))
    with stopping.cooperative():
        trainer.fit(module, train, val, ckpt_path=newest and newest[0], weights_only=True)
    if not trainer.is_global_zero:
        return None
    return Fitted(trainer.current_epoch, count_parameters(module))


def count_parameters(module: Classifier) -> dict[str, int]:
    """Of its network: total, trainable."""
    weights = list(module.network.parameters())
    return {
        "total": sum(p.numel() for p in weights),
        "trainable": sum(p.numel() for p in weights if p.requires_grad),
    }


def module_of(
    record: RunRecord,
    settings: config.Config,
    prepared: data.Prepared,
    splits: dict[str, np.ndarray],
    newest: dict[str, Any] | None,
) -> Classifier:
    """The network as the run begins, or for what the checkpoint `newest` holds."""
    torch.manual_seed(networks.seed_of(record))
    network = networks.of_run(record)
    if newest:  # it holds all of the network; the source may be gone by now
        mean, std = newest["state_dict"]["mean"], newest["state_dict"]["std"]
    else:
        # What was trained on images normalised one way is given images normalised that way.
        mean, std = networks.load(network, record.transfer) or map(
            torch.as_tensor, prepared.kind.normalisation(prepared.images, splits["train"])
        )
    labels = np.asarray(prepared.labels[splits["train"]])
    return Classifier(
        network,
        mean,
        std,
        len(prepared.classes),
        settings.optimizer,
        networks.tuning_of(record),
        settings.loss,
        class_weights(labels, len(prepared.classes), settings.loss),
        None if prepared.words is None else torch.from_numpy(vocabulary.packed(prepared.words)),
    )


def sampler_of(
    settings: config.Config, prepared: data.Prepared, splits: dict[str, np.ndarray], rank: int = 0, world: int = 1
) -> loader.Shuffled:
    """Of the training batches, for the process `rank` of `world`."""
    labels = prepared.labels if settings.data.sampling == "balanced" else None
    return loader.Shuffled(splits["train"], settings.data.batch_size, settings.seed, rank, world, labels)


def _callbacks(path: Path, settings: config.Config, batch_size: int) -> list[pl.Callback]:
    keep = Keep(path, settings.trainer.monitor)
    return [
        Record(path, batch_size),
        Guard(path, keep, settings.seed, settings.trainer.checkpoint_every_s),
        *_early_stopping(settings.trainer),
        keep,
    ]


def _loaders(
    path: Path,
    settings: config.Config,
    prepared: data.Prepared,
    splits: dict[str, np.ndarray],
    module: Classifier,
    sampler: loader.Shuffled,
    in_order: loader.InOrder,
    world: int,
    callbacks: list[pl.Callback],
) -> tuple[DataLoader, DataLoader]:
    """Of images, or of the features of a frozen trunk, which a callback more computes before the first epoch."""
    augment = augmentation.build(settings.augmentation, settings.seed)
    once = Cached(path, prepared.images, splits, sampler.batch_size // world)
    if settings.transfer.cache and augment is None and once.possible(module):
        callbacks.insert(0, once)
        return once.loaders(prepared.labels, sampler, in_order)
    workers, timeout_s = settings.data.num_workers, settings.trainer.loader_timeout_s
    train = loader.loader(prepared.images, prepared.labels, sampler, workers, augment, timeout_s)
    return train, loader.loader(prepared.images, prepared.labels, in_order)


def _trainer(
    path: Path, trainer: config.Trainer, callbacks: list[pl.Callback], gpu: int | None, strategy: str | Strategy
) -> pl.Trainer:
    durable = Durable(rundir.read_run(path).key)
    made = pl.Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices if gpu is None else [gpu],
        num_nodes=trainer.num_nodes,
        strategy=strategy,
        precision=trainer.precision,  # type: ignore[arg-type]
        max_epochs=trainer.max_epochs,
        gradient_clip_val=trainer.gradient_clip_val,
        deterministic=trainer.deterministic,
        sync_batchnorm=trainer.accelerator == "gpu" and trainer.processes > 1,
        callbacks=callbacks,
        # Within a SLURM job Lightning would otherwise take SLURM's, whose ranks are those of srun.
        plugins=[durable, TorchElasticEnvironment() if trainer.processes > 1 else LightningEnvironment()],
        default_root_dir=path,  # in a SLURM job it looks there for checkpoints of its own, and not in the user's folder
        use_distributed_sampler=False,  # it pads the evaluation set; ours counts each example once
        num_sanity_val_steps=0,
        logger=False,  # the run directory is the record; MLflow shows it
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Its handler calls a collective wherever the signal finds it, which hangs; ours only set a flag.
    made._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return made


def _strategy(trainer: config.Trainer, world: int) -> str | Strategy:
    if world == 1:
        return "auto"
    cpu = trainer.accelerator == "cpu"
    return Together("gloo" if cpu else "nccl", trainer.sync_timeout_s, one_machine=cpu and trainer.num_nodes == 1)


def _early_stopping(trainer: config.Trainer) -> list[EarlyStopping]:
    if not trainer.early_stopping_patience:
        return []
    mode = "min" if trainer.monitor.endswith("loss") else "max"
    patience, least = trainer.early_stopping_patience, trainer.early_stopping_min_delta
    return [EarlyStopping(trainer.monitor, min_delta=least, patience=patience, mode=mode)]
