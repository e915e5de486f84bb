"""The shape of the package: one-way imports, small modules and functions, no reach into privates.

Imports under TYPE_CHECKING and inside functions count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "autograder"
MODULE_LINES, FUNCTION_LINES = 350, 60

# A package may import from packages before it, never from later ones; on one line, in both ways.
FLOORS = (
    ("errors", "model"),
    ("isolation",),
    ("authoring",),
    ("judging",),
    ("proof", "marking"),
    ("reports",),
    ("export",),
    ("cli",),
    ("__main__",),
)
# The same inside isolation.
ISOLATION_FLOORS = (
    ("limits", "times", "cells"),
    ("codec",),
    ("bridge",),
    ("wall",),
    ("workers",),
    ("ranks",),
    ("doctor", "probe"),
)
# What a named tuple offers under names that begin with an underscore, and the end of a process.
PUBLIC_UNDERSCORES = {"_fields", "_replace", "_asdict", "_make", "_field_defaults"}

RULES = ("upward", "circle", "module", "function", "private")


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = sorted((ROOT / PACKAGE).rglob("*.py"))
TEXTS = {_dotted(path): path.read_text(encoding="utf-8") for path in FILES}
MODULES = {name: ast.parse(text) for name, text in TEXTS.items()}


def imports(name: str, tree: ast.Module, known: dict[str, ast.Module]) -> set[str]:
    """The modules of ``known`` that a module imports, wherever in it."""
    wanted: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            wanted |= (inside & known.keys()) or {node.module}
            # A package's other names come from its __init__.
            if any(f"{node.module}.{alias.name}" not in known for alias in node.names):
                wanted.add(node.module)
    return {other for other in wanted if other in known and other != name}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        stack = list(graph[start])
        while stack:
            here = stack.pop()
            if here not in seen:
                seen.add(here)
                stack.extend(graph[here])
        reach[start] = seen
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def upward(graph: dict[str, set[str]], floors: tuple[tuple[str, ...], ...], under: str) -> set[str]:
    """Imports from a later floor, as "importer -> imported"."""
    level = {room: number for number, floor in enumerate(floors) for room in floor}

    def floor_of(module: str) -> int | None:
        inside = module.removeprefix(f"{under}.")
        return None if inside == module else level.get(inside.split(".")[0])

    found = set()
    for importer, imported in graph.items():
        mine = floor_of(importer)
        for other in imported:
            theirs = floor_of(other)
            if mine is not None and theirs is not None and theirs > mine:
                found.add(f"{importer} -> {other}")
    return found


def long_functions(name: str, tree: ast.Module) -> Iterator[str]:
    """Functions above the limit, decorators not counted."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{name}.{node.name}"


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def privates(name: str, tree: ast.Module) -> Iterator[str]:
    """Uses of ``x._name`` where nothing in the module binds ``_name``, and imports of such names.

    The rule is not about what belongs to another library.
    """
    bound, foreign = _bound(tree), _foreign(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            names = (alias.name for alias in node.names)
            hidden = [one for one in names if one.startswith("_") and not _is_dunder(one)]
            yield from (f"{name}: {node.module}.{one}" for one in hidden)
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
            continue
        if _is_dunder(node.attr) or node.attr in PUBLIC_UNDERSCORES or node.attr in bound:
            continue
        if _root(node) not in foreign:
            yield f"{name}: {ast.unparse(node)}"


def _bound(tree: ast.Module) -> set[str]:
    """Names that begin with an underscore and are defined in a module or in one of its classes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if ast.unparse(node.value) in ("self", "cls") else set()
    return names


def _foreign(tree: ast.Module) -> set[str]:
    """The names under which a module has imported things that are not the package's."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            ours = [alias for alias in node.names if not alias.name.startswith(PACKAGE)]
            names |= {(alias.asname or alias.name).split(".")[0] for alias in ours}
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(PACKAGE):
            names |= {alias.asname or alias.name for alias in node.names}
    # A library that is looked up at run time.
    return names | {"torch"}


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


GRAPH = {name: imports(name, tree, MODULES) for name, tree in MODULES.items()}


def found(rule: str) -> set[str]:
    """What breaks a rule."""
    if rule == "circle":
        return {" <-> ".join(group) for group in circles(GRAPH)}
    if rule == "upward":
        inside = f"{PACKAGE}.isolation"
        return upward(GRAPH, FLOORS, PACKAGE) | upward(GRAPH, ISOLATION_FLOORS, inside)
    if rule == "module":
        return {name for name, text in TEXTS.items() if len(text.splitlines()) > MODULE_LINES}
    check = {"function": long_functions, "private": privates}[rule]
    return {text for name, tree in MODULES.items() for text in check(name, tree)}


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_to_its_shape(rule):
    assert found(rule) == set()


def test_every_package_has_its_floor():
    rooms = {name.split(".")[1] for name in MODULES if "." in name}
    assert rooms == {room for floor in FLOORS for room in floor} & rooms
    inside = {name.split(".")[2] for name in MODULES if name.startswith("autograder.isolation.")}
    assert inside <= {room for floor in ISOLATION_FLOORS for room in floor}


# -- the rules themselves can fail -----------------------------------------------------------------


def graph_of(**sources: str) -> dict[str, set[str]]:
    trees = {f"p.{name}": ast.parse(text) for name, text in sources.items()}
    return {name: imports(name, tree, trees) for name, tree in trees.items()}


def test_a_circle_is_found_under_type_checking_and_inside_a_function():
    graph = graph_of(
        a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B",
        b="def f():\n    from p import c",
        c="import p.a",
        d="import p.a",
    )
    assert circles(graph) == [["p.a", "p.b", "p.c"]]


def test_an_import_from_a_later_floor_is_found():
    graph = graph_of(a="", b="import p.a", c="import p.b\nimport p.d", d="import p.a")
    assert upward(graph, (("a",), ("b", "c"), ("d",)), "p") == {"p.c -> p.d"}


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("def f(x): return x._y", ["m: x._y"]),
        ("def f(x): x.z._y = 1", ["m: x.z._y"]),
        ("class C:\n    def __init__(self): self._y = 1\n    def f(self, o): return o._y", []),
        ("class C:\n    def f(self): return self._y", ["m: self._y"]),
        ("import os\ndef f(): os._exit(0)", []),
        ("from autograder import model\nmodel._y", ["m: model._y"]),
        ("def f(x): return x.__dict__, x._fields", []),
        ("from autograder.model import _y", ["m: autograder.model._y"]),
        ("from os import _exit", []),
        ("from autograder import __version__", []),
    ],
)
def test_a_reach_into_private_names_is_found(text, reaches):
    assert list(privates("m", ast.parse(text))) == reaches


def test_a_long_function_is_found():
    body = "".join(f"    x = {n}\n" for n in range(FUNCTION_LINES))
    assert list(long_functions("m", ast.parse(f"def f():\n{body}"))) == ["m.f"]
    assert list(long_functions("m", ast.parse(f"def f():\n{body[10:]}"))) == []


if __name__ == "__main__":
    for rule in RULES:
        print(rule, *sorted(found(rule)), sep="\n    ")
