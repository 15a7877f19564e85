"""The verdict of a sweep, from its run directories.

python -m pipeline.compare sweep=latest
python -m pipeline.compare sweep=runs/kernel_size/... out=reports/kernel_size
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pipeline import cli, config, rundir, terminal
from pipeline.errors import InputError, one_of
from pipeline.names import short_names

if TYPE_CHECKING:
    from pipeline.evidence.document import Verdict


@dataclass
class Compare:
    """What `python -m pipeline.compare` takes."""

    sweep: str = "latest"  # a sweep directory, or latest: the one begun last under runs_dir
    runs_dir: str = "runs"
    out: str | None = None  # also put verdict, report, metrics and plot data into this folder
    output: str = "table"  # table | json

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json"))


def job(cfg: DictConfig) -> int:
    """Compute the verdict anew, show it, and show it on MLflow where the sweep is tracked."""
    from pipeline.evidence import conclude as evidence
    from pipeline.evidence import print_verdict
    from pipeline.tracking import live
    from pipeline.tracking.state import tracking_of
    from pipeline.tracking.trust import check_trust

    options = config.typed(cfg, Compare)
    sweep = rundir.find_sweep(options.sweep, Path(options.runs_dir))
    found = evidence.conclude(sweep)
    try:
        if (tracking := tracking_of(sweep)).uri is not None:
            check_trust(tracking)
            live.attach(sweep, evidence.artifacts(sweep), evidence.headline(found))
    except InputError as error:
        terminal.say(f"not shown on MLflow: {error}")
    if options.out:
        publish(sweep, found, Path(options.out))
    cli.emit(options.output, found.to_json(), lambda: print_verdict(sweep, found))
    return cli.DONE


def publish(sweep: Path, found: "Verdict", out: Path) -> None:
    """Copy what a sweep found to `out`, with metrics.json and levels.csv for `dvc metrics` and `dvc plots`."""
    from pipeline.evidence import conclude as evidence

    if out.resolve() == sweep.resolve():
        raise InputError(f"out={out}: is the sweep itself. Choose another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"out={out}: is a file; it must be a folder.") from None
    for name in ("verdict.json", "report.html"):
        shutil.copyfile(sweep / name, out / name)
    rundir.write_json(out / "metrics.json", evidence.headline(found))
    names = dict(zip(found.factors, short_names(list(found.factors)), strict=True))
    fields = ("n", "mean", "sd", "difference", "low", "high", "verdict")
    levels = [
        [factor, f"{names[factor]}={level.level}", *(getattr(level, k) for k in fields)]
        for factor, entry in found.factors.items()
        for level in entry.levels
    ]
    write_csv(out / "levels.csv", [["factor", "level", *fields], *levels])
    # One column per level: validation accuracy by epoch, the mean over the level's runs.
    points: dict[str, dict[float, list[float]]] = {level[1]: {} for level in levels}
    for run in (one for one in evidence.collect(sweep) if one.status == "finished"):
        for factor, level in run.levels.items():
            for epoch, value in run.curves.get("val/acc", []):
                points[f"{names[factor]}={level}"].setdefault(epoch, []).append(value)
    epochs = sorted({epoch for column in points.values() for epoch in column})
    means = [[mean(c[e]) if e in c else "" for c in points.values()] for e in epochs]
    write_csv(out / "curves.csv", [["epoch", *points], *([e, *row] for e, row in zip(epochs, means, strict=True))])


def write_csv(path: Path, rows: list[list[Any]]) -> None:
    """Rows, the first of which names the columns."""
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def main() -> None:
    """The command."""
    cli.main("compare", job, schema=Compare)


if __name__ == "__main__":
    main()
