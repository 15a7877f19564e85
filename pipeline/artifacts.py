"""The files of a run directory: what each one holds, and what becomes of it. A new one is an entry here.

Whatever is done with a run's files reads this table: `tracking` sends them, `rundir.clear` takes away what a damaged
run left, in this order, and `earlier` copies a run into the sweep that it serves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

When = Literal["first", "last"]

# What a sweep's directory says of its verdict, beside plots/: for programs, for people, and as tables for a paper.
VERDICT = ("verdict.json", "report.html", "verdict.md", "verdict.tex", "verdict.csv")


@dataclass(frozen=True)
class Artifact:
    """A file of a run directory. What training makes needs no more than a name, as a rule, and what it holds."""

    path: str  # in the run directory; MLflow shows it in the same folder
    holds: str
    sent: When | None = "last"  # to MLflow: when the run begins, or when it has ended
    cleared: bool = True  # with what a damaged run left, before it begins anew
    copied: bool = True  # with a run that serves another sweep
    sealed: bool = False  # status.json holds its digest: another run's would be as whole as its own
    linked: bool = False  # replaced as a whole, never changed in place: instead of a copy a hard link does

    @property
    def folder(self) -> str | None:
        """The folder that it lies in; None: the run directory itself."""
        parent = str(PurePosixPath(self.path).parent)
        return None if parent == "." else parent


ARTIFACTS: tuple[Artifact, ...] = (
    Artifact(
        "run.json",
        "what was asked: configuration, seed, digests, environment (written once)",
        sent="first",
        cleared=False,
    ),
    Artifact("checkpoints/best.ckpt", "the weights where the monitored metric was best", sealed=True, linked=True),
    Artifact("checkpoints/last.ckpt", "the newest state of training", linked=True),
    Artifact("checkpoints/previous.ckpt", "the one before it, while training goes on", sent=None, linked=True),
    Artifact("status.json", "running | finished | failed | interrupted, results, error (replaced atomically)"),
    Artifact("metrics.jsonl", "one row per epoch, appended as training goes", sealed=True),
    Artifact("predictions.npz", "per test and validation example: index, label, logits", sealed=True, linked=True),
    Artifact("curves.png", "learning curves and confusions", linked=True),
    Artifact("heartbeat", "step/steps of a running run, a hint for progress lines", sent=None, copied=False),
    Artifact("invariance.json", "accuracy against rotation, scale and shift, where it was asked for"),
    Artifact("invariance.png", "shows it", linked=True),
    Artifact("diagnosis.html", "how it fails, for people, where `evaluate` wrote it", linked=True),
    Artifact("against.html", "where its answers differ from another run's, where `evaluate` was asked", linked=True),
    Artifact("diverged.json", "the batch whose loss was not finite, where one was"),
    Artifact("error.txt", "the traceback of a run that failed"),
    Artifact(
        "tracking.json",
        "which MLflow run shows it, and what that has by now",
        sent=None,
        cleared=False,
        copied=False,
    ),
    Artifact("tracking.lock", "held by the process that sends it", sent=None, cleared=False, copied=False),
    Artifact(
        "lock",
        "held by the process that trains the run, as long as it lives",
        sent=None,
        cleared=False,
        copied=False,
    ),
    Artifact("submitit", "what a cluster wrote of the job", sent=None, cleared=False, copied=False),
)


def sent(when: When) -> Iterator[Artifact]:
    """What MLflow gets then."""
    return (artifact for artifact in ARTIFACTS if artifact.sent == when)


def written_names() -> list[str]:
    """The names in the directory of a run or a sweep that people may have files of as well."""
    names = [Path(artifact.path).parts[0] for artifact in ARTIFACTS] + ["sweep.json", *VERDICT]
    return [name for name in dict.fromkeys(names) if "." in name]  # a folder is added to, and `lock` holds nothing


def cleared_names() -> list[str]:
    """The names in a run directory that a damaged run must not leave; a folder stands for all in it."""
    return list(dict.fromkeys(Path(artifact.path).parts[0] for artifact in ARTIFACTS if artifact.cleared))


def sealed_names() -> list[str]:
    """The files that are bound to their run."""
    return [artifact.path for artifact in ARTIFACTS if artifact.sealed]


def kept_names() -> list[str]:
    """The names that stay with the directory when the run is copied."""
    return [artifact.path for artifact in ARTIFACTS if not artifact.copied]


def is_linked(file: str) -> bool:
    """Whether a copy of that file of a run may be a hard link."""
    return Path(file).name in {Path(artifact.path).name for artifact in ARTIFACTS if artifact.linked}
