"""The learning rate of each arm, chosen on validation data before the arms are compared: `optimizer.lr=tuned`.

One rate for all picks the winner: at 0.001 ReLU beats sigmoid by 0.024 on the digits, at 0.01 there is no difference.
So each arm gets the same grid and the same seeds, which are none of the comparison's. It is a sweep of its own, beside
the other, with its own directory, page and MLflow run: what it costs can be seen, and it goes on where it was stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from pipeline import config, rundir, stopping, terminal
from pipeline.config import Config
from pipeline.config.trainer import TUNED
from pipeline.errors import InputError
from pipeline.evidence.run import arm_key
from pipeline.names import arm
from pipeline.records import Tuned
from pipeline.sweep.design import Multirun, levels_of

LR = "optimizer.lr"
FIRST_SEED = 2**31  # of a range that nobody lists


def tuned(multirun: Multirun, train: Callable[[Multirun], Any]) -> Multirun:
    """`multirun`, some of whose arms ask for it, with their learning rates as numbers. `train` runs a sweep.

    Raises Stopped where that was stopped, InputError where an arm was trained at none of the rates.
    """
    asking = _asking(multirun)
    if LR in multirun.swept:
        raise InputError(f"{LR}={TUNED}: beside other rates it says nothing new. Leave them out, or tuned.")
    first = next(iter(asking.values()))
    terminal.say(
        f"{first.experiment.name}: first the learning rates of {len(asking)} arms, "
        f"{len(first.optimizer.lr_grid)} each at {first.optimizer.tuning_seeds} seeds"
    )
    result = train(_grid(multirun, asking))
    if result.status == "interrupted":
        raise stopping.Stopped("a signal")
    return _with(multirun, asking, result.dir)


Arm = tuple[str, ...]  # a job's overrides without its seed


def _asking(multirun: Multirun) -> dict[Arm, Config]:
    """The arms whose rate is to be tuned, each with a configuration of one of its jobs."""
    found: dict[Arm, Config] = {}
    for job in multirun.jobs:
        if (one := _arm(job)) not in found:
            found[one] = config.from_hydra(multirun.compose(job))
    return {one: settings for one, settings in found.items() if settings.optimizer.lr == TUNED}


def _arm(job: Sequence[str]) -> Arm:
    return tuple(line for line in job if not line.startswith("seed="))


def _grid(multirun: Multirun, asking: dict[Arm, Config]) -> Multirun:
    """The sweep of arms by rates, at seeds of its own."""
    jobs = []
    for one, settings in asking.items():
        options = settings.optimizer
        for k in range(options.tuning_seeds):
            jobs += [[*_without_lr(one), f"{LR}={rate}", f"seed={FIRST_SEED + k}"] for rate in options.lr_grid]
    first = next(iter(asking.values())).experiment
    more = [f"experiment.name={first.name}-tuning", "experiment.question='Which learning rate suits each arm?'"]
    more += ["experiment.metric=val/acc", "experiment.mode=null", "experiment.contrasts=[]", "experiment.quadrants=[]"]
    more += ["experiment.class_map=null"]  # validation is of the classes that are trained
    more += ["experiment.invariance=false", "experiment.localization=false", "seeds=null", "dir=null"]
    swept = [*(key for key in multirun.swept if key != "seed"), LR, "seed"]
    return replace(multirun, jobs=[[*job, *more] for job in jobs], swept=swept, auto=False)


def _without_lr(one: Sequence[str]) -> list[str]:
    return [line for line in one if not line.startswith(f"{LR}=")]


def _with(multirun: Multirun, asking: dict[Arm, Config], sweep: Path) -> Multirun:
    """The jobs with the best rate of each arm, by what its runs came to on validation data."""
    by_arm: dict[tuple[str, ...], dict[float, list[tuple[float, float]]]] = {}
    for job in rundir.read_sweep(sweep).jobs:
        status = rundir.get_status(sweep / job.dir)
        levels = dict(job.levels)
        rate = float(levels.pop(LR))
        if status.status == "finished":
            score = status.metrics["val/acc"], -status.metrics["val/loss"]
            by_arm.setdefault(arm_key(levels, sorted(levels)), {}).setdefault(rate, []).append(score)
    every = levels_of(replace(multirun, jobs=[list(one) for one in asking]))
    first = next(iter(asking.values()))
    best: dict[Arm, float] = {}
    record: list[Tuned] = []
    for (one, settings), levels in zip(asking.items(), every, strict=True):
        scores = by_arm.get(arm_key(levels, sorted(levels)), {})
        whole = {rate: found for rate, found in scores.items() if len(found) == settings.optimizer.tuning_seeds}
        if not whole:
            raise InputError(
                f"arm {arm(levels)}: {LR}=tuned: no rate of optimizer.lr_grid={settings.optimizer.lr_grid} trained it; "
                f"{sweep} has what became of each."
            )
        means = {rate: tuple(map(mean, zip(*found, strict=True))) for rate, found in whole.items()}
        best[one] = max(means, key=lambda rate: means[rate])
        record.append(Tuned(levels, best[one], {str(rate): means[rate][0] for rate in sorted(means)}))
    said = ", ".join(f"{arm(one.levels) or 'all'} {one.lr:g}" for one in record)
    terminal.say(f"learning rates: {said}")
    ends = min(first.optimizer.lr_grid), max(first.optimizer.lr_grid)
    if at_end := [arm(one.levels) or "all" for one in record if one.lr in ends]:
        terminal.mind(
            [f"the best rate is at an end of optimizer.lr_grid={first.optimizer.lr_grid}: {', '.join(at_end)}"]
        )
    jobs = [
        [*_without_lr(_arm(job)), f"{LR}={best[_arm(job)]}", *(line for line in job if line.startswith("seed="))]
        if _arm(job) in best
        else job
        for job in multirun.jobs
    ]
    return replace(multirun, jobs=jobs, tuned=record, tuned_in=str(sweep))
