"""Train one configuration, or with -m a whole sweep that ends in a verdict.

python -m pipeline.train architecture.kernel_size=5 seed=1
python -m pipeline.train -m experiment=kernel_size
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()

    from pipeline.sweep import server

    server.start_early()


import contextlib
import functools
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pipeline import cli, config, data, rundir, stopping, terminal, transfer
from pipeline.config import Config
from pipeline.config.trainer import TUNED
from pipeline.errors import InputError
from pipeline.evidence import print_verdict
from pipeline.run.devices import check_devices
from pipeline.run.directory import choose_directory
from pipeline.run.resolve import PlannedRun, make_record, plan_run, resolve
from pipeline.run.result import document, print_result
from pipeline.run.source import source_run
from pipeline.run.start import prepare_data, train_run, train_source
from pipeline.serving.registered import register_finished
from pipeline.sweep import fairness, progress, worker
from pipeline.sweep.design import Multirun
from pipeline.sweep.schedule import run_sweep
from pipeline.tracking.view import where

EXIT_CODES = {"finished": cli.DONE, "failed": cli.FAILED, "damaged": cli.FAILED, "interrupted": cli.INTERRUPTED}


def job(cfg: DictConfig) -> int:
    """One run: by itself, as a job of a sweep, whose directory then lies in the sweep's, or the source of such jobs."""
    settings = config.from_hydra(cfg)
    path = Path(settings.dir or "")
    is_job = settings.dir and rundir.job_of(path)
    if is_job and HydraConfig.get().mode != RunMode.MULTIRUN:
        raise InputError(f"dir={path}: is a run of a sweep; the command of the sweep goes on with it.")
    if is_job or worker.source_in(settings):
        worker.do(settings, Path(HydraConfig.get().sweep.dir), cli.sweeping())
        return cli.DONE
    if settings.dir and (path / "sweep.json").exists():
        raise InputError(f"dir={path}: holds a sweep, not a run. Choose another, or say -m to go on with the sweep.")
    run = _train(settings)
    register_finished([run], settings.tracking)
    result = document(run)
    if result["status"] == "missing":
        result |= {"status": "interrupted", "error": "stopped before it began"}
        with contextlib.suppress(OSError):  # nothing was written there
            run.rmdir()
    cli.emit(settings.output, result, lambda: print_result(result))
    return EXIT_CODES.get(result["status"], cli.INTERRUPTED)  # running: on the other hosts of the run


def _train(settings: Config) -> Path:
    """A run by itself, checked as far as it can be before data is touched; the directory that it is in."""
    if settings.optimizer.lr == TUNED:
        raise InputError(
            f"optimizer.lr={TUNED}: rates are tuned for the arms of a sweep; say -m, or a rate (optimizer.lr=0.001)."
        )
    planned: PlannedRun | None = plan_run(settings, advise=False) if data.declared(settings.data) else None
    check_devices(settings.trainer)
    terminal.mind(fairness.contradictions(settings))
    given = Path(settings.dir) if settings.dir else None
    with rundir.claimed(given, Path(settings.runs_dir) / settings.experiment.name) as fresh:
        source = source_run(settings)
        prepared = prepare_data([settings, *([source.settings] if source else [])])
        planned = planned or plan_run(settings, advise=False)
        resolved = resolve(planned, prepared[0])
        terminal.mind(transfer.seen_sentences([resolved.seen.counts.get("test", 0)], [resolved.seen.untold]))
        run = choose_directory(resolved, fresh)
        try:
            if first := planned.first:
                with progress.shown([(first.label, first.dir)]):
                    train_source(first)
            if rundir.get_status(run).status != "finished" or rundir.damage(run, weights=settings.retry):
                with progress.shown([(run.name, run)]):
                    train_run(run, settings, functools.partial(make_record, resolved))
        except stopping.Stopped:
            terminal.say("stopped; the same command goes on from there")
    rundir.left_behind(run)  # stopped before it could say so
    return run


def sweep(multirun: Multirun) -> int:
    """A sweep and its verdict."""
    result = run_sweep(multirun)
    verdict = result.verdict
    if verdict:
        register_finished([Path(one["run"]) for one in result.document["runs"]], result.tracking)
    path = result.dir
    cli.emit(result.output, result.document, lambda: print_verdict(path, verdict, where(path)) if verdict else None)
    for outcome in result.document["runs"] if verdict else ():
        if outcome["status"] != "finished":
            terminal.say(f"{outcome['status']}: {outcome['run']}: {outcome.get('error') or 'it never began'}")
    return EXIT_CODES[result.status]


def main() -> None:
    """The command."""
    cli.main("config", job, sweep)


if __name__ == "__main__":
    main()
