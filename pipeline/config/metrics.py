"""What runs can be compared by: `experiment.metric` is one of these, known before anything is trained."""

from dataclasses import dataclass

from pipeline.perturbations import PERTURBATIONS

MOST_TRAIN = 5000  # as many as validation usually has: more would cost seconds and tell the gap no better


@dataclass(frozen=True)
class Metric:
    """One number that stands in the status.json of a finished run."""

    better: str  # max | min: which end of it is better
    share_of: str | None = None  # the split of whose examples it is a share, or the smaller of two
    invariance: bool = False  # a run has it with experiment.invariance=true alone


# A new metric of a run is an entry here, and a number among those that `predict.evaluate` returns.
METRICS = {
    "test/acc": Metric("max", share_of="test"),
    "test/loss": Metric("min"),
    "val/acc": Metric("max", share_of="val"),
    "val/loss": Metric("min"),
    "train/acc": Metric("max", share_of="train"),
    "gap/acc": Metric("min", share_of="val"),
    **{
        f"{name}/{kind}": Metric("max", invariance=True)
        for name in ("invariance", "agreement")
        for kind in PERTURBATIONS
    },
}


def contradiction(metric: str, mode: str) -> list[str]:
    """A line where `mode` calls the wrong end of `metric` the better one."""
    better = METRICS[metric].better if metric in METRICS else mode
    if better == mode:
        return []
    end = "more" if better == "max" else "less"
    return [f"experiment.mode={mode}: of {metric}, {end} is better; the level that is called best will be the worst."]
