"""Train one run from its directory. Every process of a run calls this; a command line is never needed."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.strategies import DDPStrategy, Strategy

from pipeline import augmentation, config, data, rundir
from pipeline.data import loader
from pipeline.evaluation.plots import draw
from pipeline.evaluation.predict import evaluate
from pipeline.training import checkpoints, quiet, stopping
from pipeline.training.allocator import keep_buffers
from pipeline.training.checkpoints import Durable, Keep
from pipeline.training.features import Cached
from pipeline.training.guard import Guard
from pipeline.training.module import Classifier
from pipeline.training.record import Record
from pipeline.transfer import network as networks


def fit(path: Path, gpu: int | None = None) -> None:
    """Train the run at `path` as its run.json says, and leave its checkpoints, predictions and results there.

    In this process alone, on the GPU of index `gpu`, or as one of several that torchrun's agent started.

    Goes on from the newest checkpoint where there is one, to the same numbers. Raises Stopped where a signal asked
    for it, after a checkpoint.
    """
    began = time.perf_counter()
    quiet()
    settings, asked = config.of_run(path), rundir.read_run(path)
    several = settings.trainer.processes > 1  # else what a scheduler may have set is none of ours
    rank, world = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE")) if several else (0, 1)
    if gpu is not None:
        torch.cuda.set_device(gpu)  # what says no more than "cuda" means this one
    keep_buffers()
    # Deterministic mode also fills every fresh tensor with NaN, to expose reads of memory that nobody wrote: 3 %
    # of the notes' CNN's images/s, for nothing where tests find such reads.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    prepared = data.prepare(settings.data, settings.seed)
    splits = data.split(prepared, settings.data, settings.seed)
    classes = len(prepared.classes)
    torch.manual_seed(networks.seed_of(asked))
    network = networks.of_run(asked)
    newest = checkpoints.newest(path)
    if newest:  # it holds all of the network; the source may be gone by now
        mean, std = newest[1]["state_dict"]["mean"], newest[1]["state_dict"]["std"]
    else:
        # What was trained on images normalised one way is given images normalised that way.
        mean, std = networks.load(network, asked) or map(
            torch.as_tensor, prepared.kind.normalisation(prepared.images, splits["train"])
        )
    torch.set_num_threads(settings.trainer.cpu_threads(network.plan.macs * settings.data.batch_size // world))  # type: ignore
    module = Classifier(network, mean, std, classes, settings.optimizer, networks.tuning_of(asked))

    sampler = loader.Shuffled(splits["train"], settings.data.batch_size, settings.seed, rank, world)
    augment = augmentation.build(settings.augmentation, settings.seed)
    if newest:
        sampler.go_on(**checkpoints.position(newest[1]))
        if rank == 0:
            checkpoints.restore_best(path, *newest)
    in_order = loader.InOrder(splits["val"], 512, rank, world)
    keep = Keep(path, settings.trainer.monitor)
    callbacks: list[pl.Callback] = [
        Record(path, sampler.batch_size),
        Guard(path, keep, settings.seed, settings.trainer.checkpoint_every_s),
        *_early_stopping(settings.trainer),
        keep,
    ]
    once = Cached(path, prepared.images, splits, sampler.batch_size // world)
    if settings.transfer.cache and augment is None and once.possible(module):
        train, val = once.loaders(prepared.labels, sampler, in_order)
        callbacks.insert(0, once)
    else:
        workers, timeout_s = settings.data.num_workers, settings.trainer.loader_timeout_s
        train = loader.loader(prepared.images, prepared.labels, sampler, workers, augment, timeout_s)
        val = loader.loader(prepared.images, prepared.labels, in_order)
    trainer = pl.Trainer(
        accelerator=settings.trainer.accelerator,
        devices=settings.trainer.devices if gpu is None else [gpu],
        num_nodes=settings.trainer.num_nodes,
        strategy=_strategy(settings.trainer, world),
        precision=settings.trainer.precision,  # type: ignore[arg-type]
        max_epochs=settings.trainer.max_epochs,
        gradient_clip_val=settings.trainer.gradient_clip_val,
        deterministic=settings.trainer.deterministic,
        sync_batchnorm=settings.trainer.accelerator == "gpu" and world > 1,
        callbacks=callbacks,
        # Within a SLURM job Lightning would otherwise take SLURM's, whose ranks are those of srun.
        plugins=[Durable(), TorchElasticEnvironment() if several else LightningEnvironment()],
        default_root_dir=path,  # in a SLURM job it looks there for checkpoints of its own, and not in the user's folder
        use_distributed_sampler=False,  # it pads the evaluation set; ours counts each example once
        num_sanity_val_steps=0,
        logger=False,  # the run directory is the record; MLflow shows it
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Its handler calls a collective wherever the signal finds it, which hangs; ours only set a flag.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    with stopping.cooperative():
        trainer.fit(module, train, val, ckpt_path=newest and newest[0], weights_only=True)
    if not trainer.is_global_zero:
        return
    if stopping.asked():  # too late for training to notice; what is left is done when it is taken up
        raise stopping.Stopped
    metrics = evaluate(path, save=True, invariant=settings.experiment.invariance)["metrics"]
    weights = list(network.parameters())
    # Validation has its own row for each epoch.
    ended = {name: value for name, value in metrics.items() if not name.startswith("val/")}
    rundir.append_metrics(path, trainer.current_epoch, ended)
    draw(path)
    (path / "checkpoints" / "previous.ckpt").unlink(missing_ok=True)  # for a run that goes on
    rundir.set_status(
        path,
        "finished",
        ended=time.time(),
        metrics=metrics,
        parameters={
            "total": sum(p.numel() for p in weights),
            "trainable": sum(p.numel() for p in weights if p.requires_grad),
        },
        seconds=rundir.get_status(path).get("spent", 0.0) + time.perf_counter() - began,
    )


def _strategy(trainer: config.Trainer, world: int) -> str | Strategy:
    if world == 1:
        return "auto"
    backend = "gloo" if trainer.accelerator == "cpu" else "nccl"
    return DDPStrategy(process_group_backend=backend, timeout=timedelta(seconds=trainer.sync_timeout_s))


def _early_stopping(trainer: config.Trainer) -> list[EarlyStopping]:
    if not trainer.early_stopping_patience:
        return []
    mode = "min" if trainer.monitor.endswith("loss") else "max"
    return [EarlyStopping(trainer.monitor, mode=mode, patience=trainer.early_stopping_patience)]
