"""One picture of one run: how it learned, and what it confuses."""

from pathlib import Path

from pipeline import folders, rundir
from pipeline.diagnosis.confusion import counts


def draw(run: Path) -> Path:
    """Write curves.png into a finished run: losses and accuracy by epoch, and the test split's confusions."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rundir.metric_rows(run):
        for name, value in row.metrics.items():
            curves.setdefault(name, []).append((row.step, value))
    figure = Figure(figsize=(12, 3.8))  # a layout that is found out takes 0.1 s of a run
    loss, acc, confusion = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.04, right=0.99, bottom=0.13, top=0.92, wspace=0.14)
    for axes, names in ((loss, ("train/loss", "val/loss")), (acc, ("val/acc",))):
        for name in names:
            axes.plot(*zip(*curves[name], strict=True), marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.legend(frameon=False)
    saved = rundir.read_predictions(run)
    counts_KK = counts(saved["label"], saved["logits"].argmax(1), saved["logits"].shape[1])
    confusion.imshow(counts_KK / counts_KK.sum(1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
    confusion.set(xlabel="predicted class", ylabel="true class", title="test split, share of the true class")
    with folders.replacing(run / "curves.png") as file:
        figure.savefig(file, format="png", dpi=90)
    return run / "curves.png"
