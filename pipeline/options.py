"""The keys of each command: what a key means, what it may be, and the words among that. Help and completion read it.

Nothing is said here that is said elsewhere. The meaning is the comment beside the field of the dataclass. What a key
may be is known to the check that refuses what it may not be, so that check is asked: with a value that no key takes.
"""

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pipeline import architecture, groups
from pipeline.config import Config, flat
from pipeline.errors import InputError

LEAST = -(10**18)
NOTHING: tuple[Any, ...] = (LEAST, [LEAST], "?")  # what no key takes: no number, no list of these, no word
PYTHONS = {"None": "null", "True": "true", "False": "false"}


@dataclass(frozen=True)
class Option:
    """One key, as it is typed. A key with [] is one of each entry of a list."""

    key: str
    kind: type  # whose field it is
    values: Mapping[str, Any]  # of the other fields, where they are not as the dataclass has them
    folders: Sequence[Path]

    @property
    def meaning(self) -> str:
        """What its source says of it."""
        return meanings(self.kind)[self._field]

    @property
    def must(self) -> str:
        """What its check says of it: must be at least 1; empty where all is taken."""
        return self._rule[0]

    @property
    def words(self) -> tuple[str, ...]:
        """What it may be, as far as that can be named."""
        return self._rule[1]

    @property
    def is_text(self) -> bool:
        """Whether it takes any text, such as a path."""
        return self._hint in (str, str | None) and not self.must

    @property
    def is_list(self) -> bool:
        """Whether it takes several: [a,b]."""
        return getattr(self._hint, "__origin__", None) is list

    @property
    def _field(self) -> str:
        return self.key.rpartition(".")[2]

    @property
    def _hint(self) -> Any:
        return hints(self.kind)[self._field]

    @functools.cached_property
    def _rule(self) -> tuple[str, tuple[str, ...]]:
        if self._hint is bool:
            return "must be true or false", ("true", "false")
        for base in self._bases():
            if said := list(filter(None, (self._refusal({**base, self._field: nothing}) for nothing in NOTHING))):
                words = next((error.words for _, error in said if error.words), ())
                return said[0][0], (*words, "null") if words and _optional(self._hint) else words
        return "", ()

    def _refusal(self, values: Mapping[str, Any]) -> tuple[str, InputError] | None:
        """The sentence with which this key's check refuses its value: must be at least 1."""
        try:
            self.kind(**values)
        except InputError as error:
            field, _, said = str(error).partition("=")
            _, _, must = said.partition(": ")
            mine = field.removesuffix("[0]").rpartition(".")[2] == self._field
            return (re.split(r"[.](?: |$)", must, maxsplit=1)[0], error) if mine and must.startswith("must ") else None
        except Exception:  # a check that is not made for such a value
            pass
        return None

    def _bases(self) -> Iterator[dict[str, Any]]:
        """What the other fields may be: some keys are checked beside certain others alone, which the files of the
        section's group have.
        """
        section, names = self.key.rpartition(".")[0], hints(self.kind)
        yield {name: value for name, value in self.values.items() if name in names}
        for path in groups.choices(section, self.folders).values() if section else ():
            yield {name: value for name, value in groups.read(path).items() if name in names}


def kind_of(command: str) -> type:
    """The dataclass of what a command takes: its own, which is called as the command is, or what three share."""
    if command in groups.READ:
        return Config
    return getattr(importlib.import_module(f"pipeline.{command}"), command.capitalize())


def of_command(command: str, values: Mapping[str, Any] | None = None, folders: Sequence[Path] = ()) -> list[Option]:
    """The keys that a command reads, in their order. `values` are those of a configuration, as plain data.

    architecture.type says whose keys these are, and a section that has none (transfer.pretrain: null) has no keys.
    `folders` are those of the user's beside conf/.
    """
    return list(_options(kind_of(command), groups.READ.get(command), values or {}, "", folders))


def _options(
    kind: type, only: Iterable[str] | None, values: Mapping[str, Any], prefix: str, folders: Sequence[Path]
) -> Iterator[Option]:
    for name in only or hints(kind):
        one = Option(f"{prefix}{name}", kind, values, folders)
        hint, value = hints(kind)[name], values.get(name)
        inner: Any = next((part for part in (hint, *get_args(hint)) if is_dataclass(part)), None)
        if one.key == "architecture":
            inner = architecture.SCHEMAS[(value or {}).get("type", "cnn")]
        if inner is None or one.is_list or _optional(hint):
            yield one
        if inner is not None and one.is_list:
            yield from _options(inner, None, {}, f"{one.key}[].", folders)
        elif inner is not None and (value or not _optional(hint)):
            yield from _options(inner, None, value or {}, f"{one.key}.", folders)


def of_launcher(name: str, folders: Sequence[Path] = ()) -> list[str]:
    """The keys of hydra/launcher=`name`, which has no dataclass of ours, as its file has them."""
    path = groups.choices("hydra/launcher", folders).get(name)
    found = flat({"hydra": {"launcher": groups.read(path) if path else {}}})
    return [key for key in found if not key.endswith("_target_")]


hints = functools.cache(get_type_hints)


@functools.cache
def meanings(kind: type) -> dict[str, str]:
    """What the source of a dataclass says of each field: the comment beside it or above it, or the text below it."""
    lines, classes = _source(inspect.getsourcefile(kind) or "")  # lines as bytes, which a syntax tree counts
    body = classes[kind.__name__].body
    found = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        assert node.end_lineno
        said, above = [lines[node.end_lineno - 1][node.end_col_offset :].decode()], node.lineno - 2
        while not said[-1] and lines[above].lstrip().startswith(b"#"):
            said, above = [lines[above].decode(), *said], above - 1
        if not any(said) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said = str(after.value.value).rstrip(".").splitlines()
        text = " ".join(line.strip().lstrip("# ") for line in said).strip()
        text = re.sub(r"\b(None|True|False)\b", lambda one: PYTHONS[one[1]], text)
        found[ast.unparse(node.target)] = text[:1].lower() + text[1:] if text[1:2].islower() else text
    return found


@functools.cache
def _source(file: str) -> tuple[list[bytes], dict[str, ast.ClassDef]]:
    source = Path(file).read_bytes()
    return source.splitlines(), {one.name: one for one in ast.parse(source).body if isinstance(one, ast.ClassDef)}


def _optional(hint: Any) -> bool:
    return type(None) in get_args(hint)
