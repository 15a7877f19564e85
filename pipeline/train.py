"""Train one configuration, or with -m a whole sweep that ends in a verdict.

python -m pipeline.train architecture.kernel_size=5 seed=1
python -m pipeline.train -m experiment=kernel_size
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import contextlib
import dataclasses
import itertools
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline import cli, config, data, earlier, environment, rundir, terminal, transfer
from pipeline import key as keys
from pipeline.config import Config
from pipeline.errors import InputError, machine_said, of_machine
from pipeline.evidence import design
from pipeline.evidence.design import Job, arm
from pipeline.names import shortened
from pipeline.training import pretrain


def job(cfg: DictConfig) -> int:
    """One run: by itself, as a job of a sweep, whose directory then lies in the sweep's, or the source of such jobs."""
    settings = config.from_hydra(cfg)
    path = Path(settings.dir or "")
    source = pretrain.wanted(settings)
    if source and path.parent.name == "sources" and path == pretrain.place(source):
        _as_job(Path(HydraConfig.get().sweep.dir), lambda: train_source(source, path))
        return cli.DONE
    if settings.dir and of_sweep(path):
        return _job_of_sweep(settings, path, source)
    if (path / "sweep.json").exists() and settings.dir:
        raise InputError(f"dir={path}: holds a sweep, not a run. Choose another, or say -m to go on with the sweep.")
    check(settings)
    cli.mind(design.contradictions(settings))
    from pipeline.training import progress, stopping

    parent = Path(settings.runs_dir) / settings.experiment.name
    with rundir.claimed(path if settings.dir else None, parent) as run:
        prepared = make_ready([settings, *([source] if source else [])])
        run = taken_up(settings, run, prepared[0])
        try:
            if source and settings.transfer.how.loads:
                place = pretrain.place(source)
                with progress.shown([(pretrain.label(source), place)]):
                    train_source(source, place)
            if rundir.get_status(run)["status"] != "finished" or rundir.damage(run):
                with progress.shown([(run.name, run)]):
                    train_one(settings, run)
        except stopping.Stopped:
            terminal.say("stopped; the same command goes on from there")
    rundir.left_behind(run)  # stopped before it could say so
    outcome = document(run)
    if outcome["status"] == "missing":
        outcome |= {"status": "interrupted", "error": "stopped before it began"}
        with contextlib.suppress(OSError):  # nothing was written there
            run.rmdir()
    cli.emit(settings.output, outcome, lambda: table(outcome))
    return EXIT_CODES.get(outcome["status"], cli.INTERRUPTED)  # running: on the other hosts of the run


def _job_of_sweep(settings: Config, path: Path, source: Config | None) -> int:
    """A run of a sweep."""

    def work() -> None:
        if source and settings.transfer.how.loads:  # it is there already, unless the code was changed since
            train_source(source, pretrain.place(source))
        train_one(settings, path)

    try:
        _as_job(path.parent, work)
    except rundir.BusyError as error:  # a launcher's process that outlived its sweep
        terminal.say(error)
    except Exception as error:  # the sweep goes on, and reads the outcome from the run directory
        rundir.fail(path, error)
    return cli.DONE


def _as_job(sweep: Path, work: Callable[[], None]) -> None:
    """Call `work` in the sweep's own process, or in one that a launcher started."""
    from pipeline.training import launchers

    if cli.sweeping():
        work()
    else:
        data.trust_command()
        launchers.in_worker(sweep, work)


EXIT_CODES = {"finished": cli.DONE, "failed": cli.FAILED, "damaged": cli.FAILED, "interrupted": cli.INTERRUPTED}


def taken_up(settings: Config, made: Path, prepared: data.Prepared) -> Path:
    """The directory to train in: `made`, or in its place the newest one that this very run was interrupted in.

    Raises InputError where `made` was named by the user and holds another run, or one that failed.
    """
    key = key_of(settings, prepared)
    if os.path.lexists(made / "run.json") or rundir.get_status(made)["status"] == "finished":
        rundir.left_behind(made)
        with contextlib.suppress(rundir.DamagedError):  # then nothing can be told of the run that was there
            record = rundir.read_run(made)
            if not keys.same(record, key, settings.accept):
                if keys.same(record, key, "code"):
                    other = f"begun by other code ({earlier.modules(record)}). {earlier.ACCEPT}"
                    raise InputError(f"dir={made}: holds this run, {other}.")
                raise InputError(f"dir={made}: holds another run. Choose another, or leave dir out for a new one.")
        if said := rundir.damage(made):
            if not settings.retry:
                raise InputError(f"dir={made}: {said}")
            return made
        status = rundir.get_status(made)["status"]
        if status == "failed" and not settings.retry:
            raise InputError(f"dir={made}: the run there failed. Say retry=true to try it again.")
        terminal.say(f"{made}: {'finished before' if status == 'finished' else 'goes on'}")
        return made
    wanted = ("interrupted", "failed") if settings.retry else ("interrupted",)
    for run in sorted(made.parent.iterdir(), reverse=True) if settings.resume and not settings.dir else ():
        if run == made or not (run / "run.json").exists():
            continue
        rundir.left_behind(run)
        status = rundir.get_status(run)["status"]
        if status in (*wanted, "finished", "damaged") and (said := rundir.damage(run)):
            if status != "finished":
                terminal.say(f"{run} is left out: {said}")
        elif status in (*wanted, "finished"):
            record = rundir.read_run(run)
            if keys.same(record, key, settings.accept):
                if status == "finished":  # a sweep would take it
                    terminal.say(f"{run}: the same run, finished before; a single one is trained anew")
                    return made
                made.rmdir()
                terminal.say(f"{run}: {status} before, goes on")
                return run
            if keys.same(record, key, "code"):
                other = f"by other code ({earlier.modules(record)}); begins anew. {earlier.ACCEPT}"
                terminal.say(f"{run}: {status} before, {other}")
                return made
    return made


def of_sweep(run: Path) -> dict[str, Any] | None:
    """The job of the sweep whose directory this run's lies in; None for a run by itself."""
    jobs = rundir.read_sweep(run.parent)["jobs"] if (run.parent / "sweep.json").exists() else []
    return next((job for job in jobs if job["dir"] == run.name), None)


def check(settings: Config) -> None:
    """Raise InputError if the run cannot be, as far as can be known before data is touched."""
    if known := data.declared(settings.data):
        from pipeline.tracking import sources

        transfer.outline(settings.architecture, settings.transfer, *known, sources.find(settings, weights=False))
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


def make_ready(runs: list[Config]) -> list[data.Prepared]:
    """Prepare the data of all runs, once and before they could race for it, and reach the tracking they share.

    A server is asked first, which leaves nothing here; a database is made last, when all else was found good.
    """
    from pipeline.tracking import connect, project

    tracking, experiment = runs[0].tracking, runs[0].experiment.name
    reached = tracking.remote and connect.check(tracking, experiment)
    names = [str((one.data, one.seed)) for one in runs]
    prepared = {name: data.prepare(one.data, one.seed) for name, one in dict(zip(names, runs, strict=True)).items()}
    if not tracking.remote:
        reached = connect.check(tracking, experiment)
    if reached:
        project.replay(Path(runs[0].runs_dir), tracking)
    return [prepared[name] for name in names]


def train_one(settings: Config, run: Path) -> None:
    """Train in the run directory, from the start or from where it was left, and show it on MLflow."""
    from pipeline.tracking import project
    from pipeline.training import launch

    run.mkdir(parents=True, exist_ok=True)
    with launch.leading(run, settings.trainer) as leads:
        if not leads:  # another of its hosts does
            launch.follow(run)
            return
        mine = of_sweep(run)
        said = rundir.damage(run, mine["key"] if mine else None)
        if said and not settings.retry:
            raise InputError(said)
        if not said and rundir.get_status(run)["status"] == "finished":  # by another process, a moment ago
            return
        if said:
            terminal.say(f"{run}: begins anew. {said}")
            rundir.clear(run)
        if (run / "run.json").exists() and not said:
            rundir.resume(run)
        else:
            check_machine(settings)  # a launcher's may be another than that of the command
            begun = asked(settings, run)
            rundir.start(run, begun)
            if advice := begun["transfer"].get("advice"):
                rundir.append_metrics(run, 0, transfer.numbers(advice))
                print(*transfer.sentences(advice), sep="\n  ", file=sys.stderr)
        with project.live(run, settings.tracking):
            launch.train(run)


def train_source(source: Config, path: Path) -> None:
    """Train a source, unless it is trained already; where another process is at it, wait for that one.

    One that failed is left so: the runs that start from it say why they cannot. `source.retry` tries it again.
    """
    path.mkdir(parents=True, exist_ok=True)
    failed = ("failed",) if not source.retry else ()
    waits = False
    while rundir.get_status(path)["status"] not in ("finished", *failed):
        try:
            train_one(source, path)
            return
        except rundir.BusyError as error:
            if not waits:
                terminal.say(f"{error} Waiting for it.")
            waits = True
            time.sleep(WAIT_S)
        except Exception as error:
            rundir.fail(path, error)
            return


WAIT_S = 1.0


def begins_from(settings: Config, prepared: data.Prepared) -> tuple[transfer.Outline, dict[str, Any]]:
    """The network to train, and what run.json says of the weights that it begins with."""
    from pipeline.tracking import sources

    source = sources.find(settings)
    made = transfer.settle(settings.architecture, settings.transfer, prepared, settings.data, settings.seed, source)
    begins = transfer.record(made, source)
    if own := pretrain.wanted(settings):
        begins["source"]["metrics"] = rundir.get_status(pretrain.place(own)).get("metrics", {})
    return made, begins


def key_of(settings: Config, prepared: data.Prepared) -> keys.Key:
    """What identifies the run that `settings` asks for.

    Of transfer=auto the question counts, not the answer: it follows from the same source, data and code.
    """
    from pipeline.tracking import sources

    if own := pretrain.wanted(settings):  # not trained yet, maybe
        made = design.outline(settings, settle=False)
        # Without its code, which is the run's own.
        begins: dict[str, Any] = {**made.record(), "source": {"key": pretrain.key(own).under("")}}
    else:
        source, classes = sources.find(settings), len(prepared.classes)
        made = transfer.outline(settings.architecture, settings.transfer, prepared.input_shape, classes, source)
        begins = transfer.record(made, source)
    definite = dataclasses.replace(config.settled(settings, made.plan.macs), architecture=made.section)
    return keys.of(definite, prepared.digest, rundir.digest(keys.code()), transfer.deciding(begins))


def asked(settings: Config, run: Path) -> dict[str, Any]:
    """What run.json says of a new run. Prepares its data if need be."""
    prepared = data.prepare(settings.data, settings.seed)
    splits = data.split(prepared, settings.data, settings.seed)
    made, begins = begins_from(settings, prepared)
    key = key_of(settings, prepared)
    # From here on what was left open is settled, for this run and for whoever takes it up on another machine.
    settings = dataclasses.replace(config.settled(settings, made.plan.macs), architecture=made.section)
    if settings.trainer.precision == "auto":
        native = environment.native_bf16(settings.trainer.accelerator)
        settings.trainer.precision = "bf16-mixed" if native else "32-true"
    mine = of_sweep(run)
    return {
        "config": config.to_dict(settings),
        "key": key.digest,
        "key_parts": dataclasses.asdict(key),
        "arm": arm(mine["levels"]) if mine else "",
        "dataset": {
            "name": settings.data.name,
            "dir": str(prepared.dir),
            "digest": prepared.digest,
            "input_shape": list(prepared.input_shape),
            "classes": list(prepared.classes),
            "counts": {name: len(indices) for name, indices in splits.items()},
            "group": data.column_of(prepared, settings.data),
        },
        "transfer": begins,
        "parameters": made.plan.params,
        "macs": made.plan.macs,
        "code_digest": key.code,
        "code": keys.code(),
        "git_sha": environment.git_sha(),
        "environment": environment.describe(),
    }


def document(run: Path, key: str | None = None) -> dict[str, Any]:
    """The result document of one run, which has to be the one of `key` where that is given."""
    from pipeline.tracking import project

    status = rundir.get_status(run)
    if said := rundir.damage(run, key):
        status = {"status": "damaged", "error": said}
    found = {"run": str(run), "mlflow_run_id": project.run_id(run), "status": status["status"]}
    return found | {k: status[k] for k in ("metrics", "parameters", "seconds", "error") if k in status}


def table(outcome: dict[str, Any]) -> None:
    """The result of one run for people."""
    from rich.table import Table

    console = terminal.console()
    if outcome["status"] != "finished":
        said = f"{outcome['status']}: {outcome.get('error', '')}"
        terminal.console(stderr=True).print(said, style="red", soft_wrap=True)
        if Path(outcome["run"], "error.txt").exists():
            terminal.console(stderr=True).print(f"See {outcome['run']}/error.txt", soft_wrap=True)
        return
    rows = Table(show_header=False, box=None)
    for name, value in outcome["metrics"].items():
        rows.add_row(name, f"{value:.4f}")
    rows.add_row("parameters", f"{outcome['parameters']['total']:,}")
    rows.add_row("seconds", f"{outcome['seconds']:.1f}")
    rows.add_row("run", outcome["run"])
    console.print(rows)


def sweep(asked: cli.Sweep) -> int:
    """All jobs of a multirun, checked before the first one starts; then the verdict.

    The same sweep again goes on in the same directory: finished runs are kept, interrupted ones taken up, failed
    ones tried again with retry=true, and what is new in it is run.
    """
    from pipeline.training import launchers

    factors, jobs = design.expand(asked)
    if (hosts := max(job_.settings.trainer.num_nodes for job_ in jobs)) > 1:
        raise InputError(
            f"trainer.num_nodes={hosts}: several hosts train one run at a time; leave -m out, or let a launcher "
            "give each run a host of its own (hydra/launcher=slurm)."
        )
    if not launchers.elsewhere(asked.launcher):
        for job_ in jobs:
            check_machine(job_.settings)
    launchers.ready(asked.launcher)
    design.check_sources(jobs)
    first = jobs[0].settings
    parent = Path(first.runs_dir) / first.experiment.name
    if first.dir and (Path(first.dir) / "run.json").exists():
        raise InputError(
            f"dir={first.dir}: holds a run, not a sweep. Choose another, or leave -m out to go on with it."
        )
    with rundir.claimed(Path(first.dir) if first.dir else None, parent) as made, contextlib.ExitStack() as held:
        sources = [source for source, _ in design.sources_of(jobs)]
        prepared = make_ready([*(job_.settings for job_ in jobs), *sources])
        for job_, one in zip(jobs, prepared, strict=False):
            job_.key = key_of(job_.settings, one)
        path = goes_on(first, factors, jobs, made, held)
        return _sweep(asked, path, factors, jobs)


def goes_on(settings: Config, factors: list[str], jobs: list[Job], made: Path, held: contextlib.ExitStack) -> Path:
    """The directory of the sweep, its lock held: `made`, or in its place that of the newest sweep it continues.

    One that asked for the same factors, and for no run but those of `jobs`. Raises InputError where `made` was
    named by the user and holds another sweep.
    """
    if (made / "sweep.json").exists():
        rundir.read_sweep(made)
        if not continues(made, settings, factors, jobs):
            raise InputError(f"dir={made}: holds another sweep. Choose another, or leave dir out for a new one.")
        held.enter_context(rundir.locked(made))
        return made
    older = sorted(made.parent.glob("*/sweep.json"), reverse=True) if settings.resume and not settings.dir else []
    for path in (file.parent for file in older):
        if not continues(path, settings, factors, jobs):
            continue
        with contextlib.suppress(rundir.BusyError):  # somebody runs it at this moment: then ours is another one
            held.enter_context(rundir.locked(path))
            made.rmdir()
            return path
    held.enter_context(rundir.locked(made))
    return made


def continues(path: Path, settings: Config, factors: list[str], jobs: list[Job]) -> bool:
    """Whether `jobs` are those of the sweep at `path`, each with the same key, and maybe more."""
    try:
        before = rundir.read_sweep(path)
    except InputError as error:
        terminal.say(f"left out: {error}")
        return False
    known = {(json.dumps(job_.levels, default=str), job_.seed): job_ for job_ in jobs}
    if before.get("factors") != factors:
        return False
    for was in before["jobs"]:
        job_ = known.get((json.dumps(was["levels"], default=str), was["seed"]))
        if job_ is None or not job_.is_that(was):
            return False
    return before.get("tracking", {}).get("uri") == settings.tracking.uri


def _sweep(asked: cli.Sweep, path: Path, factors: list[str], jobs: list[Job]) -> int:
    from pipeline.evidence import conclude as evidence
    from pipeline.evidence import print_verdict
    from pipeline.tracking import project
    from pipeline.training import launchers, progress
    from pipeline.training.stopping import Stopped

    first = jobs[0].settings
    names = [f"{job_.arm},seed={job_.seed}".lstrip(",") for job_ in jobs]
    dirs = _directories(path, jobs)
    taken = earlier.serve(path, jobs, dirs)
    keys_there = [earlier.key_there(directory, job_) for directory, job_ in zip(dirs, jobs, strict=True)]
    asks = {
        "experiment": config.to_dict(first)["experiment"],
        "factors": factors,
        "jobs": [
            {
                "levels": job_.levels,
                "seed": job_.seed,
                "overrides": job_.overrides,
                "dir": directory.name,
                "key": key,
                "work": job_.known_key.under(""),
            }
            for job_, directory, key in zip(jobs, dirs, keys_there, strict=True)
        ],
        "warnings": [*design.warnings(factors, jobs), *earlier.other_code(dirs)],
    }
    facts = {"started": time.time(), "command": sys.argv[1:], "git_sha": environment.git_sha()}
    facts |= {"uid": rundir.uid(path / "sweep.json"), "tracking": config.to_dict(first)["tracking"]}
    rundir.write_record(path / "sweep.json", asks | facts)
    rundir.set_status(path, "running", pid=os.getpid(), host=socket.gethostname(), started=time.time())
    project.begin_sweep(path, first.tracking, Path(first.runs_dir))
    states = [_state(directory, key) for directory, key in zip(dirs, keys_there, strict=True)]
    done = ("finished",) if first.retry else ("finished", "failed", "damaged")
    open_ = [n for n, state in enumerate(states) if state not in done]
    arms, seeds = len(design.arms(jobs)), len({job_.seed for job_ in jobs})
    terminal.say(f"{first.experiment.name}: {len(jobs)} runs: {arms} arms x {seeds} seeds, in {path}")
    cli.mind(asks["warnings"])
    cli.mind(earlier.reasons(path, [jobs[n] for n in open_ if states[n] == "new"]))
    for name, directory, state in zip(names, dirs, states, strict=True):
        if state != "new":
            said = BEFORE[state if state in done else f"{state}, open"]
            terminal.say(f"{name}: {said}{f', in {taken[directory]}' if directory in taken else ''}")
    places = [[f"dir={_quoted(d)}", f"hydra.sweep.dir={_quoted(path.absolute())}"] for d in dirs]
    stopped = False
    try:
        _train_sources(asked, path, [jobs[n] for n in open_])
        with progress.shown([(names[n], dirs[n]) for n in open_]):
            if open_:
                launchers.launch(
                    asked.launcher, [jobs[n].overrides + places[n] for n in open_], path, [dirs[n] for n in open_]
                )
    except (Stopped, KeyboardInterrupt):
        stopped = True
    except launchers.LauncherError as error:
        stopped = True
        terminal.say(f"the launcher gave up ({error})")
    except BaseException:
        rundir.end(path, "interrupted", ended=time.time())
        project.end_sweep(path, first.tracking, "interrupted")
        raise
    for directory in dirs:
        rundir.left_behind(directory)  # by a process of the launcher that was killed
    outcomes = [document(directory, key) for directory, key in zip(dirs, keys_there, strict=True)]
    kinds = {outcome["status"] for outcome in outcomes}
    verdict = None
    if not stopped:  # whoever asked may not wait long: no verdict, no plots
        try:
            verdict = evidence.conclude(path)
            project.attach(path, evidence.artifacts(path), evidence.headline(verdict))
        except Exception as error:
            if not (found := of_machine(error)):
                raise
            terminal.say(f"no verdict: {machine_said(found, path)}")
    if verdict is None:
        rundir.end(path, "interrupted", ended=time.time())
        project.end_sweep(path, first.tracking, "interrupted")
        terminal.say("stopped; the same command goes on from there")
        result: dict[str, Any] = {"sweep": str(path), "mlflow_run_id": project.run_id(path), "runs": outcomes}
        cli.emit(first.output, result | {"verdict": None}, lambda: None)
        return cli.INTERRUPTED
    stopped = bool(kinds & {"interrupted", "missing", "running"})
    failed = bool(kinds & {"failed", "damaged"})
    rundir.end(path, "failed" if failed else "interrupted" if stopped else "finished", ended=time.time())
    project.end_sweep(path, first.tracking, "ended")
    result = {"sweep": str(path), "mlflow_run_id": project.run_id(path), "runs": outcomes, "verdict": verdict.to_json()}
    cli.emit(first.output, result, lambda: print_verdict(path, verdict))
    for outcome in outcomes:
        if outcome["status"] != "finished":
            terminal.say(f"{outcome['status']}: {outcome['run']}: {outcome.get('error', '')}")
    return cli.FAILED if failed else cli.INTERRUPTED if stopped else cli.DONE


def _train_sources(asked: cli.Sweep, path: Path, jobs: list[Job]) -> None:
    """By the launcher, as jobs: a job whose directory is its source's place trains that instead of itself."""
    from pipeline.training import launchers, progress

    todo = {pretrain.place(source): (source, job_) for source, job_ in design.sources_of(jobs)}
    todo = {place: pair for place, pair in todo.items() if _state(place) != "finished"}
    if not todo:
        return
    plural = "" if len(todo) == 1 else "s"
    terminal.say(f"first {len(todo)} source{plural} to start from, in {next(iter(todo)).parent}")
    with progress.shown([(pretrain.label(source), place) for place, (source, _) in todo.items()]):
        lines = [
            [*job_.overrides, f"dir={_quoted(place)}", f"hydra.sweep.dir={_quoted(path.absolute())}"]
            for place, (_, job_) in todo.items()
        ]
        launchers.launch(asked.launcher, lines, path, list(todo))


BEFORE = {
    "finished": "finished before",
    "failed": "failed before; retry=true tries it again",
    "failed, open": "failed before, is tried again",
    "interrupted, open": "interrupted before, goes on",
    "damaged": "damaged before and left out; retry=true trains it again",
    "damaged, open": "damaged before, is trained again",
}


def _state(run: Path, key: str | None = None) -> str:
    """new, finished, failed, interrupted or damaged: what became of a run before, of that key where one is given."""
    rundir.left_behind(run)
    if rundir.damage(run, key):
        return "damaged"
    status = rundir.get_status(run)["status"]
    return status if (run / "run.json").exists() and status != "missing" else "new"


def _directories(path: Path, jobs: list[Job]) -> list[Path]:
    """Each job's directory: the one it had before, or the next number and its name."""
    before = rundir.read_sweep(path)["jobs"] if (path / "sweep.json").exists() else []
    known = {json.dumps([j["levels"], j["seed"]], default=str): j for j in before}
    numbers = itertools.count(len(before))
    places = []
    for job_ in jobs:
        was = known.get(json.dumps([job_.levels, job_.seed], default=str))
        kept = was is not None and job_.is_that(was)
        places.append(path / (was["dir"] if was and kept else f"{next(numbers):03d}_{_folder(job_)}"))
    return places


def _quoted(path: Path) -> str:
    """As a value on Hydra's command line, where ',' and '=' would have a meaning, and '${' in quotes as well.

    A backslash is one but before a quote or '${', where it takes another.
    """
    text = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", str(path))
    text = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)
    return f"'{text}'"


def _folder(job: Job) -> str:
    """A job's name, fit for a folder on any system (255 bytes), and to be typed after `run=` without quotes."""
    room = 100 if job.arm.isascii() else 50
    name = f"{shortened(job.arm, room)},seed={job.seed}".lstrip(",").replace("=", "-").replace(",", "_")
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def main() -> None:
    """The command."""
    cli.main("config", job, sweep)


if __name__ == "__main__":
    main()
