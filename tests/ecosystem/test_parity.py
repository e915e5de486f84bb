"""One source, five ways to be marked, equal scores: the solution, the stub and three bugs of an assignment over every route.

`make parity` runs all assignments of course.yml; PARITY=gae runs one. The image's route needs $GRADER_IMAGE and $GRADER_ENGINE.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import routes

from autograder.course import load_course
from autograder.source import Source

COURSE = load_course(Path(__file__).resolve().parents[2])
CHOSEN = os.environ.get("PARITY", "gae")
NAMES = [one.name for one in COURSE.assignments if CHOSEN == "all" or one.name in CHOSEN.split(",")]
pytestmark = [pytest.mark.ecosystem, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", params=NAMES)
def assignment(request):
    return COURSE.assignment(request.param)


@pytest.fixture(scope="module")
def handed_in(assignment) -> dict[str, str]:
    source = Source(assignment.solution)
    bugs = [bug.name for bug in source.bugs]
    chosen = [bugs[0], bugs[len(bugs) // 2], bugs[-1]]
    return {"solution": source.solution(), "stub": source.stub()} | {bug: source.broken(bug) for bug in chosen}


@pytest.fixture(scope="module")
def marks(assignment, handed_in, tmp_path_factory):
    found = routes.command_line(assignment, handed_in, tmp_path_factory.mktemp("line"))
    total = {name: sum(points.values()) for name, points in found.items()}
    assert total["solution"] == max(total.values()) > 0 and total["stub"] == 0
    assert all(points < total["solution"] for name, points in total.items() if name != "solution")
    return found


def test_gradescope(assignment, handed_in, marks, tmp_path):
    assert routes.gradescope(assignment, handed_in, tmp_path) == marks


def test_otter(assignment, handed_in, marks, tmp_path):
    pytest.importorskip("otter", reason="requirements/ecosystem.txt is not installed: make ecosystem")
    assert routes.otter(assignment, handed_in, tmp_path) == marks


def test_nbgrader(assignment, handed_in, marks, tmp_path):
    pytest.importorskip("nbgrader", reason="requirements/ecosystem.txt is not installed: make ecosystem")
    assert routes.nbgrader(assignment, handed_in, tmp_path) == marks


def test_the_grading_image(assignment, handed_in, marks, tmp_path):
    if "GRADER_IMAGE" not in os.environ:
        pytest.skip("no grading image: `make image` builds one; then set GRADER_IMAGE and GRADER_ENGINE")
    assert routes.image(assignment, handed_in, tmp_path) == marks
