"""Generates starter/NAME from the solution and the handout, and says what is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autograder import notebook as notebooks
from autograder.course import Assignment
from autograder.source import Source

HANDOUT = ("README.md", "test_local.py", "report.py")
INTRODUCTION = (
    "Read the handout, README.md. Fill the cells that say `YOUR CODE HERE`; the last cells run the public tests and draw the plots. "
    "Hand in this notebook as it is: only its definitions count."
)

CONFTEST = '''"""Turns a failure that only says "not written yet" into one short line, first task first."""

import pytest

TODO = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.excinfo is not None and call.excinfo.errisinstance(NotImplementedError):
        message = str(call.excinfo.value)
        report.longrepr = f"not written yet: {message}"
        TODO.setdefault(message, item.name)


def pytest_terminal_summary(terminalreporter):
    if TODO:
        terminalreporter.section("what to write next")
        for message in TODO:
            terminalreporter.write_line(message)
'''


def files(assignment: Assignment) -> dict[str, str]:
    """Every file of the starter folder: name -> text."""
    stub = Source(assignment.solution).stub()
    copies = {name: (assignment.handout / name).read_text(encoding="utf-8") for name in HANDOUT}
    return copies | {
        assignment.main: stub,
        "conftest.py": CONFTEST,
        "requirements.txt": "".join(f"{line}\n" for line in assignment.requirements),
        f"{Path(assignment.main).stem}.ipynb": notebook(assignment, stub),
    }


def notebook(assignment: Assignment, text: str) -> str:
    """The stub (or any reading of the solution) as a notebook that runs from top to bottom: definitions, public tests, plots."""
    cells = [
        notebooks.markdown(source) if kind == "markdown" else notebooks.code(source)
        for kind, source in notebooks.split(text)
    ]
    return notebooks.new(
        [notebooks.markdown(f"# {assignment.title}\n\n{INTRODUCTION}"), *cells, *last_cells(assignment)]
    )


def last_cells(assignment: Assignment) -> list[Any]:
    """The cells with the public tests and the plots."""
    tests, report = ((assignment.handout / name).read_text(encoding="utf-8") for name in HANDOUT[1:3])
    return notebooks.public_tests_and_plots(Path(assignment.main).stem, tests, report)


def write(assignment: Assignment) -> list[Path]:
    """Bring starter/NAME up to date; returns the files that changed (those that no longer belong there are removed)."""
    wanted = files(assignment)
    changed = [assignment.starter / name for name in stale(assignment)]
    for path in changed:
        if path.name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path.name], encoding="utf-8")
        else:
            path.unlink()
    return changed


def stale(assignment: Assignment) -> list[str]:
    """Names of files in starter/NAME that are missing, outdated, or do not belong there."""
    wanted = files(assignment)
    there = (
        {path.name for path in assignment.starter.iterdir() if path.is_file()}
        if assignment.starter.is_dir()
        else set()
    )
    outdated = {
        name
        for name, text in wanted.items()
        if name in there and (assignment.starter / name).read_text(encoding="utf-8") != text
    }
    return sorted((set(wanted) ^ there) | outdated)
