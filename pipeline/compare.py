"""The verdict of a sweep, from its run directories.

python -m pipeline.compare sweep=latest
python -m pipeline.compare sweep=runs/kernel_size/... out=reports/kernel_size
"""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline import cli, rundir


@dataclass
class Compare:
    """What `python -m pipeline.compare` takes."""

    sweep: str = "latest"  # a sweep directory, or latest: the one begun last under runs_dir
    runs_dir: str = "runs"
    out: str | None = None  # also put verdict, report, metrics and plot data into this folder
    output: str = "table"  # table | json


def job(cfg: DictConfig) -> int:
    """Compute the verdict anew, show it, and show it on MLflow where the sweep is tracked."""
    from pipeline.evidence import sweep as evidence
    from pipeline.tracking import project

    asked = OmegaConf.to_object(cfg)
    assert isinstance(asked, Compare)
    sweep = rundir.find_sweep(asked.sweep, Path(asked.runs_dir))
    found = evidence.conclude(sweep)
    project.attach(sweep, evidence.artifacts(sweep), evidence.headline(found))
    if asked.out:
        publish(sweep, found, Path(asked.out))
    cli.emit(asked.output, found, lambda: cli.verdict_table(sweep, found))
    return cli.DONE


def publish(sweep: Path, found: dict[str, Any], out: Path) -> None:
    """Copy what a sweep found to `out`, with metrics.json and levels.csv for `dvc metrics` and `dvc plots`."""
    from pipeline.evidence import sweep as evidence

    out.mkdir(parents=True, exist_ok=True)
    for name in ("verdict.json", "report.html"):
        shutil.copyfile(sweep / name, out / name)
    rundir.write_json(out / "metrics.json", evidence.headline(found))
    with open(out / "levels.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["factor", "level", "n", "mean", "sd", "difference", "low", "high", "verdict"])
        for factor, entry in found["factors"].items():
            for level in entry["levels"]:
                rows.writerow(
                    [factor, f"{factor.rpartition('.')[2]}={level['level']}"]
                    + [level[k] for k in ("n", "mean", "sd", "difference", "low", "high", "verdict")]
                )
    with open(out / "curves.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["run", "epoch", "metric", "value"])
        for run in evidence.collect(sweep):
            for name, points in run.curves.items():
                rows.writerows([run.dir, epoch, name, value] for epoch, value in points)


def main() -> None:
    """The command."""
    cli.main("compare", job, schema=Compare)


if __name__ == "__main__":
    main()
