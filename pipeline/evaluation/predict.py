"""Logits and metrics of a checkpoint: one process, full precision, every example once."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from pipeline import config, data, rundir, terminal
from pipeline import key as keys
from pipeline.config.metrics import LOCALIZATION, MOST_TRAIN
from pipeline.data import loader
from pipeline.errors import InputError
from pipeline.evaluation import invariance
from pipeline.records import RunRecord
from pipeline.training import checkpoints
from pipeline.training.module import Classifier
from pipeline.transfer import network as networks


def load(run: Path, checkpoint: str = "best") -> Classifier:
    """The network of a run with the weights of checkpoints/<checkpoint>.ckpt, in eval mode on the CPU.

    The file is read without unpickling code (weights_only). Raises InputError where it is missing or damaged.
    """
    path = run / "checkpoints" / f"{checkpoint}.ckpt"
    weights = checkpoints.read(run, checkpoint)["state_dict"]
    if checkpoint == "best":
        rundir.check_sealed(run, "checkpoints/best.ckpt")
    worded = config.of_run(run).data.kind.worded  # refuses what another version of the code wrote
    if missing := {"mean", "std", *(["words"] if worded else [])} - weights.keys():
        raise InputError(f"{path}: is not a checkpoint of a run; it lacks {min(missing)}.")
    record = rundir.read_run(run)
    module = Classifier(
        networks.of_run(record),
        weights["mean"],
        weights["std"],
        len(record.dataset.classes),
        words=weights.get("words"),
    )
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: does not fit the network of {run / 'run.json'}: {reason}") from None
    return module.eval()


def placed(module: Classifier, settings: config.Config) -> Classifier:
    """The network where it is to run: on a GPU, where it was trained on one and one is here."""
    on_gpu = settings.trainer.accelerator == "gpu" and torch.cuda.is_available()
    return module.cuda() if on_gpu else module


@torch.no_grad()
def logits(module: Classifier, images_NHWC: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> torch.Tensor:
    """Logits [len(indices), classes] in the order of `indices`, in float32."""
    batches = loader.loader(images_NHWC, labels, loader.InOrder(indices, 512))
    return torch.cat([module(x_BCHW.to(module.device)).float().cpu() for x_BCHW, _y, _ids in batches])


def metrics(logits_BK: torch.Tensor, labels: torch.Tensor, split: str) -> dict[str, float]:
    """Accuracy and mean cross-entropy, named `<split>/acc` and `<split>/loss`."""
    return {
        f"{split}/acc": (logits_BK.argmax(1) == labels).double().mean().item(),
        f"{split}/loss": F.cross_entropy(logits_BK.double(), labels).item(),
    }


# Other kinds of machine differ by 1e-6 in the loss, and an example may change sides; other networks differ by more.
CLOSE = {"acc": 0.005, "loss": 0.001}


def _check_reported(run: Path, record: RunRecord, found: dict[str, float]) -> None:
    """Raise InputError where a finished run reported something else: then nothing of it is to be written anew."""
    status = rundir.get_status(run)
    if status.status != "finished":
        return
    changed = record.code_digest != keys.code_digest()
    code = f" Code that computes numbers has changed since: {keys.other_modules(record)}." if changed else ""
    for name, value in found.items():
        reported = status.metrics.get(name)
        if reported is not None and abs(value - reported) > CLOSE[name.rpartition("/")[2]]:
            raise InputError(
                f"run={run}: its weights give {name} {value:.4f} here, and it reported {reported:.4f}.{code} "
                "Nothing was written."
            )
    if code:
        terminal.mind([code.strip()])


def evaluate(
    run: Path, checkpoint: str = "best", save: bool = False, invariant: bool = False, localizing: bool = False
) -> dict[str, Any]:
    """Metrics of a run's checkpoint on its own validation and test split, and how much it overfits.

    `train/acc` is over clean training images, not augmented: all, or MOST_TRAIN of them evenly over the split.
    `gap/acc` is what it is above `val/acc`.
    `save` writes predictions.npz as well: index, label and logits per test and validation example. `invariant` measures
    accuracy against rotation, scale and shift too, and writes invariance.json and invariance.png; `localizing` how well
    class maps find the boxes of test images, if both splits have some.
    """
    record = rundir.read_run(run)
    settings = config.of_run(run)
    prepared = data.prepare(settings.data, settings.seed)
    if prepared.digest != record.dataset.digest:
        raise InputError(
            f"run={run}: was trained on data of digest {record.dataset.digest[:12]}, "
            f"but what is there now has {prepared.digest[:12]}."
        )
    splits = data.split(prepared, settings.data, settings.seed)
    module = placed(load(run, checkpoint), settings)
    found: dict[str, float] = {}
    predicted = {}
    for split in ("val", "test"):
        logits_BK = logits(module, prepared.images, prepared.labels, splits[split])
        labels = torch.from_numpy(np.asarray(prepared.labels[splits[split]], dtype=np.int64))
        found |= metrics(logits_BK, labels, split)
        predicted[split] = splits[split], labels.numpy(), logits_BK.numpy()
    if checkpoint == "best":
        _check_reported(run, record, found)
    if save:
        rundir.write_predictions(run, **predicted)
    some = invariance.evenly(splits["train"], MOST_TRAIN)
    logits_BK = logits(module, prepared.images, prepared.labels, some)
    labels = torch.from_numpy(np.asarray(prepared.labels[some], dtype=np.int64))
    found["train/acc"] = metrics(logits_BK, labels, "train")["train/acc"]
    found["gap/acc"] = found["train/acc"] - found["val/acc"]
    found |= settings.data.kind.scores(module, prepared, settings.data, settings.seed)
    document = {"run": str(run), "checkpoint": checkpoint, "metrics": found}
    if invariant:
        curves = invariance.measure(module, prepared.images, prepared.labels, splits["test"])
        found |= invariance.areas(curves)
        if checkpoint == "best":  # what the sweep's page shows
            rundir.write_invariance(run, curves, checkpoint, record.key)
            invariance.draw(curves, run / "invariance.png")
        document["invariance"] = curves
    if localizing and prepared.boxes is not None:
        from pipeline.insight.localization import measure  # scipy.ndimage is for it alone

        measured = measure(
            module, prepared.images, prepared.labels, prepared.boxes, splits["val"], splits["test"], alone=True
        )
        if measured:
            found |= {f"localization/{name}": getattr(measured["network"], name) for name in LOCALIZATION}
    return document
