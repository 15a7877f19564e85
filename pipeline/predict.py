"""What a trained network says of images: their classes and probabilities. The data it was trained on need not be there.

python -m pipeline.predict run=runs/train/... images=photos
python -m pipeline.predict run=models:/NAME@ALIAS images='photos/*.jpg' out=answers.parquet
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pipeline import cli, config, terminal
from pipeline.errors import InputError, one_of

if TYPE_CHECKING:
    from pipeline.serving.answers import Answers

SHOWN = 20  # rows of the table, and lines about files that were skipped where out= has them all


@dataclass
class Predict:
    """What `python -m pipeline.predict` takes."""

    run: str | None = None  # a run directory, an MLflow run id, or models:/NAME@ALIAS
    images: Any = None  # a file, a folder, a glob, a manifest (.csv), or a list of these
    out: str | None = None  # also write all of it to FILE.csv, FILE.json or FILE.parquet
    maps: str | None = None  # also draw what spoke for its class in each image, into this new folder
    lines: bool = False  # of text, each line of a file is a text by itself
    columns: Any = None  # of a manifest, {path: NAME, label: NAME}; null: as the run's own manifest had them
    uri: str | None = None  # the MLflow on which run is looked up; null: the database of tracking=local
    output: str = "table"  # for people, or one document for programs

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json"))
        if self.columns is not None:
            if not isinstance(self.columns, dict):
                raise InputError(f"columns={self.columns}: must be names by what they stand for, {{path: NAME}}.")
            for role in self.columns:
                one_of("columns, a key", role, ("path", "text", "label"))


@dataclass
class Tally:
    """What there is to say of all that was predicted so far."""

    classes: list[str]
    keep: int | None  # how many predictions are kept for showing; None: all
    images: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    labelled: int = 0
    right: int = 0
    strange: Counter[str] = field(default_factory=Counter)  # labels that are no class of the network
    greyed: int = 0

    def add(self, answers: "Answers") -> None:
        """Count a lot."""
        from pipeline.serving import tables

        self.images += len(answers.inputs)
        self.greyed += answers.greyed
        for row in tables.rows(answers, self.classes):
            if row["skipped"]:
                self.skipped.append(tables.skipped(row))
                continue
            self.counts[row["class"]] += 1
            if self.keep is None or len(self.predictions) < self.keep:
                self.predictions.append(tables.prediction(row))
            if row["label"] in self.classes:
                self.labelled += 1
                self.right += row["label"] == row["class"]
            elif row["label"] is not None:
                self.strange[row["label"]] += 1

    def minds(self) -> list[str]:
        """What the user may not have meant."""
        found = []
        if self.strange:
            names = ", ".join(name for name, _ in self.strange.most_common(3))
            found.append(
                f"{self.strange.total()} labels are no class of the network ({names}), and count in no accuracy"
            )
        if self.greyed:
            found.append(
                f"{self.greyed} images have colour and the network was trained on grey ones: it got their luminance"
            )
        return found


def job(cfg: DictConfig) -> int:
    """Open the network, find the images, predict them lot by lot, say what came out."""
    options = config.typed(cfg, Predict)
    from pipeline.serving import inputs, opened, tables

    out = tables.check_place(options.out) if options.out else None
    drawn = None
    if options.maps:
        from pipeline.serving import maps

        drawn = maps.check_folder(options.maps)
    if options.images is None:
        raise InputError("images=null: name files, a folder, a glob, or a manifest ending in .csv.")
    with opened.opened(options.run, options.uri) as network:
        if drawn and not network.settings.data.kind.pictured:
            raise InputError(
                f"maps={options.maps}: are drawn on images, and run={options.run} takes "
                f"{network.settings.data.kind.noun}s."
            )
        if network.settings.data.kind.files is None:
            raise InputError(
                f"images={options.images}: run={options.run} takes {network.settings.data.kind.noun}s, which are no "
                "files; `python -m pipeline.evaluate` says what it gains by them."
            )
        columns = options.columns if options.columns is not None else network.settings.data.columns
        found = inputs.find_inputs(options.images, columns, network.settings.data.kind.worded)
        if options.lines:
            if not network.settings.data.kind.worded:
                noun = network.settings.data.kind.noun
                raise InputError(f"lines=true: is for text, and run={options.run} takes {noun}s.")
            found = list(inputs.lines_of(found))
        if out and any(one.suffix == ".csv" and os.path.exists(out) and one.samefile(out) for one in _named(options)):
            raise InputError(f"out={out}: is the manifest itself. Choose another file.")
        tally = Tally(network.classes, keep=SHOWN if out or options.output == "table" else None)
        document = {"run": str(options.run), "classes": network.classes} | _predict(network, found, out, drawn, tally)
    terminal.mind(tally.minds())
    if options.output == "json":
        document |= {"out": str(out)} if out else {"predictions": tally.predictions}
    cli.emit(options.output, document, lambda: show(tally, document, out))
    return cli.DONE


def _named(options: Predict) -> list[Path]:
    given = options.images if isinstance(options.images, list) else [options.images]
    return [path for one in given if (path := Path(str(one)).expanduser()).is_file()]


def _predict(network: Any, found: list[Any], out: Path | None, drawn: Path | None, tally: Tally) -> dict[str, Any]:
    """Predict all, counted in `tally`, written to `out` and drawn into the folder `drawn`; the summary."""
    from pipeline.data.progress import progress
    from pipeline.serving import tables
    from pipeline.serving.answers import answer

    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        labelled = any(one.label is not None for one in found)
        table = stack.enter_context(tables.table(out, network.classes, labelled)) if out else None
        pictures = None
        if drawn:
            from pipeline.serving import maps

            pictures = stack.enter_context(maps.pictures(drawn, network))
        show = stack.enter_context(progress("images", len(found), "predicting"))
        for answers in answer(network, found):
            tally.add(answers)
            if table:
                table.write(answers)
            if pictures:
                pictures.add(answers)
            show(tally.images)
        if len(tally.skipped) == tally.images:
            first = "; ".join(f"{one['path']}: {one['reason']}" for one in tally.skipped[:3])
            raise InputError(f"images: not one of {tally.images} files can be used ({first}).")
        summary = _summary(tally, time.perf_counter() - began)
        if pictures:
            summary["maps"] = {"folder": str(drawn), "method": pictures.method}
        if table:
            table.close({"run": network.named, "classes": network.classes} | summary)
    most = SHOWN if out else len(tally.skipped)
    for one in tally.skipped[:most]:
        terminal.say(f"skipped: {one['path']}: {one['reason']}")
    if len(tally.skipped) > most:
        terminal.say(f"skipped: {len(tally.skipped) - most} more, named in {out}")
    return summary | {"skipped": tally.skipped}


def _summary(tally: Tally, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {"images": tally.images, "predicted": tally.counts.total(), "seconds": round(seconds, 3)}
    found["counts"] = {name: tally.counts[name] for name in tally.classes}
    if tally.labelled:
        from pipeline.diagnosis.estimate import wilson

        found["accuracy"] = wilson(tally.right, tally.labelled)._asdict() | {"n": tally.labelled}
    return found


def show(tally: Tally, document: dict[str, Any], out: Path | None) -> None:
    """The first predictions, how many there are of each class, the accuracy where labels are known."""
    from rich.table import Table
    from rich.text import Text

    console = terminal.console()
    shown = Table("image", "class", "probability")
    for one in tally.predictions[:SHOWN]:
        shown.add_row(Text(one["path"]), Text(one["class"]), f"{one['probability']:.4f}")
    console.print(shown)
    if (more := document["predicted"] - len(shown.rows)) > 0:
        console.print(f"and {more:,} more{'' if out else '; out=FILE.csv has them all'}", soft_wrap=True)
    counts = ", ".join(f"{name} {n:,}" for name, n in tally.counts.most_common(SHOWN))
    console.print(f"\nclasses    {counts}", soft_wrap=True)
    rate = document["predicted"] / max(document["seconds"], 1e-9)
    console.print(
        f"images     {document['predicted']:,} predicted, {len(tally.skipped):,} skipped, {rate:,.0f} a second",
        soft_wrap=True,
    )
    if accuracy := document.get("accuracy"):
        value, low, high, n = (accuracy[name] for name in ("value", "low", "high", "n"))
        console.print(f"accuracy   {value:.4f} (95 % interval {low:.4f} to {high:.4f}, {n:,} labels)", soft_wrap=True)
    if out:
        console.print(f"written    {out}", soft_wrap=True)
    if drawn := document.get("maps"):
        console.print(f"maps       {drawn['folder']} ({drawn['method']})", soft_wrap=True)


def main() -> None:
    """The command."""
    cli.main("predict", job, schema=Predict)


if __name__ == "__main__":
    main()
