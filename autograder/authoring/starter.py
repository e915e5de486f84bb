"""Generates starter/NAME from the solution and the handout, and says what is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autograder.authoring import notebook as notebooks
from autograder.authoring import survey
from autograder.authoring.course import Assignment
from autograder.authoring.given import given_files
from autograder.authoring.source import Source
from autograder.errors import CourseError
from autograder.isolation.limits import WORLD_BYTES

HANDOUT = ("README.md", "test_local.py", "report.py")
# What has changed for students. A new assignment has no such file.
CHANGES = "CHANGES.md"
INTRODUCTION = (
    "Read the handout, README.md. Fill the cells that say `YOUR CODE HERE`; the last cells run the "
    "public tests and draw the plots. "
    "Submit this notebook as it is. A statement that fails is left out; the rest counts."
)

# A public test that never ends is stopped. The seconds are wall time on a student's laptop.
TIMEOUT = "pytest-timeout>=2.3"
PYTEST_INI = """\
[pytest]
# A test that takes longer than these seconds is stopped, and pytest shows where it was.
timeout = 60
"""

CONFTEST = '''\
"""Turns a failure that only says "not written yet" into one short line, first task first."""

import pytest

TODO = {}


def pytest_configure(config):
    # Where pytest-timeout is missing, nothing else knows this mark.
    config.addinivalue_line("markers", "timeout(seconds): how long this test may take")


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


# How the wall meets a submission: isolation/wall/world.py and workers/warm.py.
MACHINE = """
## The machine that grades

Your file is imported on a Linux machine without a network, without a screen and without a compiler
(`torch.compile` leaves your code as it is), where every library of `requirements.txt` is installed.
It may write up to {megabytes} MB in its current folder and in `tempfile`'s, which hold nothing but
what you submitted and are emptied before each test.
"""


def files(assignment: Assignment) -> dict[str, bytes]:
    """Every file of the starter folder: name -> content.

    Raises CourseError for a file that assignment.yml names and that does not exist.
    """
    stub = Source(assignment.solution).stub() + survey.question(assignment.parts)
    texts = {
        assignment.main: stub,
        "conftest.py": CONFTEST,
        "pytest.ini": PYTEST_INI,
        "requirements.txt": "".join(f"{line}\n" for line in requirements(assignment)),
        f"{Path(assignment.main).stem}.ipynb": notebook(assignment, stub),
    }
    generated = {name: text.encode() for name, text in texts.items()} | given_files(assignment)
    changes = [CHANGES] if (assignment.handout / CHANGES).is_file() else []
    names = (*HANDOUT, *changes, *assignment.files)
    copies = {name: _copy(assignment, name) for name in names}
    copies["README.md"] += MACHINE.format(megabytes=WORLD_BYTES >> 20).encode()
    if taken := sorted(generated.keys() & copies.keys()):
        raise CourseError(
            f"{_declaration(assignment)}: {taken[0]} is copied from the handout's folder, "
            "but it is also generated or a given module: rename it"
        )
    return copies | generated


def requirements(assignment: Assignment) -> list[str]:
    """The lines of the starter's requirements.txt."""
    return [*assignment.requirements, TIMEOUT]


def _copy(assignment: Assignment, name: str) -> bytes:
    try:
        return (assignment.handout / name).read_bytes()
    except OSError as error:
        reason = f"{assignment.handout / name} cannot be copied ({error.strerror})"
        raise CourseError(f"{_declaration(assignment)}: {reason}") from None


def _declaration(assignment: Assignment) -> Path:
    return assignment.handout / "assignment.yml"


def notebook(assignment: Assignment, text: str) -> str:
    """The stub (or any reading of the solution) as a notebook that runs from top to bottom."""
    cells = [
        notebooks.markdown(source) if kind == "markdown" else notebooks.code(source)
        for kind, source in notebooks.split(text)
    ]
    return notebooks.new(
        [
            notebooks.markdown(f"# {assignment.title}\n\n{INTRODUCTION}"),
            *_cells_of_given(assignment),
            *cells,
            *last_cells(assignment),
        ]
    )


def _cells_of_given(assignment: Assignment) -> list[Any]:
    """Cells that write the given modules beside a notebook, which may be alone in its folder."""
    files = given_files(assignment)
    head = notebooks.markdown("The course gives you these modules. Run the cells; change nothing.")
    cells = [notebooks.written(name, data.decode()) for name, data in files.items()]
    return [head, *cells] if cells else []


def last_cells(assignment: Assignment) -> list[Any]:
    """The cells with the public tests and the plots."""
    tests, report = (
        (assignment.handout / name).read_text(encoding="utf-8") for name in HANDOUT[1:3]
    )
    return notebooks.public_tests_and_plots(Path(assignment.main).stem, tests, report)


def write(assignment: Assignment) -> list[Path]:
    """Bring starter/NAME up to date and return the files that changed.

    Files that no longer belong there are removed.
    """
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
