"""Train one configuration, or with -m a whole sweep that ends in a verdict.

python -m pipeline.train architecture.kernel_size=5 seed=1
python -m pipeline.train -m experiment=kernel_size
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pipeline import architecture, cli, config, data, environment, rundir
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.evidence.design import arm


def job(cfg: DictConfig) -> int:
    """One run: by itself, or as a job of a sweep, whose directory then lies in the sweep's."""
    settings = config.from_hydra(cfg)
    path = Path(settings.dir or "")
    if settings.dir and of_sweep(path):
        try:
            train_one(settings, path)
        except Exception as error:  # the sweep goes on, and reads the outcome from the run directory
            rundir.fail(path, error)
        return cli.DONE
    check(settings)
    if settings.dir and (path / "run.json").exists():
        raise InputError(f"dir={path}: holds a run already. Choose another, or leave dir out for a new one.")
    from pipeline.training import progress

    parent = Path(settings.runs_dir) / settings.experiment.name
    with rundir.claimed(path if settings.dir else None, parent) as run:
        make_ready([settings])
        with progress.shown([(run.name, run)]):
            train_one(settings, run)
    outcome = document(run)
    cli.emit(settings.output, outcome, lambda: table(outcome))
    return cli.DONE if outcome["status"] == "finished" else cli.FAILED


def of_sweep(run: Path) -> dict[str, Any] | None:
    """The job of the sweep whose directory this run's lies in; None for a run by itself."""
    path = run.parent / "sweep.json"
    jobs = rundir.read_json(path)["jobs"] if path.exists() else []
    return next((job for job in jobs if job["dir"] == run.name), None)


def check(settings: Config) -> None:
    """Raise InputError if the run cannot be, as far as can be known before data is touched."""
    if known := data.declared(settings.data):
        architecture.plan(settings.architecture, *known)
    check_machine(settings)


def check_machine(settings: Config) -> None:
    """Raise InputError if this machine has not what the trainer asks for."""
    if settings.trainer.accelerator == "gpu":
        import torch

        if torch.cuda.device_count() < settings.trainer.devices:
            raise InputError(
                f"trainer.devices={settings.trainer.devices}: this machine has {torch.cuda.device_count()} GPUs. "
                "Use trainer=cpu."
            )


def make_ready(runs: list[Config]) -> None:
    """Prepare the data of all runs, once and before they could race for it, and reach the tracking they share.

    A server is asked first, which leaves nothing here; a database is made last, when all else was found good.
    """
    from pipeline.tracking import connect, project

    tracking, experiment = runs[0].tracking, runs[0].experiment.name
    reached = tracking.remote and connect.check(tracking, experiment)
    for one in {str((one.data, one.seed)): one for one in runs}.values():
        data.prepare(one.data, one.seed)
    if not tracking.remote:
        reached = connect.check(tracking, experiment)
    if reached:
        project.replay(Path(runs[0].runs_dir), tracking)


def train_one(settings: Config, run: Path) -> None:
    """Prepare the data if need be, make the run directory, train, show it on MLflow."""
    prepared = data.prepare(settings.data, settings.seed)
    splits = data.split(prepared, settings.data, settings.seed)
    planned = architecture.plan(settings.architecture, prepared.input_shape, len(prepared.classes))
    if settings.trainer.precision == "auto":
        native = environment.native_bf16(settings.trainer.accelerator)
        settings.trainer.precision = "bf16-mixed" if native else "32-true"
    plain, code = config.to_dict(settings), rundir.code_digest()
    mine = of_sweep(run)
    rundir.start(
        run,
        {
            "config": plain,
            "key": rundir.key(plain, prepared.digest, code),
            "arm": arm(mine["levels"]) if mine else "",
            "dataset": {
                "name": settings.data.name,
                "dir": str(prepared.dir),
                "digest": prepared.digest,
                "input_shape": list(prepared.input_shape),
                "classes": list(prepared.classes),
                "counts": {name: len(indices) for name, indices in splits.items()},
            },
            "parameters": planned.params,
            "macs": planned.macs,
            "code_digest": code,
            "git_sha": environment.git_sha(),
            "environment": environment.describe(),
        },
    )
    from pipeline.tracking import project
    from pipeline.training import launch

    with rundir.hold(run), project.live(run, settings.tracking):
        launch.train(run)


def document(run: Path) -> dict[str, Any]:
    """The result document of one run."""
    from pipeline.tracking import project

    status = rundir.get_status(run)
    found = {"run": str(run), "mlflow_run_id": project.run_id(run), "status": status["status"]}
    return found | {k: status[k] for k in ("metrics", "parameters", "seconds", "error") if k in status}


def table(outcome: dict[str, Any]) -> None:
    """The result of one run for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if outcome["status"] != "finished":
        Console(stderr=True).print(f"{outcome['status']}: {outcome.get('error', '')}", style="red", markup=False)
        Console(stderr=True).print(f"See {outcome['run']}/error.txt", markup=False, soft_wrap=True)
        return
    rows = Table(show_header=False, box=None)
    for name, value in outcome["metrics"].items():
        rows.add_row(name, f"{value:.4f}")
    rows.add_row("parameters", f"{outcome['parameters']['total']:,}")
    rows.add_row("seconds", f"{outcome['seconds']:.1f}")
    rows.add_row("run", outcome["run"])
    console.print(rows)


def sweep(asked: cli.Sweep) -> int:
    """All jobs of a multirun, checked before the first one starts; then the verdict."""
    from pipeline.evidence import design
    from pipeline.evidence import sweep as evidence
    from pipeline.tracking import project
    from pipeline.training import progress

    factors, jobs = design.expand(asked)
    for job_ in jobs:
        check_machine(job_.settings)
    first = jobs[0].settings
    names = [f"{job_.arm},seed={job_.seed}".lstrip(",") for job_ in jobs]
    folders = [f"{number:03d}_{_folder(name)}" for number, name in enumerate(names)]
    if first.dir and (Path(first.dir) / "sweep.json").exists():
        raise InputError(f"dir={first.dir}: holds a sweep already. Choose another, or leave dir out for a new one.")
    parent = Path(first.runs_dir) / first.experiment.name
    with rundir.claimed(Path(first.dir) if first.dir else None, parent) as path:
        make_ready([job_.settings for job_ in jobs])
    asks = {
        "experiment": config.to_dict(first)["experiment"],
        "factors": factors,
        "jobs": [
            {"levels": job_.levels, "seed": job_.seed, "overrides": job_.overrides, "dir": folder}
            for job_, folder in zip(jobs, folders, strict=True)
        ],
        "warnings": design.warnings(factors, jobs),
    }
    _held = rundir.hold(path)  # until this function returns
    facts = {"started": time.time(), "command": sys.argv[1:], "git_sha": environment.git_sha()}
    facts |= {"uid": rundir.uid(path / "sweep.json"), "tracking": config.to_dict(first)["tracking"]}
    rundir.write_json(path / "sweep.json", asks | facts)
    rundir.set_status(path, "running", pid=os.getpid(), started=time.time())
    project.begin_sweep(path, first.tracking, Path(first.runs_dir))
    arms, seeds = len(design.arms(jobs)), len({job_.seed for job_ in jobs})
    print(f"{first.experiment.name}: {len(jobs)} runs: {arms} arms x {seeds} seeds, in {path}", file=sys.stderr)
    for warning in asks["warnings"]:
        print(f"mind: {warning}", file=sys.stderr)
    dirs = [path / folder for folder in folders]
    places = [[f"dir={_quoted(d)}", f"hydra.sweep.dir={_quoted(path)}"] for d in dirs]
    try:
        with progress.shown(list(zip(names, dirs, strict=True))):
            asked.launch([job_.overrides + place for job_, place in zip(jobs, places, strict=True)])
    except BaseException:
        rundir.set_status(path, "interrupted", ended=time.time())
        project.end_sweep(path, first.tracking, "interrupted")
        raise
    outcomes = [document(d) for d in dirs]
    failed = [o for o in outcomes if o["status"] != "finished"]
    verdict = evidence.conclude(path)
    project.attach(path, evidence.artifacts(path), evidence.headline(verdict))
    rundir.set_status(path, "failed" if failed else "finished", ended=time.time())
    project.end_sweep(path, first.tracking, "ended")
    result = {"sweep": str(path), "mlflow_run_id": project.run_id(path), "runs": outcomes, "verdict": verdict}
    cli.emit(first.output, result, lambda: cli.verdict_table(path, verdict))
    for outcome in failed:
        print(f"{outcome['status']}: {outcome['run']}: {outcome.get('error', '')}", file=sys.stderr)
    return cli.FAILED if failed else cli.DONE


def _quoted(path: Path) -> str:
    """As a value on Hydra's command line, where ',' and '=' would have a meaning."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _folder(name: str) -> str:
    """A name fit for a folder on any system, and to be typed after `run=` without quotes."""
    name = name.replace("=", "-").replace(",", "_")
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:120]


def main() -> None:
    """The command."""
    cli.main("config", job, sweep)


if __name__ == "__main__":
    main()
