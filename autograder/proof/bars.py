"""The bars of learning checks, and how the reference solution does against them.

grading/NAME/bars.py says how to measure. It holds ``BARS``, from the name of a learning check to a
`Bar`. A check that measures two things has two bars, "test_name: what". Measuring takes minutes, so
it is done on request (`verify NAME --bars`), and the figures are in the proof.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from autograder.authoring.course import Assignment
from autograder.authoring.source import Source
from autograder.errors import CourseError
from autograder.judging.hidden_test import HiddenTest
from autograder.proof.inputs import code_digest, given_modules

# If more of the reference's seeds were below the bar, the points would be a matter of luck, even
# though a learning check tries several seeds.
MOST_BELOW = 0.1
DIGITS = 5


class Bar(NamedTuple):
    """What a learning check asks for at least, and how the reference is measured."""

    least: float
    # A seed of training -> the number that is compared with the bar.
    measure: Callable[[int], float]
    # These are neither the seeds of the grader nor those by which the bar was chosen.
    seeds: Sequence[int] = range(1000, 1030)


Figures = dict[str, Any]


def path_of(assignment: Assignment) -> Path:
    """Where an assignment says how its learning checks are measured."""
    return assignment.hidden_tests.with_name("bars.py")


def load(path: Path) -> ModuleType:
    """A Python file outside any package, as a module with a unique name."""
    name = f"{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    # Dataclasses look their module up by its name.
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(
    assignment: Assignment, tests: Sequence[HiddenTest], tell: Callable[[str], None]
) -> dict[str, Figures]:
    """Train the reference with every seed of every bar.

    Raises CourseError for a bar whose name is not a learning check.
    """
    digests = _digests(assignment, tests)
    if not path_of(assignment).is_file():
        return {}
    bars: Mapping[str, Bar] = load(path_of(assignment)).BARS
    found = {}
    for name, bar in bars.items():
        if _test_of(name) not in digests:
            raise CourseError(f"{path_of(assignment)}: '{name}' is not a learning check")
        values = []
        for done, seed in enumerate(bar.seeds, 1):
            values.append(float(bar.measure(seed)))
            tell(f"{name}: seed {done} of {len(bar.seeds)}")
        found[name] = _figures(bar.least, values) | {"of": digests[_test_of(name)]}
    return found


def _figures(least: float, values: list[float]) -> Figures:
    return {
        "bar": _rounded(least),
        "seeds": len(values),
        "lowest": _rounded(min(values)),
        "median": _rounded(statistics.median(values)),
        "highest": _rounded(max(values)),
        "below": sum(value < least for value in values),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def unfair(bars: Mapping[str, Figures]) -> list[str]:
    """Sentences about bars that too many runs of the reference do not reach."""
    return [
        f"{figures['below']} of {figures['seeds']} runs of the reference stay below the bar of "
        f"{name} ({figures['bar']:g}): at most a tenth may"
        for name, figures in bars.items()
        if figures["below"] > MOST_BELOW * figures["seeds"]
    ]


def missing_or_stale(
    assignment: Assignment, tests: Sequence[HiddenTest], bars: Mapping[str, Figures]
) -> list[str]:
    """Sentences about learning checks without figures, or with figures of another text."""
    notes, renew = [], f"python -m autograder verify {assignment.name} --bars"
    for test, digest in _digests(assignment, tests).items():
        kept = [figures for name, figures in bars.items() if _test_of(name) == test]
        if not kept:
            notes.append(f"the bar of {test} has not been measured: {renew}")
        elif any(figures["of"] != digest for figures in kept):
            notes.append(f"the bar of {test} was measured before its text changed: {renew}")
    return notes


def _digests(assignment: Assignment, tests: Sequence[HiddenTest]) -> dict[str, str]:
    """By the learning check's name, a digest of all code that its figures depend on."""
    names = sorted({test.name.partition("[")[0] for test in tests if test.learning})
    if not names:
        return {}
    solution = Source(assignment.solution).solution()
    given = [path.read_text(encoding="utf-8") for path in given_modules(assignment)]
    hidden = ast.parse(assignment.hidden_tests.read_text(encoding="utf-8"))
    bars = path_of(assignment)
    how = [_without_tests(bars.read_text(encoding="utf-8"))] if bars.is_file() else []
    return {
        name: code_digest([solution, *given, *how, _with_all_it_uses(hidden, name)])
        for name in names
    }


def _test_of(name: str) -> str:
    return name.partition(":")[0]


def _without_tests(text: str) -> ast.Module:
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not getattr(node, "name", "").startswith("test_")]
    return tree


def _with_all_it_uses(tree: ast.Module, test: str) -> ast.Module:
    """A test function, without its decorators, and every top-level definition that it leads to."""
    tree = copy.deepcopy(tree)
    wanted, found = [test], set()
    while wanted:
        name = wanted.pop()
        found.add(name)
        for node in tree.body:
            if name in _defines(node):
                if name == test and isinstance(node, ast.FunctionDef):
                    node.decorator_list = []
                used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                wanted += used - found
    tree.body = [node for node in tree.body if _defines(node) & found]
    return tree


def _defines(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module binds; those of imports are left out."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    names = (one for target in targets if target is not None for one in ast.walk(target))
    return {one.id for one in names if isinstance(one, ast.Name)}
