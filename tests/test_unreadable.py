"""Submissions that no test could be run on: said once, with a remedy, and never a silent zero."""

from __future__ import annotations

import dataclasses
import json

import pytest
from test_grade import PaperEngine, submission
from toy import MAIN
from typer.testing import CliRunner

from autograder.cli import main
from autograder.errors import Frame, Limit, StudentDied, StudentError, StudentTimeout
from autograder.isolation.workers.importing import OUT_OF_TIME
from autograder.marking import feedback, result_files
from autograder.marking.engines import Job, LocalEngine
from autograder.marking.grade import Grading
from autograder.marking.score import score
from autograder.marking.unreadable import import_problem, importable
from autograder.model import Grade, State, Verdict
from autograder.reports import pages

LINE = Frame("work.py", 3, "<module>", "import pandas as pd")


class Syntax(StudentError, SyntaxError):
    """As it comes back from a worker."""


PROBLEMS = {
    "a missing library": (
        StudentError("ModuleNotFoundError", "No module named 'pandas'", (LINE,)),
        ("work.py, line 3 (import pandas as pd)", "module pandas", "numpy", "submit pandas.py"),
    ),
    "a notebook's line": (
        Syntax(
            "SyntaxError", "invalid syntax", (dataclasses.replace(LINE, text="!pip install x"),)
        ),
        ("work.py, line 3 (!pip install x)", "a line for notebooks", "delete it"),
    ),
    "a magic": (
        Syntax("SyntaxError", "invalid syntax", (dataclasses.replace(LINE, text="%matplotlib"),)),
        ("a line for notebooks", "delete it"),
    ),
    "what only a notebook has": (
        StudentError("NameError", "name 'get_ipython' is not defined", (LINE,)),
        ("what only a notebook has", "delete that line"),
    ),
    "no Python": (
        Syntax("SyntaxError", "'(' was never closed", (LINE,)),
        ("is not Python", "never closed", "correct it"),
    ),
    "endless computing": (
        StudentError(OUT_OF_TIME, "more than 10 seconds of computing", (LINE,)),
        ("computed for too long", "line 3", "was running when time was up", "__main__"),
    ),
    "endless waiting": (
        StudentTimeout("Timeout", "no answer within 60 seconds of waiting", limit=Limit.WAITING),
        ("waited for too long", "60 seconds", "__main__"),
    ),
    "an end": (StudentDied("Ended", "exit code 3"), ("exit code 3", "exit()")),
    "anything else": (
        StudentError("FileNotFoundError", "no 'data.csv'", (LINE,)),
        ("line 3", "FileNotFoundError: no 'data.csv'", "fix that line"),
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_problem_is_one_line_with_place_and_remedy(toy, name):
    error, words = PROBLEMS[name]
    said = import_problem(error, toy.assignment)
    assert all(word in said for word in words), said
    assert "\n" not in said and not said.endswith(".")


def test_what_can_be_imported_is_what_the_assignment_names(toy):
    assert importable(toy.assignment) == ["numpy"]


# -- what it counts --------------------------------------------------------------------------------


class Unreadable(PaperEngine):
    """An engine that finds no submission that can be imported."""

    def run(self, jobs):
        for progress in super().run(jobs):
            progress.problem, progress.error = "line 1 is not Python", "SyntaxError: no"
            progress.outcomes.clear()
            if progress.finished:
                yield progress


@pytest.fixture
def mark(toy, tmp_path):
    def mark(*submissions, engine=None):
        engine = engine or Unreadable(Verdict.PASSED)
        grading = Grading(toy.course, toy.assignment, engine, tmp_path / "out")
        grades = grading.run(submissions, False, lambda grade, total: None)
        return {grade.student: grade for grade in grades}

    return mark


def results(tmp_path, student: str) -> dict:
    return json.loads((tmp_path / "out" / "sequences" / student / "results.json").read_text())


def test_what_cannot_be_imported_earns_nothing_and_that_is_said_once(mark, tmp_path):
    grade = mark(submission("ada"))["ada"]
    told = results(tmp_path, "ada")
    assert grade.state is State.NOT_IMPORTED and grade.complete and grade.outcomes == ()
    assert told["score"] == 0.0 and told["tests"] == []
    assert told["output"].startswith("Your submission could not be imported, so nothing was tested")
    assert told["output"].count("line 1 is not Python") == 1
    assert "  | SyntaxError: no" in told["output"] and "Hint" not in told["output"]
    assert feedback.note(grade) == "could not be imported: line 1 is not Python"


def test_the_course_may_leave_the_cell_empty(mark, toy, tmp_path):
    toy.edit("course.yml", "assignments:", "unreadable: empty\nassignments:")
    grades = mark(submission("ada"), submission("ben", problem="it is encrypted"))
    assert [score(grade, 5.0).points for grade in grades.values()] == [None, None]
    assert "score" not in results(tmp_path, "ada")
    assert "not a zero" in results(tmp_path, "ben")["output"]


def test_a_course_that_changes_its_mind_marks_nobody_again(mark, toy):
    assert score(mark(submission("ada"))["ada"], 5.0).points == 0.0
    toy.edit("course.yml", "assignments:", "unreadable: empty\nassignments:")
    engine = Unreadable(Verdict.PASSED)
    assert score(mark(submission("ada"), engine=engine)["ada"], 5.0).points is None
    assert engine.jobs == []


def test_another_word_is_refused(toy):
    toy.edit("course.yml", "assignments:", "unreadable: zerro\nassignments:")
    with pytest.raises(Exception, match="did you mean 'zero'"):
        toy.course  # noqa: B018


def test_what_only_a_person_can_settle_has_no_score_whatever_the_course_says(mark, tmp_path):
    problem = "there are two submissions under this name, ada.py and ada.zip"
    grade = mark(submission("ada", problem=problem, undecided=True))["ada"]
    assert grade.state is State.UNDECIDED and score(grade, 5.0).points is None
    assert "score" not in results(tmp_path, "ada")
    assert feedback.note(grade) == f"needs your decision: {problem}"


def test_two_submissions_under_one_name_end_in_exit_code_1_and_an_empty_cell(toy, tmp_path, server):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("ada.py", "ada.ipynb"):
        (folder / name).write_text(toy.submission(), encoding="utf-8")
    (folder / "ben.py").write_text(toy.submission(), encoding="utf-8")
    (folder / "cleo.py").write_text("import nothing_of_the_kind\n", encoding="utf-8")
    options = ["--course", str(toy.root), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main.app, ["grade", "sequences", str(folder), *options])
    assert done.exit_code == 1, done.output
    rows = (tmp_path / "out" / "sequences" / "gradebook.csv").read_text().splitlines()
    ada, ben, cleo = (row.split(",") for row in rows[1:])
    assert (ada[1], ben[1], cleo[1]) == ("", "10", "0")
    assert (ada[5], ben[5], cleo[5]) == ("undecided", "tested", "not_imported")


def test_the_engine_tells_it_before_any_test_is_run(toy, server):
    engine = LocalEngine(toy.assignment, 1)
    try:
        text = b"import numpy\n!pip install gymnasium\n"
        found = [one for one in engine.run([Job("ada", {MAIN: text}, 1)]) if one.finished]
    finally:
        engine.close()
    assert found[0].outcomes == {} and not found[0].trouble
    assert "line 2 (!pip install gymnasium), is a line for notebooks" in found[0].problem
    assert found[0].error.startswith("SyntaxError")


# -- reports ---------------------------------------------------------------------------------------


def grade(student: str, state: State, **more) -> Grade:
    wall = {"uid": True, "seccomp": True}
    provenance = {"assignment": "sequences", "wall": wall}
    return Grade(student, (), "it is so", state=state, provenance=provenance, **more)


def test_the_report_counts_them_apart_and_lists_them_where_somebody_is_needed(toy, tmp_path):
    folder = tmp_path / "out" / "sequences"
    grades = [
        grade("ada", State.NOT_IMPORTED, error="SyntaxError: no"),
        grade("ben", State.NOT_OPENED),
        grade("cleo", State.UNDECIDED, counts_zero=False),
    ]
    for one in grades:
        result_files.write_results(folder, toy.assignment, 10.0, one)
    found = pages.write(toy.course, folder)
    assert found.percents == [] and found.ungraded == []
    assert [row.student for row in found.untested] == ["ada", "ben", "cleo"]
    page = (folder / pages.CLASS_PAGE).read_text()
    needed = page[page.index("Who needs you") : page.index("How the scores are spread")]
    for words in ("could not be imported, counts 0", "could not be opened, counts 0"):
        assert words in needed
    assert "needs your decision</td>" in needed and "decision, counts" not in needed
    own = (folder / "ada" / pages.STUDENT_PAGE).read_text()
    assert "<pre>  | SyntaxError: no</pre>" in own


def test_marks_of_a_submission_that_is_gone_are_said_to_be_old(mark, toy, tmp_path):
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    mark(submission("ada"), submission("ben", b"y = 1\n"), engine=engine)
    folder = tmp_path / "out" / "sequences"
    assert result_files.gone(folder) == []
    mark(submission("ben", b"y = 1\n"), engine=engine)
    assert result_files.gone(folder) == ["ada"]
    found = pages.write(toy.course, folder)
    assert [row.student for row in found.rows] == ["ben"]
    assert "old marks" in (folder / pages.CLASS_PAGE).read_text()
    roster = tmp_path / "roster.csv"
    roster.write_text("student\nada\nben\n")
    course = ["--course", str(toy.root), "--roster", str(roster)]
    done = CliRunner().invoke(main.app, ["gradebook", "sequences", str(tmp_path / "out"), *course])
    assert done.exit_code == 0 and "the marks of ada are old" in done.output
    mark(submission("ada"), submission("ben", b"y = 1\n"), engine=engine)
    assert result_files.gone(folder) == []


def test_half_written_results_say_that_they_are_not_final(toy, tmp_path):
    said = []

    class Watched(PaperEngine):
        def run(self, jobs):
            for progress in super().run(jobs):
                yield progress
                said.append(results(tmp_path, "ada")["output"])

    engine = Watched(Verdict.PASSED, Verdict.FAILED)
    grading = Grading(toy.course, toy.assignment, engine, tmp_path / "out", write_every=0.0)
    grading.run([submission("ada")], False, lambda grade, total: None)
    assert [text.startswith("Still being graded") for text in said] == [True, True, False]
