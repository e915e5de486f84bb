"""What the exports for otter-grader and nbgrader share.

That is the solution in cells, and the hidden tests by an id that both tools accept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from autograder.authoring import notebook, starter
from autograder.authoring.course import Assignment
from autograder.authoring.markers import BEGIN
from autograder.authoring.source import Source
from autograder.judging import gpu_part, plugin
from autograder.judging.hidden_test import HiddenTest

INTRODUCTION = (
    "Read the handout, README.md. Fill the cells that say `YOUR CODE HERE`. "
    "Only the definitions of this notebook are marked, by the course's grader, "
    "apart from the notebook's kernel."
)
NOT_HERE = "marked by the course's grader, not in this kernel: is its plug-in configured?"


@dataclass(frozen=True)
class Cell:
    """A piece of the solution.

    ``stub`` is what students get in its place, None where they get the same.
    """

    kind: str
    source: str
    stub: str | None = None


def cells(assignment: Assignment) -> list[Cell]:
    """The solution, its blocks still marked, in cells."""
    pieces = notebook.split(Source(assignment.solution).marked())
    return [
        Cell(
            kind, text, Source(assignment.solution, text).stub().rstrip() if BEGIN in text else None
        )
        for kind, text in pieces
    ]


def hidden_tests(assignment: Assignment) -> list[tuple[str, HiddenTest]]:
    """The hidden tests that count, with their ids."""
    tests = plugin.collect(assignment.hidden_tests)
    tests += [test for test in gpu_part.collect(assignment) if not test.extra]
    return list(zip(ids(test.name for test in tests), tests, strict=True))


def ids(names: Iterable[str]) -> list[str]:
    """Names of letters, digits and _; those of parametrised tests stay different."""
    found: list[str] = []
    for name in names:
        safe = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        found.append(safe if safe not in found else f"{safe}_{len(found)}")
    return found


def handout(assignment: Assignment) -> dict[str, bytes]:
    """The files beside the notebook: all of starter/NAME but the two files to fill in."""
    given = starter.files(assignment)
    stem = assignment.main.removesuffix(".py")
    return {
        name: data.encode() if isinstance(data, str) else data
        for name, data in given.items()
        if name not in (assignment.main, f"{stem}.ipynb")
    }
