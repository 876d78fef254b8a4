"""The house: which room may import which, what is imported lazily, what is documented. All of it read, nothing run."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import heavyball_dynamics as hb

PACKAGE = "heavyball_dynamics"
SOURCE = Path(__file__).resolve().parents[1] / PACKAGE
MODULES = sorted(SOURCE.rglob("*.py"))

# From the ground up; rooms on one floor do not import each other.
FLOORS = [
    ["objectives"], ["algorithms"], ["correspondence"], ["simulation", "analysis"], ["studies"], ["figures"], ["cli"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
LAZY = {"clarabel", "control", "matplotlib", "sympy", "torch"}


class Import(NamedTuple):
    """One imported module, with what is known of the place of the statement."""

    target: str
    line: int
    in_function: bool
    for_types_only: bool


def _targets(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return dotted names; `from a import b` gives a.b, since b may be a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = "." * node.level + (node.module or "")
    return [f"{base}.{alias.name}" for alias in node.names]


def _imports(node: ast.AST, in_function: bool = False, for_types_only: bool = False) -> Iterator[Import]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for target in _targets(node):
            yield Import(target, node.lineno, in_function, for_types_only)
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for child in node.body:
            yield from _imports(child, in_function, True)
        children = node.orelse
    else:
        children = list(ast.iter_child_nodes(node))
    inside = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in children:
        yield from _imports(child, inside, for_types_only)


def _floor_faults(room: str, found: Import) -> Iterator[str]:
    """Complain of an import that runs upward, sideways or around the rooms."""
    parts = found.target.split(".")
    if parts[0] != PACKAGE:
        return
    there = parts[1] if len(parts) > 1 else ""
    if room == "__main__" and there == "cli":
        return
    if there in FLOOR:
        if room.startswith("_"):
            yield f"a ground-floor module imports {there}"
        elif room != there and FLOOR[there] >= FLOOR[room]:
            yield f"{room} imports {there}, which is not below it"
    elif not there.startswith("_"):
        yield f"{found.target} hides the room it comes from: import from the room"


def faults(source: str, path: str) -> list[str]:
    """Return what in a module of the package, at `path` below its folder, breaks the rules of the house."""
    tree = ast.parse(source)
    room = Path(path).parts[0].removesuffix(".py")
    rows = []
    for found in _imports(tree):
        third_party = found.target.split(".")[0]
        if found.target.startswith("."):
            rows.append((found.line, "relative import"))
            continue
        if room != "__init__" or third_party != PACKAGE:
            rows += [(found.line, fault) for fault in _floor_faults(room, found)]
        if third_party == PACKAGE and found.in_function:
            rows.append((found.line, "import of the package inside a function"))
        if third_party in LAZY and not (found.in_function or found.for_types_only):
            rows.append((found.line, f"{third_party} is imported at module level"))
        if found.target.startswith(("matplotlib.pyplot", "matplotlib.pylab", "pylab")) and room != "figures":
            rows.append((found.line, "pyplot outside figures/"))
    if path != "__init__.py":
        rows += [
            (node.lineno, "import_module outside the package's loader")
            for node in ast.walk(tree)
            if isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node).split(".")[-1] == "import_module"
        ]
    return [f"{path}:{line}: {fault}" for line, fault in sorted(set(rows))]


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_keeps_the_house(path):
    assert faults(path.read_text(encoding="utf-8"), _name(path)) == []


def test_every_folder_and_module_has_its_place():
    """A room that FLOORS does not name would escape the test above."""
    rooms = {Path(_name(path)).parts[0].removesuffix(".py") for path in MODULES}
    assert {room for room in rooms if not room.startswith("_")} <= set(FLOOR)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("objectives/a.py", "from heavyball_dynamics.algorithms.methods import HeavyBall"),
        ("objectives/a.py", "from heavyball_dynamics import algorithms"),
        ("simulation/a.py", "import heavyball_dynamics.analysis.modes"),
        ("analysis/a.py", "from heavyball_dynamics.simulation import iterate"),
        ("figures/a.py", "from heavyball_dynamics.cli import main"),
        ("_probe.py", "from heavyball_dynamics.objectives import Quadratic"),
        ("studies/a.py", "from heavyball_dynamics import iterate"),
        ("studies/a.py", "import heavyball_dynamics as hb"),
        ("studies/a.py", "from . import sweep"),
        ("studies/a.py", "def f():\n    from heavyball_dynamics.analysis import tune"),
        ("studies/a.py", "if TYPE_CHECKING:\n    from heavyball_dynamics.figures import style"),
        ("studies/a.py", "from importlib import import_module\nimport_module('heavyball_dynamics.cli')"),
        ("analysis/a.py", "import sympy"),
        ("analysis/a.py", "import control as ct"),
        ("analysis/a.py", "try:\n    from torch import nn\nexcept ImportError:\n    pass"),
        ("analysis/a.py", "class A:\n    import matplotlib"),
        ("analysis/a.py", "if not TYPE_CHECKING:\n    import sympy"),
        ("analysis/a.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import sympy"),
        ("analysis/a.py", "def f():\n    import matplotlib.pyplot as plt"),
        ("studies/a.py", "def f():\n    from matplotlib import pyplot"),
    ],
)
def test_a_breach_is_found(path, source):
    assert faults(source, path) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("algorithms/a.py", "from heavyball_dynamics.objectives.quadratic import Quadratic"),
        ("analysis/a.py", "from heavyball_dynamics.analysis.modes import Modes"),
        ("analysis/a.py", "from heavyball_dynamics._validation import count"),
        ("analysis/a.py", "if TYPE_CHECKING:\n    import control\n    from sympy import Expr"),
        ("analysis/a.py", "def f():\n    import control"),
        ("figures/a.py", "def f():\n    import matplotlib.pyplot as plt"),
        ("cli.py", "from heavyball_dynamics import __version__, figures"),
        ("__main__.py", "from heavyball_dynamics.cli import main"),
    ],
)
def test_what_is_allowed_passes(path, source):
    assert faults(source, path) == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_public_definitions_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []
    assert ast.get_docstring(tree), "the module says nothing of itself"


@pytest.mark.parametrize("name", hb.__all__)
def test_exported_name_shows_an_example(name):
    """A doctest runs what stands there."""
    value = getattr(hb, name)
    if inspect.isclass(value):
        if issubclass(value, enum.Enum) or getattr(value, "_is_protocol", False):
            return
        inherited = dataclasses.is_dataclass(value) and (value.__doc__ or "").startswith(f"{value.__name__}(")
        assert not inherited, "the docstring is the one that dataclass writes"
    elif not inspect.isfunction(value):
        return
    sections = inspect.getdoc(value) or ""
    assert "\nExamples\n--------\n" in sections
    assert ">>> " in sections.split("\nExamples\n--------\n")[1]
