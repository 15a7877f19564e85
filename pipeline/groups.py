"""The files of conf/, and of a folder of the user's beside it: which groups there are, and what may be chosen of each.

Names and headers are read here, and never a configuration composed: whoever asks wants an answer at once.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_INSTALLED = Path(__file__).resolve().parent / "conf"  # where a wheel carries it
CONF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[1] / "conf"

# What a command reads of the configuration that prepare, plan and train share. Each takes all of it, so that one line
# of overrides serves all three.
READ = {
    "prepare": ("data", "augmentation", "seed", "output", "preview"),
    "plan": ("data", "architecture", "augmentation", "transfer", "optimizer", "loss", "trainer", "experiment",
             "seed", "seeds", "runs_dir", "output"),
    "train": ("data", "architecture", "augmentation", "transfer", "optimizer", "loss", "trainer", "tracking",
              "experiment", "seed", "seeds", "runs_dir", "dir", "resume", "retry", "accept", "output"),
}  # fmt: skip

LONGEST = 100_000  # bytes; what is longer is no configuration
SCHEMA = re.compile(r"/schema_(\w+)@_here_")


def defaults() -> dict[str, str | None]:
    """What conf/config.yaml takes of each group that a command line may choose from, by the name that is typed.

    As in {"data": "digits", "data@transfer.pretrain": None, "hydra/launcher": "workers"}. Hydra's other groups are
    not the user's.
    """
    found: dict[str, str | None] = {}
    for entry in read(CONF / "config.yaml").get("defaults", ()):
        for group, name in entry.items() if isinstance(entry, dict) else ():
            group = group.removeprefix("override ")
            if not group.startswith("hydra/") or group == "hydra/launcher":
                found[group] = name
    return found


def of_command(command: str) -> dict[str, str | None]:
    """Group -> what is taken of it where nothing is said, of the groups that a command has a use for."""
    if command not in READ:
        return {}
    sections = {*READ[command], "experiment", *(["hydra/launcher"] if "dir" in READ[command] else [])}
    return {name: taken for name, taken in defaults().items() if _section(name) in sections}


def _section(group: str) -> str:
    """The first part of where a group's files go."""
    return group.partition("@")[2].partition(".")[0] or group


def choices(group: str, folders: Iterable[Path] = ()) -> dict[str, Path]:
    """Name -> file of all that `group` has, in conf/ and in `folders`. `data@transfer.pretrain` is one of data."""
    found = {"basic": Path()} if group == "hydra/launcher" else {}  # Hydra's own, which has no file of ours
    for folder in (CONF, *folders):
        for path in sorted((folder / group.partition("@")[0]).glob("*.yaml")):
            if re.fullmatch(r"[\w.+-]+", path.stem) and path.is_file():
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def headline(path: Path) -> str:
    """What the file says about itself: the first sentence of its header, without what stands in brackets."""
    header = []
    for line in _text(path).splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            header.append(line.lstrip("# "))
        if line.endswith(":"):  # and what it leads up to
            break
    plain = re.sub(r"\s*\([^()]*\)", "", " ".join(header)).removeprefix("Claim: ")
    return re.split(r"[.](?= |$)", plain, maxsplit=1)[0].rstrip(": ")


def read(path: Path) -> dict[str, Any]:
    """The file as plain data, without what its defaults bring; nothing of one that is none of ours or damaged."""
    import yaml

    try:
        found = yaml.load(_text(path), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def schema(name: str, folders: Iterable[Path] = ()) -> str | None:
    """The kind of network that architecture=`name` begins with (cnn, mlp, ...), by whatever way of presets."""
    folders, seen = list(folders), set()
    while name not in seen and (path := choices("architecture", folders).get(name)):
        seen.add(name)
        listed = [entry for entry in read(path).get("defaults", ()) if isinstance(entry, str) and entry != "_self_"]
        for entry in listed:
            if found := SCHEMA.fullmatch(entry):
                return found[1]
        name = listed[0] if listed else name
    return None


def _text(path: Path) -> str:
    """Its beginning; nothing where it cannot be read, or would be waited for."""
    try:
        if not path.is_file():
            return ""
        with open(path, errors="replace") as file:
            return file.read(LONGEST)
    except OSError:
        return ""
