"""What the hidden tests demand, as students read it, and which demand a bug breaks."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autograder.authoring.course import Assignment
from autograder.errors import CourseError


def law_of(assignment: Assignment, kills: Mapping[str, set[str]], bug: str) -> str:
    """What the most specific of the tests that find the bug demands. Raises CourseError if none."""
    known = laws(assignment.hidden_tests)
    # A proof that is older than the tests may name some that are gone.
    tests = kills[bug] & known.keys()
    if not tests:
        raise CourseError(
            f"{assignment.hidden_tests.with_name('proof.json')}: it names no test of today that"
            f" finds '{bug}': run 'verify {assignment.name}'"
        )
    finds = {test: sum(test in found for found in kills.values()) for test in tests}
    # Best is a test that was written for this bug, and of these one for few others.
    return known[
        min(tests, key=lambda one: (f"'{bug}'" not in known[one].catches, finds[one], one))
    ].says


@dataclass(frozen=True)
class Law:
    """What students read of a hidden test, and the bugs that it was written for."""

    says: str
    catches: str


@cache
def laws(path: Path) -> dict[str, Law]:
    """The hidden tests of a file, by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {}
    for test in tree.body:
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            says = " ".join((ast.get_docstring(test) or "").split("\n\n")[0].split())
            marks = [one.keywords for one in test.decorator_list if isinstance(one, ast.Call)]
            given = (keyword for keywords in marks for keyword in keywords)
            named = [ast.unparse(one.value) for one in given if one.arg == "catches"]
            found[test.name] = Law(says, " ".join(named))
    return found
