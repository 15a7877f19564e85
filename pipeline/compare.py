"""The verdict of a sweep, from its run directories; or of any table of results, by the same rule.

python -m pipeline.compare sweep=latest
python -m pipeline.compare sweep=runs/kernel_size/... out=reports/kernel_size
python -m pipeline.compare sweep=latest output=latex > table.tex
python -m pipeline.compare table=results.csv metric=accuracy
python -m pipeline.compare table=results.csv metric=accuracy by=dataset looks=[3,5,8,12]
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import shutil
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pipeline import artifacts, cli, config, rundir, terminal
from pipeline.errors import InputError, at_least, one_of
from pipeline.names import short_names

if TYPE_CHECKING:
    from pipeline.evidence.document import FactorVerdict, Verdict


@dataclass
class Compare:
    """What `python -m pipeline.compare` takes."""

    sweep: str = "latest"  # a sweep directory, or latest: the one begun last under runs_dir
    runs_dir: str = "runs"  # where the latest is looked for
    out: str | None = None  # also put verdict, report, plots and metrics into this folder
    output: str = "table"  # for people, one document for programs, or tables for a paper
    table: str | None = None  # instead of a sweep: a CSV file with a column seed, the metric, and factors
    metric: str | None = None  # of the table: the column that is compared
    factors: list[str] | None = None  # of the table: the columns that were varied; null: all others
    mode: str = "max"  # of the table: which end of the metric is better
    smallest_effect: float = 0.01  # of the table: differences below it do not matter to the asker
    by: str | None = None  # of the table: a column for each value of which there is a verdict of its own
    looks: Any = None  # of the table: seeds at each look of a sequential design, [3,5,8,12], or each; null: one look
    n_test: int | None = None  # of the table: the test examples that the metric is a share of
    overlap: float = 0.0  # of the table: test examples per other one, where each seed splits the same examples anew
    contrasts: list[config.Contrast] = field(default_factory=list)  # of the table: as experiment.contrasts

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json", *PAPERS))
        one_of("mode", self.mode, ("max", "min"))
        if self.table is None:
            for one in fields(self):
                default = one.default_factory() if one.default_factory is not MISSING else one.default
                if one.name in ONLY_TABLES and getattr(self, one.name) != default:
                    raise InputError(f"{one.name}={getattr(self, one.name)}: is for table=FILE; a sweep says its own.")
            return
        if self.out is not None:
            raise InputError(f"out={self.out}: is for a sweep. output=json prints the verdict of a table.")
        if self.metric is None:
            raise InputError(f"table={self.table}: say by metric=COLUMN what is compared.")
        looks = self.looks
        if looks not in (None, "each") and not (isinstance(looks, list) and all(type(n) is int for n in looks)):
            raise InputError(f"looks={looks}: must be numbers of seeds, as in [3,5,8,12], or each.")
        at_least("overlap", self.overlap, 0)


PAPERS = ("markdown", "latex", "csv")
ONLY_TABLES = ("metric", "factors", "mode", "smallest_effect", "by", "looks", "n_test", "overlap", "contrasts")


def job(cfg: DictConfig) -> int:
    """Compute the verdict anew, show it, and show it on MLflow where the sweep is tracked."""
    from pipeline.evidence import conclude as evidence
    from pipeline.evidence import print_verdict
    from pipeline.tracking import live
    from pipeline.tracking.state import tracking_of
    from pipeline.tracking.trust import check_trust
    from pipeline.tracking.view import where

    options = config.typed(cfg, Compare)
    if options.table is not None:
        return _of_table(options)
    sweep = rundir.find_sweep(options.sweep, Path(options.runs_dir))
    found = evidence.conclude(sweep)
    try:
        if (tracking := tracking_of(sweep)).uri is not None:
            check_trust(tracking)
            live.attach(sweep, **evidence.shown(sweep, found))
    except InputError as error:
        terminal.say(f"not shown on MLflow: {error}")
    if options.out:
        publish(sweep, found, Path(options.out))
    paper = _paper(options, {"": found})
    cli.emit(options.output, found.to_json(), paper or (lambda: print_verdict(sweep, found, where(sweep))))
    return cli.DONE


def _of_table(options: Compare) -> int:
    """The verdict of a table, or of each part of it."""
    from pipeline.evidence import print_table
    from pipeline.evidence.from_table import judge_table

    found = judge_table(
        Path(options.table or ""),
        options.metric or "",
        factors=options.factors,
        by=options.by,
        looks=options.looks,
        mode=options.mode,
        smallest_effect=options.smallest_effect,
        n_test=options.n_test,
        overlap=options.overlap,
        contrasts=options.contrasts,
    )
    documents = {value: one.to_json() for value, one in found.items()}
    console = terminal.console()

    def show() -> None:
        for one in found.values():
            print_table(one.verdict, console)
            console.print("\n".join(one.lines()), highlight=False)

    document = documents[""] if options.by is None else {"by": options.by, "verdicts": documents}
    verdicts = {value: one.verdict for value, one in found.items()}
    cli.emit(options.output, document, _paper(options, verdicts) or show)
    return cli.DONE


def _paper(options: Compare, found: "Mapping[str, Verdict]") -> Callable[[], None] | None:
    """What prints the tables for a paper, where one of these is asked for."""
    if options.output not in PAPERS:
        return None
    from pipeline.evidence import tables

    return lambda: print(tables.written(options.output, found, options.by), end="")


def publish(sweep: Path, found: "Verdict", out: Path) -> None:
    """Copy what a sweep found to `out`, with its plots and a file of each factor, for `dvc plots` and `dvc metrics`."""
    from pipeline.evidence.style import name_of

    if out.resolve() == sweep.resolve():
        raise InputError(f"out={out}: is the sweep itself. Choose another folder.")
    for folder in (out, out / "plots", out / "metrics"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise InputError(f"out={out}: {folder} is a file; it must be a folder.") from None
    for name in (*artifacts.VERDICT, *(f"plots/{one.name}" for one in (sweep / "plots").glob("*.png"))):
        shutil.copyfile(sweep / name, out / name)
    for name, entry in zip(short_names(list(found.factors)), found.factors.values(), strict=True):
        rundir.write_json(out / "metrics" / f"{name_of(name)}.json", came_to(entry))


def came_to(entry: "FactorVerdict") -> dict[str, Any]:
    """A factor in a row: its best level, what that was found to be, and by how much it is before the next best one."""
    from pipeline.evidence.sentence import FIRST, whole

    ranked = sorted((one for one in entry.levels if one.difference is not None), key=lambda one: one.distance)
    best = next((one for one in ranked if one.verdict in FIRST), None)
    if best is None:
        return {}
    row: dict[str, Any] = {"best": whole(best.level), "verdict": best.verdict, "n": best.n, "mean": best.mean}
    behind = next((one for one in ranked if one is not best), None)
    if behind is None or behind.difference is None:
        return row
    row |= {"next": whole(behind.level), "difference": 0 - behind.difference}  # as of a best level: that is 0, not -0
    if behind.low is not None:
        row["low"], row["high"] = (-end for end in reversed(behind.interval))
    return row


def main() -> None:
    """The command."""
    cli.main("compare", job, schema=Compare)


if __name__ == "__main__":
    main()
