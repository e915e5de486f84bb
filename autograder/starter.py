"""Generates starter/NAME from the solution and the handout, and says what is stale."""

from __future__ import annotations

from pathlib import Path

import jupytext

from autograder.course import Assignment
from autograder.errors import CourseError
from autograder.source import Source

HANDOUT = ("README.md", "test_local.py", "report.py")
FIRST_CELL = (
    '''"""In a notebook: fill the cells below; the last cells run the public tests and draw the plots."""'''
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


def files(assignment: Assignment) -> dict[str, bytes]:
    """Every file of the starter folder: name -> content. Raises CourseError for a file that assignment.yml names in vain."""
    stub = Source(assignment.solution).stub()
    generated = {
        assignment.main: stub,
        "conftest.py": CONFTEST,
        "requirements.txt": "".join(f"{line}\n" for line in assignment.requirements),
        f"{Path(assignment.main).stem}.ipynb": notebook(assignment, stub),
    }
    copies = {name: _copy(assignment, name) for name in (*HANDOUT, *assignment.files)}
    if taken := sorted(generated.keys() & copies.keys()):
        raise CourseError(
            f"{_declaration(assignment)}: 'files' names {taken[0]}, which is generated: rename it"
        )
    return copies | {name: text.encode() for name, text in generated.items()}


def _copy(assignment: Assignment, name: str) -> bytes:
    try:
        return (assignment.handout / name).read_bytes()
    except OSError as error:
        reason = f"{name} cannot be copied from {assignment.handout} ({error.strerror})"
        raise CourseError(f"{_declaration(assignment)}: {reason}") from None


def _declaration(assignment: Assignment) -> Path:
    return assignment.handout / "assignment.yml"


def notebook(assignment: Assignment, stub: str) -> str:
    """The stub as a notebook, one cell for each definition; ids are counted, so that the same stub gives the same bytes."""
    document = jupytext.reads(stub, fmt={"extension": ".py", "format_name": "light"})
    for number, cell in enumerate(document.cells):
        cell["id"] = f"cell-{number}"
    document.metadata.pop("jupytext", None)
    document.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    text: str = jupytext.writes(document, fmt="ipynb")
    return text if text.endswith("\n") else text + "\n"


def write(assignment: Assignment) -> list[Path]:
    """Bring starter/NAME up to date; returns the files that changed (those that no longer belong there are removed)."""
    wanted = files(assignment)
    changed = [assignment.starter / name for name in stale(assignment)]
    for path in changed:
        if path.name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[path.name])
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
        for name, content in wanted.items()
        if name in there and (assignment.starter / name).read_bytes() != content
    }
    return sorted((set(wanted) ^ there) | outdated)
