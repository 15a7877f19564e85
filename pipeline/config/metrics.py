"""What runs can be compared by: `experiment.metric` is one of these, known before anything is trained."""

from dataclasses import dataclass

from pipeline.perturbations import PERTURBATIONS

MOST_TRAIN = 5000  # as many as validation usually has: more would cost seconds and tell the gap no better

LOCALIZATION = ("pointing", "box", "best_box", "pixels")  # see insight/localization.py


@dataclass(frozen=True)
class Metric:
    """One number that a finished run has in its status.json, or that follows from its predictions."""

    better: str  # max | min: which end of it is better
    split: str  # whose examples it is about; of two the smaller; or something that is the same for all runs
    share: bool = False  # whether it is a share of them
    asked: str = ""  # the option of experiment that measures it; empty: every run has it
    predicted: bool = False  # it is made of a run's predictions where it is asked for: see diagnosis/predicted.py
    kind: str = ""  # of data.kinds.KINDS: only runs on such data have it; empty: all
    mapped: bool = False  # it can be made of them for coarser classes than were trained, too


# A new metric of a run is an entry here, and a number among those that `diagnosis.predicted.figures` makes of its
# predictions, which earlier runs have too; or, what these do not tell, among those that `predict.evaluate` returns.
METRICS = {
    "test/acc": Metric("max", "test", share=True, mapped=True),
    "test/loss": Metric("min", "test", mapped=True),
    "val/acc": Metric("max", "val", share=True),
    "val/loss": Metric("min", "val"),
    "train/acc": Metric("max", "train", share=True),
    "gap/acc": Metric("min", "val", share=True),
    **{
        f"{name}/{kind}": Metric("max", "test", asked="invariance")
        for name in ("invariance", "agreement")
        for kind in PERTURBATIONS
    },
    **{f"localization/{name}": Metric("max", "test", asked="localization") for name in LOCALIZATION},
    **{
        f"test/{name}": Metric("max", "test", predicted=True, mapped=True)
        for name in ("balanced_acc", "f1", "auroc", "ap", "sensitivity", "specificity")
    },
    "test/ece": Metric("min", "test", predicted=True, mapped=True),
    **{f"test/{name}": Metric("max", "episodes", kind="game") for name in ("return", "return_share")},
}


def contradiction(metric: str, mode: str) -> list[str]:
    """A line where `mode` calls the wrong end of `metric` the better one."""
    better = METRICS[metric].better if metric in METRICS else mode
    if better == mode:
        return []
    end = "more" if better == "max" else "less"
    return [f"experiment.mode={mode}: of {metric}, {end} is better; the level that is called best will be the worst."]
