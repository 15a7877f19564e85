"""Bring a data set into the one prepared form that training reads. `train` does it by itself where needed.

python -m pipeline.prepare data=fashion_mnist data.root=FOLDER
python -m pipeline.prepare augmentation=affine preview=sheet.png
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


from pathlib import Path

from omegaconf import DictConfig

from pipeline import cli, config, data, terminal
from pipeline.data.findings import sentences
from pipeline.errors import InputError

PREVIEWED = 8  # training images on the sheet


def job(cfg: DictConfig) -> int:
    """Prepare, split by the seed, and say what there is."""
    settings = config.from_hydra(cfg)
    if settings.preview and settings.data.kind.worded:
        source = settings.data.source
        raise InputError(f"preview={settings.preview}: draws pictures, and data.source={source} gives texts.")
    prepared = data.prepare(settings.data, settings.seed)
    found = data.describe(prepared, settings.data, settings.seed)
    document = found.document()
    if settings.preview:
        from pipeline.augmentation.preview import sheet

        path = Path(settings.preview)
        if not path.absolute().parent.is_dir():
            raise InputError(f"preview={path}: its folder does not exist.")
        train = data.split(prepared, settings.data, settings.seed)["train"]
        some = train[:: max(1, len(train) // PREVIEWED)][:PREVIEWED]
        document["preview"] = str(sheet(prepared.images, some, settings.augmentation, settings.seed, path))
    cli.emit(settings.output, document, lambda: table(found))
    return cli.DONE


def table(found: data.Description) -> None:
    """Counts per class and split."""
    from rich.table import Table
    from rich.text import Text

    console = terminal.console()
    splits = list(found.counts)
    rows = Table("class", *splits)
    for name in found.counts[splits[0]]:
        # As text: a folder may be called [red].
        rows.add_row(Text(name), *(f"{found.counts[split].get(name, 0):,}" for split in splits))
    rows.add_section()
    rows.add_row("all", *(f"{sum(found.counts[split].values()):,}" for split in splits))
    console.print(rows)
    for one in sentences(found.findings):
        console.print(f"mind: {one}.", style="yellow", soft_wrap=True)
    console.print(
        f"dataset  {found.dataset}\ndigest   {found.digest}\ncard     {found.card}",
        soft_wrap=True,
    )


def main() -> None:
    """The command."""
    cli.main("config", job)


if __name__ == "__main__":
    main()
