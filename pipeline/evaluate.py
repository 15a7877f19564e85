"""What a run's checkpoint gives on its own data, in one process and full precision, what it stands, and how it fails.

python -m pipeline.evaluate run=runs/train/...
python -m pipeline.evaluate run=runs/train/... against=runs/train/...    (where the answers of two runs differ, no more)
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from pipeline import cli, config, rundir, terminal
from pipeline.beginning import importing
from pipeline.errors import InputError, one_of
from pipeline.perturbations import PERTURBATIONS


@dataclass
class Evaluate:
    """What `python -m pipeline.evaluate` takes."""

    run: str | None = None  # a run directory
    against: str | None = None  # another one: where their answers differ, and nothing else; writes against.html
    checkpoint: str = "best"  # of its epochs: the best by trainer.monitor, or the last
    invariance: bool = True  # of images, accuracy against rotation, scale and shift; writes invariance.json and .png
    diagnosis: bool = True  # how a run that finished fails, class by class; writes diagnosis.html
    inside: bool = True  # on that page, what its maps and filters show
    output: str = "table"  # for people, or one document for programs

    def __post_init__(self) -> None:
        one_of("checkpoint", self.checkpoint, ("best", "last"))
        one_of("output", self.output, ("table", "json"))
        if self.against is not None and self.checkpoint != "best":
            raise InputError(f"checkpoint={self.checkpoint}: against={self.against} compares what the best one gave.")


def job(cfg: DictConfig) -> int:
    """Load the checkpoint, run it over its splits, plain and perturbed, print the metrics."""
    options = config.typed(cfg, Evaluate)
    if options.run is None:
        raise InputError("run=null: name a run directory, as in run=runs/train/...")
    path = rundir.find_run(options.run)
    if options.against is not None:
        return beside(path, options.against, options.output)
    with importing():
        from pipeline.evaluation.predict import evaluate

    invariant = options.invariance and config.of_run(path).data.kind.pictured
    lacking = options.checkpoint == "best" and lack_of_predictions(path)
    mends = bool(lacking)
    found = evaluate(path, options.checkpoint, save=mends, invariant=invariant)
    if mends:
        rundir.set_status(path, "finished", files=rundir.seals(path))
        terminal.say(f"{path}: predictions.npz {lacking}, and is written again")

    page = None
    if options.diagnosis and options.checkpoint == "best" and rundir.get_status(path).status == "finished":
        from pipeline.evaluation.diagnose import diagnose
        from pipeline.evaluation.diagnosis_page import write_page

        diagnosis = diagnose(path)
        page = write_page(path, diagnosis, options.inside)
        found["diagnosis"] = {**diagnosis.document(), "page": str(page)}

    if page:
        show(path)

    def table() -> None:
        for name, value in found["metrics"].items():
            if not name.startswith(("invariance/", "agreement/")):
                print(f"{name:10} {value:.4f}")
        for kind in PERTURBATIONS if invariant else ():
            curve = found["invariance"][kind]
            same = found["metrics"][f"agreement/{kind}"]
            print(f"\n{kind:10} " + " ".join(f"{amount:6g}" for amount, _ in curve))
            print(f"{'accuracy':10} " + " ".join(f"{value:6.3f}" for _, value in curve))
            mean = found["metrics"][f"invariance/{kind}"]
            print(f"{'mean':10} {mean:6.3f}, and {same:.3f} are called what they are called unperturbed")
        if invariant and options.checkpoint == "best":
            print(f"\ncurves     {terminal.literal(path / 'invariance.png')}")
        if page:
            print(f"diagnosis  {terminal.literal(page)}")

    cli.emit(options.output, found, table)
    return cli.DONE


def beside(run: Path, against: str, output: str) -> int:
    """Write the page of two runs, and print it in short."""
    other = rundir.find_run(against, "against")
    if other.resolve() == run.resolve():
        raise InputError(f"against={against}: is the run itself.")
    from pipeline.evaluation.beside import compare
    from pipeline.evaluation.beside_page import lines, write_page

    found = compare(run, other)
    page = write_page(run, other, found)
    show(run)
    document = {"run": str(run), "against": str(other), **found.document(), "page": str(page)}

    def table() -> None:
        print("\n".join(lines(found)))
        print(f"page        {terminal.literal(page)}")

    cli.emit(output, document, table)
    return cli.DONE


def show(run: Path) -> None:
    """Show the run's page on MLflow, where the run is tracked."""
    from pipeline.tracking import live
    from pipeline.tracking.state import tracking_of
    from pipeline.tracking.trust import check_trust

    try:
        if (tracking := tracking_of(run)).uri is not None:
            check_trust(tracking)
            live.show_again(run, tracking)
    except InputError as error:
        terminal.say(f"not shown on MLflow: {error}")


def lack_of_predictions(run: Path) -> str:
    """What is wrong with the predictions of a run that finished; nothing of others, or where they are whole."""
    bad = "could not be used"
    if rundir.get_status(run).status != "finished":
        return ""
    try:
        found = rundir.read_predictions(run)
    except InputError:
        return bad
    if f"{run / 'predictions.npz'}:" in (rundir.damage(run) or ""):
        return bad
    return "" if "val_logits" in found else "lacks those of validation"  # of an earlier version


def main() -> None:
    """The command."""
    cli.main("evaluate", job, schema=Evaluate)


if __name__ == "__main__":
    main()
