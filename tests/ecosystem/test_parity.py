"""One source, five ways to be marked, equal scores: the solution, the stub and three bugs of an
assignment over every route.

Test data are drawn from the submission, and every route submits it with other cells around it.
The solution and the stub get the same points on any data. So does a bug in the tests that say they
catch it, and in those that never call what it changes; whether it gets through another one may hang
on the draw, so those are left out.

`make parity` runs all assignments of course.yml; PARITY=gae,ppo runs some. The image's route needs
$GRADER_IMAGE and $GRADER_ENGINE.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import routes

from autograder.authoring.course import load_course
from autograder.authoring.source import Source
from autograder.export import master
from autograder.judging import hidden_test, plugin
from autograder.judging.diagnose import AnswerKey

COURSE = load_course(Path(__file__).resolve().parents[2])
CHOSEN = os.environ.get("PARITY", "gae")
NAMES = (
    [one.name for one in COURSE.assignments]
    if CHOSEN == "all"
    else [COURSE.assignment(name).name for name in CHOSEN.split(",")]
)
pytestmark = [pytest.mark.ecosystem, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", params=NAMES)
def assignment(request):
    return COURSE.assignment(request.param)


@pytest.fixture(scope="module")
def submitted(assignment) -> dict[str, str]:
    source = Source(assignment.solution)
    bugs = [bug.name for bug in source.bugs]
    chosen = [bugs[0], bugs[len(bugs) // 2], bugs[-1]]
    return {"solution": source.solution(), "stub": source.stub()} | {
        bug: source.broken(bug) for bug in chosen
    }


@pytest.fixture(scope="module")
def marks(assignment, submitted, tmp_path_factory):
    found = routes.command_line(assignment, submitted, tmp_path_factory.mktemp("line"))
    total = {name: sum(points.values()) for name, points in found.items()}
    assert total["solution"] == max(total.values()) > 0 and total["stub"] == 0
    assert all(points < total["solution"] for name, points in total.items() if name != "solution")
    return found


@pytest.fixture(scope="module")
def certain(assignment, submitted) -> dict[str, set[str]]:
    """For each submission the tests whose points do not depend on the draw."""
    key, tests = AnswerKey(assignment), plugin.collect(assignment.hidden_tests)
    ids = master.ids(test.name for test in tests)
    found = {name: set() if name in key.texts else set(ids) for name in submitted}
    for number, test in zip(ids, tests, strict=True):
        if test.learning:
            continue
        with key.calls() as called:
            assert hidden_test.run(test, key.reference, 0).passed
        near = key.within_reach(called)
        for bug in key.texts.keys() & submitted:
            if bug in test.catches or bug not in near:
                found[bug].add(number)
    assert all(found.values())
    return found


@pytest.fixture
def assert_the_same_as(marks, certain):
    def of_certain(points: routes.Marks) -> routes.Marks:
        return {
            name: {test: got for test, got in of.items() if test in certain[name]}
            for name, of in points.items()
        }

    def compare(found: routes.Marks) -> None:
        assert {name: points.keys() for name, points in found.items()} == {
            name: points.keys() for name, points in marks.items()
        }
        assert of_certain(found) == of_certain(marks)

    return compare


def test_gradescope(assignment, submitted, assert_the_same_as, tmp_path):
    assert_the_same_as(routes.gradescope(assignment, submitted, tmp_path))


def test_otter(assignment, submitted, assert_the_same_as, tmp_path):
    pytest.importorskip(
        "otter", reason="requirements/ecosystem.txt is not installed: make ecosystem"
    )
    assert_the_same_as(routes.otter(assignment, submitted, tmp_path))


def test_nbgrader(assignment, submitted, assert_the_same_as, tmp_path):
    pytest.importorskip(
        "nbgrader", reason="requirements/ecosystem.txt is not installed: make ecosystem"
    )
    assert_the_same_as(routes.nbgrader(assignment, submitted, tmp_path))


def test_the_grading_image(assignment, submitted, assert_the_same_as, tmp_path):
    if "GRADER_IMAGE" not in os.environ:
        pytest.skip(
            "no grading image: `make image` builds one; then set GRADER_IMAGE and GRADER_ENGINE"
        )
    assert_the_same_as(routes.image(assignment, submitted, tmp_path))
