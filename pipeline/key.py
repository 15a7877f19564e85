"""What identifies a run: the hash of all that decides its numbers, part by part, so that one can say what differs.

- config: every option that decides, with the threads that it leads to. An option says by its own field that it does
  not (`aside`); one that says nothing decides.
- data: the digest of the prepared images, labels and splits, wherever the files lay.
- source: the weights that the run begins with, or what they are to be trained on.
- code: the syntax trees of the modules that compute numbers. Comments, docstrings, reports and pages are free.
"""

import ast
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from pipeline.records import RunRecord
from pipeline.rundir import digest

ACCEPT = "accept=code takes what was trained before as it is"

PACKAGE = Path(__file__).parent

# The packages and modules that compute numbers, without what only shows or moves them: a module that is new in one of
# the packages decides, until it is named below.
DECIDING = (
    "architecture",
    "augmentation",
    "data",
    "evaluation",
    "insight",
    "perturbations.py",
    "run/finish.py",
    "run/resolve.py",
    "run/source.py",
    "training",
    "transfer",
)
ASIDE = frozenset(
    {
        "architecture/guidelines.py",
        "augmentation/preview.py",
        "data/card.py",
        "data/fetch.py",
        "data/findings.py",
        "data/leaks.py",
        "data/overlap.py",
        "data/progress.py",
        "data/sheet.py",
        "evaluation/beside.py",
        "evaluation/beside_page.py",
        "evaluation/diagnose.py",
        "evaluation/diagnosis_page.py",
        "evaluation/diagnosis_plots.py",
        "evaluation/insight_page.py",
        "evaluation/plots.py",
        "insight/figures.py",
        "insight/filters.py",
        "training/allocator.py",
        "training/calibrate.py",
        "training/record.py",
    }
)


def aside(default: Any) -> Any:
    """A dataclass field whose value cannot change a run's numbers: it is left out of the key. A list's is copied."""
    free = {"decides": False}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=free)
    return field(default=default, metadata=free)


def deciding_by(default: Any, what: Callable[[Any], Any]) -> Any:
    """A dataclass field of whose value only `what` it says decides."""
    return field(default=default, metadata={"decides_by": what})


def newer(default: Any) -> Any:
    """A dataclass field that there was not before: with its default it is left out, and keys are as they were.

    `default` is a value, or the dataclass of a section.
    """
    if isinstance(default, type):
        return field(default_factory=default, metadata={"newer": True})
    return field(default=default, metadata={"newer": True})


@dataclass(frozen=True)
class Key:
    """The parts, each a SHA-256; two runs whose keys are equal have the same numbers."""

    config: str
    data: str
    source: str
    code: str

    @functools.cached_property
    def digest(self) -> str:
        """The key in one word."""
        return digest(dataclasses.asdict(self))

    def under(self, code: str) -> str:
        """What the digest would be had the code the digest `code`."""
        return dataclasses.replace(self, code=code).digest


def same(record: RunRecord, wanted: Key, accept: str | None) -> bool:
    """Whether the run of this run.json is the wanted one; with accept=code, whatever code trained it."""
    if accept is None:
        return record.key == wanted.digest
    return not set(changed(record, wanted)) - {"code"}


def changed(record: RunRecord, wanted: Key) -> list[str]:
    """The parts of the key that differ between the run of this run.json and the wanted one."""
    return [name for name, value in dataclasses.asdict(wanted).items() if record.key_parts.get(name) != value]


def of(config: Any, data: str, code: str, source: Any) -> Key:
    """The key of the run that the dataclass `config` asks for. `source` says, as plain data, what it begins with."""
    return Key(digest(deciding(config)), data, digest(source), code)


def deciding(config: Any) -> Any:
    """`config` as plain data, without the options that decide nothing."""
    if is_dataclass(config) and not isinstance(config, type):
        kept = [one for one in fields(config) if one.metadata.get("decides", True) and not _as_before(one, config)]
        found = {one.name: deciding(getattr(config, one.name)) for one in kept}
        by = {one.name: one.metadata["decides_by"] for one in kept if "decides_by" in one.metadata}
        return found | {name: what(found[name]) for name, what in by.items()}
    if isinstance(config, Mapping):
        return {str(name): deciding(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return [deciding(value) for value in config]
    return config


def _as_before(one: Field[Any], config: Any) -> bool:
    if not one.metadata.get("newer"):
        return False
    made = one.default_factory
    before = one.default if made is MISSING else made()
    return digest(deciding(getattr(config, one.name))) == digest(deciding(before))  # 0 is not False here


@functools.cache
def code(package: Path = PACKAGE) -> dict[str, str]:
    """Module (`training/fit.py`) -> digest of its syntax tree, for each module that decides."""
    found = {}
    for name in DECIDING:
        place = package / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            module = path.relative_to(package).as_posix()
            if module not in ASIDE:
                found[module] = _tree_digest(path)
    return found


@functools.cache
def code_digest() -> str:
    """The code's part of a key."""
    return digest(code())


def _tree_digest(path: Path) -> str:
    words: list[str] = []
    _written(_without_docstrings(ast.parse(path.read_bytes())), words)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _written(node: Any, out: list[str]) -> None:
    """Append a syntax tree, the same for every Python: empty fields, which newer ones add, are left out."""
    if isinstance(node, ast.AST):
        out.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                out.append(name)
                _written(value, out)
        out.append(")")
    elif isinstance(node, list):
        for one in node:
            _written(one, out)
        out.append("]")
    else:
        out.append(repr(node))


def other_modules(record: RunRecord) -> str:
    """The modules that are others than when the run of this run.json was begun, three of them at most by name."""
    then, now = record.code, code()
    return listed([name for name in sorted({*then, *now}) if then.get(name) != now.get(name)])


def listed(names: list[str]) -> str:
    """The first three, and how many more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
