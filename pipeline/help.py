"""`COMMAND --help`: what it does, the groups that it chooses from, and each key that it reads."""

import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline import groups, options
from pipeline.errors import InputError, nearest
from pipeline.options import Option

KEY = 34  # columns; a longer one has a line of its own
LONGEST = 40  # characters of a value


def page(module: ModuleType, values: Mapping[str, Any], told: Sequence[str], folders: Sequence[Path]) -> str:
    """The help of the command in `module`, under a composed configuration as plain data.

    `told` are the keys and sections that are asked for, none for all. Raises InputError where one is none.
    """
    command = Path(module.__file__ or "").stem
    found = options.of_command(command, values, folders)
    known = {part for one in found for part in _and_above(one.key)}
    for word in told:
        if word not in known:
            raise InputError(f"--help {word}: no such key.{nearest(word, known)} --help alone shows all.")
    if told:
        asked = [one for one in found if not {*_and_above(one.key)}.isdisjoint(told)]
        return "\n".join(_keys(asked, values)).strip("\n")
    ours = "convtrial " if Path(sys.argv[0].partition(" ")[0]).stem == "convtrial" else "python -m pipeline."
    about: list[str] = []
    for line in (module.__doc__ or "").strip().splitlines():
        is_example = line.startswith("python -m pipeline.")
        about += [line.replace("python -m pipeline.", f"  {ours}")] if is_example else _wrapped(line, "") or [""]
    return "\n".join(
        [
            f"{ours}{command} [key=value ...]{' [group=name ...]' if command in groups.READ else ''}"
            f"{' [-m key=a,b,c ...]' if 'seeds' in groups.READ.get(command, ()) else ''}",
            "",
            *about,
            *_groups(command, folders),
            "",
            "Keys, with the values that they have now:",
            *_keys(found, values),
            "",
            *_wrapped(_end(command), ""),
        ]
    )


def _and_above(key: str) -> list[str]:
    """The key, and the sections that it lies in."""
    plain = key.replace("[]", "")
    return [plain[: one.start()] for one in re.finditer(r"[.]|$", plain)]


def _groups(command: str, folders: Sequence[Path]) -> list[str]:
    lines = []
    for name, taken in groups.of_command(command).items():
        lines += _row(f"{name}={_plain(taken)}", ", ".join(groups.choices(name, folders)))
    return ["", "Groups, whose names are files of conf/GROUP, with what is taken unasked:", *lines] if lines else []


def _keys(found: Sequence[Option], values: Mapping[str, Any]) -> list[str]:
    lines, before = [], ""
    for one in found:
        section = one.key.partition(".")[0] if "." in one.key else ""
        if section != before:
            lines.append("")
        before = section
        must = "" if one.must == "must be true or false" else re.sub(r"^must (be|lie) ", "", one.must)
        lines += _row(one.key + _value(one, found, values), "; ".join(filter(None, (one.meaning, must))))
    return lines


def _value(one: Option, found: Sequence[Option], values: Mapping[str, Any]) -> str:
    """`=` and what a key has now; nothing where it is a part of something, or has parts with rows of their own."""
    now: Any = values
    for part in one.key.split("."):
        if not isinstance(now, Mapping) or (now and part not in now):
            return ""
        now = now.get(part)
    if isinstance(now, Mapping) and any(other.key.startswith(f"{one.key}.") for other in found):
        return ""
    text = _plain(now)
    return f"={text}" if len(text) <= LONGEST else f"={text[:LONGEST]}..."


def _plain(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, list):
        return f"[{','.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_plain(one)}' for key, one in value.items())}}}"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    text = str(value)
    return text if text and " " not in text else f"'{text}'"


def _row(left: str, right: str) -> list[str]:
    lines = _wrapped(right, " " * (KEY + 2))
    if len(left) <= KEY - 2 and lines:
        return [f"  {left:{KEY - 2}}  {lines[0].lstrip()}", *lines[1:]]
    return [f"  {left}", *lines]


def _wrapped(text: str, indent: str) -> list[str]:
    width = max(70, min(120, shutil.get_terminal_size((100, 24)).columns))
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _end(command: str) -> str:
    others = "All other keys of train are taken too, and change nothing here. "
    return (others if command in groups.READ and command != "train" else "") + (
        "--help KEY, or a section, shows that alone; --cfg job the configuration; --config-dir adds a folder of yours "
        "to conf/; --hydra-help tells more."
    )
