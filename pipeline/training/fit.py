"""Train one run from its directory. Every process of a run calls this; a command line is never needed."""

import os
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.strategies import DDPStrategy, Strategy

from pipeline import augmentation, config, data, rundir
from pipeline.data import loader
from pipeline.evaluation.plots import draw
from pipeline.evaluation.predict import evaluate
from pipeline.training import quiet
from pipeline.training.allocator import keep_buffers
from pipeline.training.features import Cached
from pipeline.training.module import Classifier
from pipeline.training.record import Record
from pipeline.transfer import network as networks


def fit(path: Path) -> None:
    """Train the run at `path` as its run.json says, and leave its checkpoints, predictions and results there."""
    began = time.perf_counter()
    quiet()
    settings, asked = config.of_run(path), rundir.read_json(path / "run.json")
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    keep_buffers()
    # Deterministic mode also fills every fresh tensor with NaN, to expose reads of memory that nobody wrote: 3 %
    # of the notes' CNN's images/s, for nothing where tests find such reads.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    prepared = data.prepare(settings.data, settings.seed)
    splits = data.split(prepared, settings.data, settings.seed)
    classes = len(prepared.classes)
    torch.manual_seed(settings.seed)
    network = networks.of_run(asked)
    # What was trained on images normalised one way is given images normalised that way.
    mean, std = networks.load(network, asked) or map(
        torch.as_tensor, data.normalisation(prepared.images, splits["train"])
    )
    threads = settings.trainer.cpu_threads(network.plan.macs * settings.data.batch_size // world)  # type: ignore
    torch.set_num_threads(threads)
    module = Classifier(network, mean, std, classes, settings.optimizer, networks.tuning_of(asked))

    sampler = loader.Shuffled(splits["train"], settings.data.batch_size, settings.seed, rank, world)
    augment = augmentation.build(settings.augmentation, settings.seed)
    in_order = loader.InOrder(splits["val"], 512, rank, world)
    callbacks = _callbacks(path, settings, len(sampler) * sampler.batch_size)
    once = Cached(path, prepared.images, splits, sampler.batch_size // world)
    if settings.transfer.cache and augment is None and once.possible(module):
        train, val = once.loaders(prepared.labels, sampler, in_order)
        callbacks.insert(0, once)
    else:
        train = loader.loader(prepared.images, prepared.labels, sampler, settings.data.num_workers, augment)
        val = loader.loader(prepared.images, prepared.labels, in_order)
    trainer = pl.Trainer(
        accelerator=settings.trainer.accelerator,
        devices=settings.trainer.devices,
        strategy=_strategy(settings.trainer.accelerator, world),
        precision=settings.trainer.precision,  # type: ignore[arg-type]
        max_epochs=settings.trainer.max_epochs,
        gradient_clip_val=settings.trainer.gradient_clip_val,
        deterministic=settings.trainer.deterministic,
        sync_batchnorm=settings.trainer.accelerator == "gpu" and world > 1,
        callbacks=callbacks,
        use_distributed_sampler=False,  # it pads the evaluation set; ours counts each example once
        num_sanity_val_steps=0,
        logger=False,  # the run directory is the record; MLflow shows it
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Dropout draws differ between processes and do not depend on how many numbers the weights took.
    torch.manual_seed(np.random.SeedSequence([settings.seed, rank]).generate_state(1)[0])
    trainer.fit(module, train, val)
    if not trainer.is_global_zero:
        return
    metrics = evaluate(path, save=True, invariant=settings.experiment.invariance)["metrics"]
    weights = list(network.parameters())
    # Validation has its own row for each epoch.
    ended = {name: value for name, value in metrics.items() if not name.startswith("val/")}
    rundir.append_metrics(path, trainer.current_epoch, ended)
    draw(path)
    rundir.set_status(
        path,
        "finished",
        ended=time.time(),
        metrics=metrics,
        parameters={
            "total": sum(p.numel() for p in weights),
            "trainable": sum(p.numel() for p in weights if p.requires_grad),
        },
        seconds=time.perf_counter() - began,
    )


def _strategy(accelerator: str, world: int) -> str | Strategy:
    if world == 1:
        return "auto"
    return DDPStrategy(process_group_backend="gloo" if accelerator == "cpu" else "nccl")


def _callbacks(path: Path, settings: config.Config, examples: int) -> list[Callback]:
    monitor = settings.trainer.monitor
    mode = "min" if monitor.endswith("loss") else "max"
    callbacks: list[Callback] = [
        ModelCheckpoint(
            path / "checkpoints",
            filename="best",
            monitor=monitor,
            mode=mode,
            save_last=True,
            enable_version_counter=False,
        ),
        Record(path, examples),
    ]
    if settings.trainer.early_stopping_patience:
        callbacks.append(EarlyStopping(monitor, mode=mode, patience=settings.trainer.early_stopping_patience))
    return callbacks
