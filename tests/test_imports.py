"""Imports run one way: no file imports one above it, none imports itself by way of others."""

import ast
import functools
from pathlib import Path

from running import REPOSITORY

# From below. What is not named here is a command: each may import all below, and no other command.
LAYERS = (
    (
        "errors",
        "bounded",
        "spinning",
        "beginning",
        "names",
        "stopping",
        "environment",
        "artifacts",
        "directories",
        "perturbations",
        "samples",
    ),
    ("folders", "terminal", "records", "groups"),
    ("rundir",),
    ("key",),
    ("data", "architecture", "augmentation", "diagnosis"),
    ("transfer",),
    ("config",),
    ("options",),
    ("help",),
    ("training", "evidence", "tracking"),
    ("insight",),
    ("evaluation",),
    ("serving",),
    ("run",),
    ("sweep",),
    ("no_code",),
    ("cli",),
    ("completion",),
)
# Arrows that still run back, to be turned round; nothing may be added.
OPEN: set[tuple[str, str]] = set()


@functools.cache
def graph():
    """Module -> the modules that it imports, anywhere in it: lazily and for types alone, too."""
    files = {
        _name(path): path for folder in ("pipeline", "hydra_plugins") for path in (REPOSITORY / folder).rglob("*.py")
    }
    found = {}
    for module, path in files.items():
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    imported.add(inner if inner in files else node.module)
        found[module] = {one for one in imported if one in files and one != module}
    return found


def _name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def layer(module: str) -> int:
    part = module.removeprefix("pipeline.").split(".")[0]
    return next((n for n, parts in enumerate(LAYERS) if part in parts), len(LAYERS))


def package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_layer_is_there():
    parts = {module.split(".")[1] for module in graph() if module.startswith("pipeline.")}
    assert {part for parts_ in LAYERS for part in parts_} <= parts


def test_no_file_imports_one_above_it_or_a_neighbour():
    back = {
        (module, one)
        for module, imported in graph().items()
        for one in imported - {"pipeline"}
        if layer(one) > layer(module) or (layer(one) == layer(module) > 0 and package(one) != package(module))
    }
    assert back == OPEN


def test_no_file_imports_itself_by_way_of_others():
    """Of a package's own files: its __init__ hands on what they hold, and none of them takes it from there."""
    arrows = {module: set(imported) for module, imported in graph().items()}
    seen: set[str] = set()

    def visit(module, way):
        if module in way:
            circle = way[way.index(module) :]
            raise AssertionError(" -> ".join([*circle, module]))
        if module not in seen:
            for one in sorted(arrows[module]):
                visit(one, [*way, module])
            seen.add(module)

    for module in arrows:
        visit(module, [])
