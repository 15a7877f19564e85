"""Lay out a project: an experiment, a data file, sample photos, dvc.yaml, and a README that says how to go on.

python -m pipeline.init FOLDER
"""

if __name__ == "__main__":
    from pipeline.beginning import begin

    begin()


import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from pipeline import cli, config, samples, terminal
from pipeline.errors import InputError, of_machine, one_of
from pipeline.folders import missing, remove_empty

_INSTALLED = Path(__file__).with_name("template")  # where a wheel carries it
TEMPLATE = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[1] / "template"
PHOTOS = "photos"  # as the template's data file has it
NEXT = (
    "convtrial prepare --config-dir conf data=my_photos",
    "convtrial plan --config-dir conf -m experiment=my_question",
    "convtrial train --config-dir conf -m experiment=my_question",
)


@dataclass
class Init:
    """What `python -m pipeline.init FOLDER` takes besides the folder."""

    output: str = "table"  # for people, or one document for programs

    def __post_init__(self) -> None:
        one_of("output", self.output, ("table", "json"))


def lay_out(folder: Path) -> list[str]:
    """Write the project's files into `folder`, made where there is none. Returns their paths from it.

    Photos that lie in it already are used as they are. All is written or nothing: InputError names what is in the way.
    """
    try:
        return _write(folder, _checked(folder))
    except OSError as error:
        if of_machine(error):
            raise
        raise InputError(f"{folder}: cannot be made or written ({error.strerror}).") from None


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(path from the folder, content) of each file that is to be laid out."""
    for path in sorted(TEMPLATE.rglob("*")):
        if path.is_file():
            yield path.relative_to(TEMPLATE).as_posix(), path.read_bytes()
    photos = folder / PHOTOS
    if not (photos.is_dir() and any(photos.iterdir())):
        for name, content in samples.photos():
            yield f"{PHOTOS}/{name}", content


def _checked(folder: Path) -> dict[str, bytes]:
    """The files, with nothing in their way."""
    for one in (folder, *folder.parents):
        if one.exists() and not one.is_dir():
            raise InputError(f"{one}: is a file, not a folder.")
    files = dict(_files(folder))
    names = dict.fromkeys(str(one) for name in files for one in (*reversed(Path(name).parents[:-1]), name))
    found = [one for one in names if os.path.lexists(folder / one) and (one in files or not (folder / one).is_dir())]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise InputError(
            f"{folder}: has {', '.join(found[:5])}{more} already, and nothing is written over. "
            "Move it away, or name another folder."
        )
    return files


def _write(folder: Path, files: dict[str, bytes]) -> list[str]:
    """All of the files, or none where one cannot be written or somebody stops it."""
    written: list[Path] = []
    made: list[Path] = []
    try:
        for name, content in files.items():
            path = folder / name
            made = [*missing(path.parent), *made]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                written.append(path)
                file.write(content)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        for one in made:
            remove_empty([one])
        raise
    return list(files)


def _take_folders() -> list[str]:
    """The words that are neither flags nor overrides, taken off the command line, where Hydra would not know them."""
    try:
        words = cli.check_arguments(sys.argv[1:]).overrides
    except InputError:  # which the command meets again, and says
        return []
    folders = [word for word in words if "=" not in word and not word.startswith("~")]
    for word in folders:
        sys.argv.remove(word)
    return folders


def table(folder: Path, files: list[str]) -> None:
    """What was laid out, and what to do next."""
    photos = sum(name.startswith(f"{PHOTOS}/") for name in files)
    others = [name for name in files if not name.startswith(f"{PHOTOS}/")]
    print(terminal.literal(f"Laid out in {folder}: {', '.join(others)}"))
    if photos:
        print(f"and {PHOTOS}/, {photos} samples: put your own in their place, in a folder for each class.")
    else:
        print(f"{PHOTOS}/ was there, and is used as it is.")
    there = [f"cd {shlex.quote(str(folder))}"] if folder.absolute() != Path.cwd() else []
    print("\nNext, from that folder:\n")
    print(terminal.literal("\n".join(f"  {line}" for line in (*there, *NEXT))))
    if shutil.which("convtrial") is None:
        print("\n`convtrial` is `python -m pipeline` installed: pip install . in the checkout.")


def main() -> None:
    """The command."""
    folders = _take_folders()

    def job(cfg: DictConfig) -> int:
        options = config.typed(cfg, Init)
        if len(folders) != 1 or not folders[0]:
            given = f"{' '.join(folders)}: one folder at a time" if folders and folders[0] else "no folder is named"
            raise InputError(f"{given}. Say where the project goes, as in: convtrial init my-project")
        folder = Path(folders[0])
        files = lay_out(folder)
        cli.emit(options.output, {"folder": str(folder), "files": files}, lambda: table(folder, files))
        return cli.DONE

    cli.main("init", job, schema=Init)


if __name__ == "__main__":
    main()
