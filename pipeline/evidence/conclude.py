"""From a sweep directory to its verdict: verdict.json, report.html, tables and the plots, all inside it."""

import contextlib
import itertools
import math
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import config, folders, records, rundir, transfer
from pipeline.artifacts import VERDICT
from pipeline.config.metrics import METRICS, MOST_TRAIN, contradiction
from pipeline.data.formats import FORMATS
from pipeline.data.kinds import KINDS
from pipeline.diagnosis import predicted
from pipeline.errors import InputError
from pipeline.evidence import gates, tables
from pipeline.evidence.analyses import ANALYSES
from pipeline.evidence.document import FactorVerdict, Origin, Verdict
from pipeline.evidence.page import write_page
from pipeline.evidence.paired import ALPHA
from pipeline.evidence.plots import figures
from pipeline.evidence.rule import SPEND
from pipeline.evidence.run import Run, arm_key
from pipeline.evidence.sentence import FIRST, ranges, text
from pipeline.evidence.style import style
from pipeline.evidence.verdict import NO_DIFFERENCE, TOO_FEW, verdict
from pipeline.names import shortened
from pipeline.records import JobRecord, RunRecord, SweepRecord

LONGEST = 120  # characters of a level in the name of its number
TABLES = {"verdict.md": "markdown", "verdict.tex": "latex", "verdict.csv": "csv"}


def collect(sweep: Path) -> list[Run]:
    """The runs of a sweep, in its order, with what each left in its directory."""
    record = rundir.read_sweep(sweep)
    question = _question(sweep, record)
    runs = [_run(sweep / job.dir, job, question) for job in record.jobs]
    # What was interrupted took longer for what befell it, not for what its arm is.
    whole = {arm_key(run.levels, record.factors) for run in runs if not run.resumed}
    for run in runs:
        if run.resumed and arm_key(run.levels, record.factors) in whole:
            run.seconds = math.nan
    return runs


def _question(sweep: Path, record: SweepRecord) -> config.Experiment:
    try:
        return records.parse(config.Experiment, record.experiment)
    except ValueError as error:
        raise rundir.DamagedError(f"{sweep / 'sweep.json'}: is damaged: experiment: {error}") from None


def _run(path: Path, job: JobRecord, question: config.Experiment) -> Run:
    if said := rundir.damage(path, job.key):
        return Run(job.levels, job.seed, status="damaged", dir=job.dir, damage=said)
    status = rundir.get_status(path)
    record = rundir.read_run(path) if (path / "run.json").exists() else None
    source = record.transfer.get("source", {}) if record else {}
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rundir.metric_rows(path):
        for name, value in row.metrics.items():
            if name in ("train/loss", "val/loss", "val/acc"):
                curves.setdefault(name, []).append((row.step, value))
    if status.status == "finished" and (path / "invariance.json").exists():
        curves |= {f"invariance/{kind}": curve for kind, curve in rundir.read_invariance(path).accuracy.items()}
    metrics = status.metrics
    wanted = any(METRICS[name].predicted for name in metrics_of(question)) or question.class_map
    asked = question.asked(record.dataset.classes) if record and status.status == "finished" else None
    if asked and wanted:
        made = predicted.of_run(path, asked)
        given = {} if question.class_map else metrics  # which are of the classes that were trained
        metrics = given | {name: made[name] for name in metrics_of(question) if name in made}
    return Run(
        levels=job.levels,
        seed=job.seed,
        metrics=metrics,
        parameters=record.parameters if record else math.nan,
        macs=record.macs if record else math.nan,
        seconds=float("nan") if status.seconds is None else status.seconds,
        status=status.status,
        dir=job.dir,
        curves=curves,
        examples=record.dataset.counts.train if record else 0,
        base=source.get("metrics", {}),
        seen=source.get("seen", {}).get("test", 0),
        seen_untold=source.get("seen_untold", ""),
        guessing=predicted.guessing(path, asked) if asked else None,
        resumed=status.resumed > 0,
        stopped_early=record is not None and len(curves.get("val/loss", ())) < record.config["trainer"]["max_epochs"],
    )


def conclude(sweep: Path) -> Verdict:
    """Compute the verdict of a sweep and write it into its directory."""
    found, runs = _judge(sweep)
    rundir.write_json(sweep / "verdict.json", found.to_json())
    for name, kind in TABLES.items():
        with folders.replacing(sweep / name) as file:
            file.write(tables.written(kind, {"": found}).encode())
    drawn = figures(found, runs)
    write_page(found, runs, sweep / "report.html", drawn=drawn)
    folder = sweep / "plots"
    if folder.is_symlink():  # of a sweep of somebody else's, say
        raise InputError(f"{folder}: is a link, and plots lie in the sweep's own folder. Take it away.")
    folder.mkdir(exist_ok=True)
    with style():  # ticks are chosen as a figure is drawn: others would not be those that it was laid out with
        for name, figure in drawn.items():
            figure.set_layout_engine("none")  # found for the page, and a third of the time of drawing
            with folders.replacing(folder / f"{name}.png") as file:
                figure.savefig(file, format="png", dpi=120)
    return found


def metrics_of(question: config.Experiment) -> set[str]:
    """All metrics that something is judged by."""
    return {question.metric, *(one.metric for one in question.contrasts if one.metric)}


def design_of(record: SweepRecord) -> str:
    """A digest of what a sweep is to judge, and how: metric, margins, claims, arms, looks or seeds, and the rule."""
    asked = {name: record.experiment.get(name) for name in ("metric", "mode", "smallest_effect", "contrasts")}
    for one in (
        "class_map",
        "positive",
        "specificity",
        "sensitivity",
    ):  # earlier ones keep their digest
        if record.experiment.get(one, default := getattr(config.Experiment(), one)) != default:
            asked[one] = record.experiment[one]
    arms = sorted({arm_key(job.levels, record.factors) for job in record.jobs})
    seeds = record.looks or record.judged or sorted({job.seed for job in record.jobs})
    return rundir.digest([asked, record.factors, arms, seeds, ALPHA, SPEND])[:16]


def judge(sweep: Path) -> Verdict:
    """The verdict of a sweep as it is now, of which nothing is written."""
    return _judge(sweep)[0]


def _judge(sweep: Path) -> tuple[Verdict, list[Run]]:
    """The verdict and the runs that it is about."""
    record = rundir.read_sweep(sweep)
    question, mode = _question(sweep, record), record.experiment["mode"]
    runs = collect(sweep)
    late = sum(run.seed not in record.judged for run in runs) if record.judged else 0
    runs = [run for run in runs if run.seed in record.judged] if record.judged else runs
    finished = [run for run in runs if run.status == "finished"]
    described = [rundir.read_run(sweep / run.dir) for run in finished]
    others = metrics_of(question) - {question.metric}
    splits = {METRICS[metric].split for metric in (question.metric, *others)}
    found = verdict(
        runs,
        record.factors,
        question.metric,
        smallest_effect=question.smallest_effect,
        mode=mode,
        experiment=question.name,
        question=question.question,
        n_test=_examples(described, question.metric),
        levels={key: [job.levels[key] for job in record.jobs] for key in record.factors},
        contrasts=question.contrasts,
        looks=record.looks or None,
        overlap=max((one.dataset.overlap.get(split, 0.0) for one in described for split in splits), default=0.0),
        n_of={metric: _examples(described, metric) for metric in others},
    )
    found.known = sum(bool(one.taken_from) for one in described)
    found.about = _about(described)
    found.origin = _origin(sweep, record, described)
    found.tuned = record.tuned
    found.design = record.design
    if record.design and record.design != design_of(record):
        found.warnings.append(
            f"What was to be judged is not what was planned at first (design {record.design}): arms, or "
            "the question, were changed since."
        )
    if found.known and found.factors:
        found.warnings.append(
            f"Asked afterwards: {found.known} of {len(runs)} runs had finished, and could be read, before this was "
            "asked of them. What is chosen by results that are known, as seeds, levels or claims, is no test of these: "
            "it takes other seeds."
        )
    if late:
        found.warnings.append(
            f"Not judged: {late} runs of seeds that were added after the verdict of the fixed list "
            f"{ranges(record.judged)} had been read. Looking again until a verdict pleases raises the rate of false "
            "alarms: ask anew with other seeds, or with seeds=auto, which allows for its looks."
        )
    found.warnings += contradiction(question.metric, mode)
    found.warnings += gates.nothing_learnt(runs, record.factors)
    found.warnings += gates.still_improving(runs, record.factors)
    found.warnings += gates.at_ceiling(found)
    found.warnings += record.accepted  # runs of other code
    found.warnings += record.doubts
    found.warnings += transfer.seen_sentences([run.seen for run in finished], [run.seen_untold for run in finished])
    for name, analysis in ANALYSES.items():
        found.analyses[name] = analysis.find(found, runs, question)
    return found, runs


def _examples(runs: Sequence[RunRecord], metric: str) -> int | None:
    """How many examples an accuracy is a share of, the least over the runs; None for what is no accuracy."""
    if not METRICS[metric].share:
        return None
    split = METRICS[metric].split
    counts = [getattr(one.dataset.counts, split) for one in runs]
    return min([*counts, *([MOST_TRAIN] if split == "train" and counts else [])], default=None)


def _about(records: Sequence[RunRecord]) -> str:
    """The data of finished runs, how long they were trained and at which rates: a verdict is about no other."""
    if not records:
        return ""
    names = ", ".join(dict.fromkeys(one.dataset.name for one in records))
    counts = sorted({one.dataset.counts.train for one in records})
    nouns = {KINDS[FORMATS[one.config["data"]["source"]].kind].noun for one in records}
    noun = nouns.pop() if len(nouns) == 1 else "example"
    epochs = sorted({one.config["trainer"]["max_epochs"] for one in records})
    early = any(one.config["trainer"]["early_stopping_patience"] for one in records)
    kinds = ", ".join(dict.fromkeys(one.config["optimizer"]["type"] for one in records))
    rates = sorted({float(one.config["optimizer"]["lr"]) for one in records})
    return (
        f"{names} ({_span(counts)} training {noun}s), {'up to ' if early else ''}{_span(epochs)} epochs, "
        f"{kinds} at {_span(rates)}"
    )


def _span(values: Sequence[float]) -> str:
    """As in 8, or 50 to 600."""
    low, high = (f"{value:,}" if isinstance(value, int) else f"{value:g}" for value in (values[0], values[-1]))
    return low if low == high else f"{low} to {high}"


def _origin(sweep: Path, record: SweepRecord, described: Sequence[RunRecord]) -> Origin:
    """What made the runs of a sweep, of which the finished ones are `described`."""
    states = [rundir.get_status(sweep / job.dir) for job in record.jobs]
    judged = ",".join(map(str, record.judged))
    words = [f"seed={judged}" if judged and word.startswith("seed=") else word for word in record.command]
    machines, versions = zip(*(_made_by(one.environment) for one in described), strict=True) if described else ((), ())
    return Origin(
        command=shlex.join(["python", "-m", "pipeline.train", *(w for w in words if not w.startswith("output="))]),
        git_sha=list(dict.fromkeys(one.git_sha for one in described if one.git_sha)),
        began=_utc(min((one.started for one in states if one.started), default=None)),
        machine=list(dict.fromkeys(filter(None, machines))),
        versions=list(dict.fromkeys(itertools.chain(*versions))),
        runs=len(states),
        seconds=math.fsum(one.seconds for one in states if one.seconds is not None),
    )


def _made_by(environment: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The machine and the versions, as far as a run.json has them: nothing else reads them."""
    processor, cores = environment.get("processor"), environment.get("cores")
    machine = ", ".join(filter(None, [str(processor or ""), f"{cores} cores" if cores else ""]))
    packages = environment.get("packages")
    known = {"python": environment.get("python"), **(packages if isinstance(packages, dict) else {})}
    return machine, [f"{name} {version}" for name, version in known.items() if version]


def _utc(seconds: float | None) -> str:
    """A time to the second; nothing for what is none."""
    if seconds is not None:
        with contextlib.suppress(OverflowError, OSError, ValueError):
            return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    return ""


def artifacts(sweep: Path) -> list[Path]:
    """The files that say what a sweep found, and on what data."""
    names = ("sweep.json", *VERDICT)
    found = [sweep / n for n in names if (sweep / n).exists()] + sorted((sweep / "plots").glob("*.png"))
    cards = (card for run in sorted(sweep.glob("*/run.json")) if (card := config.card_of_run(run.parent)))
    return found + list(itertools.islice(cards, 1))


def headline(found: Verdict) -> dict[str, float]:
    """The verdict as flat numbers: per factor and level the mean of the metric, for charts."""
    return {
        f"{factor}.{shortened(str(level.level).replace(' ', ''), LONGEST)}": level.mean
        for factor, entry in found.factors.items()
        for level in entry.levels
        if level.mean is not None
    }


def shown(sweep: Path, found: Verdict) -> dict[str, Any]:
    """What MLflow is to show of a sweep's verdict, as `live.attach` takes it."""
    decided = {factor: words for factor, entry in found.factors.items() if (words := _decided(entry))}
    said = {"sentences": found.sentences, "decided": decided}
    return {"artifacts": artifacts(sweep), "metrics": headline(found)} | said


def _decided(entry: FactorVerdict) -> str:
    """The level that it is to be, those that do as well, or that it is open."""
    by_word: dict[str, list[str]] = {}
    for level in entry.levels:
        by_word.setdefault("first" if level.verdict in FIRST else level.verdict, []).append(text(level.level))
    first, alike = by_word.get("first", []), by_word.get(NO_DIFFERENCE, [])
    if not first:
        return ""
    if TOO_FEW in by_word:
        return f"open ({first[0]} leads)"
    return " ≈ ".join([*first, *alike])
