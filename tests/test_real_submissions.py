"""The corpus of real-world submissions: each comes to what it deserves, by either door."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.errors import CourseError
from autograder.marking import feedback, result_files
from autograder.marking.submission import read_class, read_one
from autograder.model import Grade

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.submissions import run
from tests.submissions.common import FULL, MAIN, ZERO, Case, assignment, right

# All of them are marked in the first test that asks, some minutes on a busy machine.
pytestmark = pytest.mark.timeout(1800)
CASES = run.cases()
IDS = [f"{case.kind}: {case.name}" for case in CASES]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> list[run.Result]:
    return run.read(CASES, tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def marked(
    opened: list[run.Result], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[run.Result], float]]:
    """All that can be opened, marked by one engine; equal contents once."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the wall needs Linux and root")
    yield opened, run.mark(opened, tmp_path_factory.mktemp("marks"))


def test_the_corpus_is_large_and_no_case_is_there_twice():
    assert len(CASES) >= 150
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_a_problem_is_said_before_anything_runs(opened, number):
    result = opened[number]
    problems = {one.student: one.problem for one in result.submissions if one.problem}
    deserved = result.case.deserves
    assert set(problems) == {s for s, words in deserved.items() if words not in (FULL, ZERO)}
    assert all(deserved[student] in words for student, words in problems.items())
    assert all(any(w in over for over in result.passed_over) for w in result.case.over)


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_each_comes_to_what_it_deserves(marked, number):
    results, worth = marked
    assert results[number].wrong(worth) == []


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind in ("folder", "zip")], ids=lambda case: case.name
)
def test_one_at_a_time_it_is_the_same(case: Case, tmp_path):
    """Platforms bring submissions one by one; the rules are those of a whole class."""
    place = case.build(tmp_path / "class")
    ((one,), _) = read_class(place, MAIN, assignment().starter)
    entries = list(place.iterdir())
    if len(entries) != 1:
        pytest.skip("two files side by side are one folder there")
    other = read_one("ada", entries[0], MAIN, starter=assignment().starter)
    assert (other.files, other.problem, other.notes) == (one.files, one.problem, one.notes)


# -- layouts --------------------------------------------------------------------------------------


def test_a_layout_that_nobody_knows_is_named(tmp_path):
    (tmp_path / "ada.py").write_bytes(right())
    with pytest.raises(CourseError, match="--layout blackboard: one of auto, plain, canvas"):
        read_class(tmp_path, MAIN, layout="blackboard")


@pytest.mark.parametrize("layout", ["canvas", "moodle"])
def test_a_layout_that_the_folder_does_not_have_is_an_error(tmp_path, layout):
    (tmp_path / "ada.py").write_bytes(right())
    with pytest.raises(CourseError, match=f"nothing here is named as {layout} names it"):
        read_class(tmp_path, MAIN, layout=layout)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "a: !!python/object:os.system x\n"])
def test_metadata_that_cannot_be_read_are_an_error(tmp_path, text):
    (tmp_path / "submission_1").mkdir()
    (tmp_path / "submission_metadata.yml").write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match=r"submission_metadata\.yml cannot be read"):
        read_class(tmp_path, MAIN)


def test_what_does_not_fit_a_layout_is_passed_over_by_name(tmp_path):
    for name in ("doejane_12_34_gae.py", "odd.py"):
        (tmp_path / name).write_bytes(right())
    found, over = read_class(tmp_path, MAIN, layout="canvas")
    assert [one.student for one in found] == ["doejane"] and over == ["odd.py"]


def test_one_name_that_is_like_canvas_does_not_make_a_class_canvas(tmp_path):
    for name in ("a_1_2_b.py", "ben.py"):
        (tmp_path / name).write_bytes(right())
    assert [one.student for one in read_class(tmp_path, MAIN)[0]] == ["a_1_2_b", "ben"]


def test_further_names_of_a_person_are_kept(tmp_path):
    (tmp_path / "doejane_12_34_gae.py").write_bytes(right())
    ((one,), _) = read_class(tmp_path, MAIN)
    assert set(one.known_as) == {"doejane", "12"}


# -- what students read ---------------------------------------------------------------------------


def test_results_say_what_was_left_out_and_what_was_marked():
    notes = (
        "gae.ipynb was marked; gae.py is the starter as it was given",
        *(f"cell {n}: `x = f({n})` (NameError: name 'f' is not defined)" for n in range(1, 13)),
    )
    grade = Grade("ada", (), notes=notes)
    lines = feedback.headline(assignment(), 100.0, grade).splitlines()
    assert f"{notes[0]}." in lines
    (said,) = [line for line in lines if line.startswith("Left out of your notebook")]
    assert notes[1] in said and notes[10] in said and notes[11] not in said
    assert said.endswith(", and 2 more.")


def test_what_was_left_out_is_read_back(tmp_path):
    grade = Grade("ada", (), notes=("cell 1: `x` (y)",))
    result_files.write_results(tmp_path, assignment(), 100.0, grade)
    assert result_files.read_grade(tmp_path, "ada") == grade


def test_a_name_that_a_notebook_lacks_says_so_in_the_results(marked):
    results, _ = marked
    (one,) = [r for r in results if r.case.name == "begins with Colab's drive"]
    assert any(note.startswith("cell 1: `from google.colab import drive` (") for note in one.notes)
