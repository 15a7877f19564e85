"""Whether a prepared form is whole, and still holds what was written there.

Content is compared with the manifest once in a command: hashing takes about a second per GB. The processes that
a command starts (a launcher's, those of a distributed run) take files for what the command found them to be, as long
as size, inode and the times of the last change are those in checked.json; a file's ctime cannot be set back.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pipeline import folders, terminal
from pipeline.data.prepared import FORMAT
from pipeline.folders import sha256


def is_whole(directory: Path) -> bool:
    """Whether every file is there with the size that the manifest, written last, gives it."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        sizes = [((directory / f).stat().st_size, written["bytes"]) for f, written in manifest["files"].items()]
        return manifest["format"] == FORMAT and all(is_ == was for is_, was in sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


States = dict[str, list[int]]  # file: its size, inode and times

_checked: dict[str, States] = {}  # folder: its files' states when this process found them sound
_trusts_command = False


def trust_command() -> None:
    """This process works for a command, which has compared the content of prepared sets just now."""
    global _trusts_command
    _trusts_command = True


def is_sound(directory: Path, say: bool = False) -> bool:
    """Whether a form that is whole holds what its manifest says, bit by bit. Looked at once in a command.

    `say` tells, on standard error, what does not.
    """
    key = os.path.realpath(directory)
    stamp = directory / "checked.json"
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        found = {name: _state(directory / name) for name in ("manifest.json", *manifest["files"])}
        if _checked.get(key) == found:
            return True
        known = _read(stamp)
        if not (_trusts_command and known == found):
            if damaged := _damaged(directory, manifest):
                if say:
                    terminal.say(f"{directory / damaged}: is not what was written there; the set is made anew")
                return False
            if known != found:
                # Where it cannot be written, the next process looks for itself.
                with contextlib.suppress(OSError), folders.replacing(stamp) as file:
                    file.write(json.dumps(found).encode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # replaced by another process meanwhile
        return False
    _checked[key] = found
    return True


def states(directory: Path) -> States:
    """What the disk says of each file of a form: for `unchanged`, later. Empty where it is gone."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        return {name: _state(directory / name) for name in ("manifest.json", *manifest["files"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def unchanged(directory: Path, before: States) -> bool:
    """Whether who opened a form when its files were as `before` says has read what its manifest says, to this moment.

    Not where it was made anew since: that is done to one that was damaged.
    """
    now = states(directory)
    inodes = [{name: state[1] for name, state in each.items()} for each in (before, now)]
    return now == before or (inodes[0] == inodes[1] and is_sound(directory))


def _state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _damaged(directory: Path, manifest: dict[str, Any]) -> str | None:
    """The first file whose content is not what the manifest says; the manifest, where it is not as it was written."""
    if manifest.pop("seal") != seal(manifest):
        return "manifest.json"
    return next((f for f, written in manifest["files"].items() if sha256(directory / f) != written["sha256"]), None)


def seal(manifest: dict[str, Any]) -> str:
    """A hash of the manifest, as it is without one."""
    return hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
