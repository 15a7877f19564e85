"""What became of every claim: one index over all sweeps below a folder.

python -m pipeline.claims runs_dir=runs/evidence
python -m pipeline.claims runs_dir=runs/evidence out=evidence       # index.html, evidence.md, evidence.png
python -m pipeline.claims runs_dir=runs/evidence output=markdown
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from pipeline import cli, config, terminal
from pipeline.errors import InputError, one_of


@dataclass
class Claims:
    """What `python -m pipeline.claims` takes."""

    runs_dir: str = "runs"  # every sweep below it that has a verdict
    out: str | None = None  # also put index.html, evidence.md and evidence.png into this folder
    output: str = "table"  # for people, one document for programs, or a text

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json", "markdown"))


def job(cfg: DictConfig) -> int:
    """Read the sweeps, name those that cannot be read, show what became of the claims of the others."""
    from pipeline.evidence import claims

    options = config.typed(cfg, Claims)
    root = Path(options.runs_dir)
    if not root.is_dir():
        raise InputError(f"runs_dir={options.runs_dir}: no such folder. Name one that sweeps were run in.")
    index = claims.collect(root)
    for line in index.left_out:
        terminal.say(f"left out: {line}")
    if not index.entries:
        raise InputError(
            f"runs_dir={options.runs_dir}: no sweep with a verdict below it. "
            f"Run `python -m pipeline.train -m experiment=NAME runs_dir={options.runs_dir}`."
        )
    if options.out is not None:
        claims.write(index, Path(options.out))

    def show() -> None:
        if options.output == "markdown":
            print(terminal.literal(claims.markdown(index, Path())), end="")
        else:
            claims.print_claims(index, terminal.console())
            if options.out is not None:
                print(f"\nindex      {terminal.literal(Path(options.out) / 'index.html')}")

    cli.emit(options.output, index.to_json(), show)
    return cli.DONE


def main() -> None:
    """The command."""
    cli.main("claims", job, schema=Claims)


if __name__ == "__main__":
    main()
