"""What people read: results.json as Gradescope documents it, the gradebook, and a note for each."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from autograder.marking import feedback, result_files
from autograder.model import Grade, Mistake, Outcome, State, Verdict, from_data, to_data

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "gradescope_results.json").read_text())
STRONG = {
    "wall": {"uid": True, "seccomp": True, "landlock": True, "namespaces": True, "rlimits": True}
}
EXPECTED = "expected [0.31415926]"  # is in details, which students must not see

PASSED = Outcome("test_a", "Sums are sums.", "sums", Verdict.PASSED, 2.0)
FAILED = Outcome(
    "test_b", "Means are means.", "means", Verdict.FAILED, 3.0, hint="Think of n.",
    finding="the result has shape (2,); (3,) was expected.",
    error="ValueError: no\n  work.py:3 in mean\n    return x", prints="hello\n",
    mistakes=(Mistake("forgets-n", "n is forgotten."),),
    suspects=("forgets-n",), detail=f"not close: {EXPECTED}",
)  # fmt: skip
UNWRITTEN = Outcome(
    "test_c",
    "It ends.",
    "means",
    Verdict.NOT_WRITTEN,
    1.0,
    hint="End it.",
    error="NotImplementedError: TODO(means): end",
    detail=EXPECTED,
)
UNGRADED = Outcome(
    "test_d",
    "It rains.",
    "means",
    Verdict.UNGRADED,
    1.0,
    detail=f"the reference fails: {EXPECTED}\nmore",
)
WORTH = 7.0
PROBLEM = "gae.py is missing (it holds no Python file): name the file gae.py"


def grade(*outcomes: Outcome, student: str = "ada", **more) -> Grade:
    return Grade(student, outcomes, provenance=STRONG, **more)


GRADES = {
    "all kinds": grade(PASSED, FAILED, UNWRITTEN, UNGRADED, complete=False, seconds=1.5),
    "all passed": grade(PASSED),
    "failed": grade(PASSED, FAILED),
    "late": grade(PASSED, late_days=2, late_factor=0.8),
    "unopened": grade(problem=PROBLEM, state=State.NOT_OPENED),
    "cut off": grade(PASSED, complete=False),
}


@pytest.fixture
def assignment(toy):
    return toy.assignment


# -- results.json ----------------------------------------------------------------------------------


def test_the_schema_itself_is_one_and_refuses_what_gradescope_does_not_know():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for wrong in (
        {},
        {"tests": [{"points": 1}]},
        {"score": "1"},
        {"score": 1, "visibility": "secret"},
        {"tests": [{"status": "ungraded"}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize("name", GRADES)
def test_results_are_as_gradescope_documents_them(assignment, name):
    found = json.loads(
        json.dumps(result_files.results(assignment, WORTH, GRADES[name]), allow_nan=False)
    )
    jsonschema.validate(found, SCHEMA)
    assert len(found["tests"]) == len(GRADES[name].outcomes)
    # A hidden test would hide the total.
    assert not any("visibility" in test for test in found["tests"])


def test_points_and_verdicts_stand_with_each_test(assignment):
    passed, failed, unwritten, ungraded = result_files.results(
        assignment, WORTH, GRADES["all kinds"]
    )["tests"]
    assert (passed["name"], passed["score"], passed["max_score"], passed["status"]) == (
        "Sums are sums.",
        2.0,
        2.0,
        "passed",
    )
    assert (failed["score"], failed["max_score"], failed["status"], failed["tags"]) == (
        0.0,
        3.0,
        "failed",
        ["means"],
    )
    assert (unwritten["score"], unwritten["status"]) == (0.0, "failed")
    assert not {"score", "max_score", "status"} & ungraded.keys()
    assert [test["number"] for test in (passed, failed, unwritten, ungraded)] == [
        "1",
        "2",
        "3",
        "4",
    ]
    assert failed["extra_data"] == {"test": "test_b", "verdict": "failed"}


def test_a_learning_curve_stands_with_its_test_and_survives_the_way_back(assignment, tmp_path):
    trained = grade(dataclasses.replace(PASSED, curve=(0.5, 2.0)), FAILED)
    first, second = result_files.results(assignment, WORTH, trained)["tests"]
    assert first["extra_data"]["curve"] == [0.5, 2.0] and "curve" not in second["extra_data"]
    result_files.write_results(tmp_path, assignment, WORTH, trained)
    assert result_files.read_grade(tmp_path, "ada") == trained


def test_the_score_is_left_out_while_it_is_open(assignment):
    assert result_files.results(assignment, WORTH, GRADES["late"])["score"] == 1.6
    assert result_files.results(assignment, WORTH, GRADES["unopened"])["score"] == 0.0
    for name in ("all kinds", "cut off"):
        assert "score" not in result_files.results(assignment, WORTH, GRADES[name])


# -- what a student reads --------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", Verdict)
def test_a_student_never_reads_the_details(verdict):
    told = feedback.student_text(dataclasses.replace(FAILED, verdict=verdict))
    assert EXPECTED not in told and "forgets-n" not in told and "test_b" not in told


@pytest.mark.parametrize("name", GRADES)
def test_results_hold_no_details(assignment, name):
    assert EXPECTED not in json.dumps(result_files.results(assignment, WORTH, GRADES[name]))


def test_a_failed_test_is_explained_from_the_most_telling_to_the_student_s_own_lines():
    assert feedback.student_text(FAILED) == (
        "Failed.\n"
        "These are the numbers one gets when n is forgotten.\n"
        "the result has shape (2,); (3,) was expected.\n"
        "Your code:\n  | ValueError: no\n  |   work.py:3 in mean\n  |     return x\n"
        "Your code printed:\n  | hello"
    )


def test_without_a_mistake_the_hint_is_shown():
    text = feedback.student_text(dataclasses.replace(FAILED, mistakes=()))
    assert "Hint: Think of n." in text and "numbers one gets" not in text


def test_other_verdicts_are_said_in_a_sentence():
    assert feedback.student_text(PASSED) == "Passed."
    assert (
        feedback.student_text(UNWRITTEN)
        == "Not written yet.\nYour code:\n  | NotImplementedError: TODO(means): end"
    )
    assert (
        feedback.student_text(UNGRADED)
        == "Could not be graded, which is not your fault and costs you no points."
    )


def test_long_prints_are_cut():
    told = feedback.student_text(dataclasses.replace(FAILED, prints="x" * 5000))
    assert "x" * 2000 + " ..." in told and "x" * 2001 not in told


def test_a_student_s_prints_cannot_pose_as_ours():
    told = feedback.student_text(
        dataclasses.replace(FAILED, prints="a\n\x1b[2JPassed.\r\nHint: none\u2028Passed.", error="")
    )
    assert told.splitlines()[-4:] == ["  | a", "  | [2JPassed.", "  | Hint: none", "  | Passed."]


def test_a_file_name_in_a_problem_acts_on_no_terminal(assignment):
    told = result_files.results(
        assignment,
        WORTH,
        grade(
            problem="a\x1b[2J\x9b31m\nPassed.\u202e is a link: pack the file itself",
            state=State.NOT_OPENED,
        ),
    )
    assert told["output"].split("\n")[0] == (
        "Your submission could not be opened, so nothing was tested: "
        "a [2J 31m Passed.  is a link: pack the file itself."
    )
    assert told["extra_data"]["problem"].isprintable()


def test_what_staff_reads_acts_on_no_terminal_either(tmp_path, assignment):
    hostile = dataclasses.replace(FAILED, error="E\x9b2J\u202eE", prints="\x1b[2J", detail="\x9b")
    result_files.write_results(tmp_path, assignment, WORTH, grade(hostile))
    text = (tmp_path / "ada" / result_files.STAFF).read_text(encoding="utf-8")
    assert text.replace("\n", "").isprintable() and text.isascii()
    assert result_files.read_grade(tmp_path, "ada").outcomes == (hostile,)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("all passed", "Sequences: 2 of 7 points."),
        ("late", "Sequences: 1.6 of 7 points.\nSubmitted 2 days late: 20 % of 2 points are lost."),
        (
            "unopened",
            f"Your submission could not be opened, so nothing was tested: {PROBLEM}.\n"
            "As it is, it earns 0 of 7 points.",
        ),
        (
            "cut off",
            "Still being graded: 1 tests so far, and more will follow. Nothing below is final.",
        ),
        (
            "all kinds",
            "Not everything could be graded. That is not your fault, and nothing below counts as"
            " zero.\nNot written yet: means.\n"
            "One mistake explains your failed test:\n- N is forgotten. (test 2)",
        ),
    ],
)
def test_the_summary_says_how_it_stands(assignment, name, said):
    assert feedback.headline(assignment, WORTH, GRADES[name]) == said


def test_one_day_is_one_day(assignment):
    assert "Submitted 1 day late: 10 %" in feedback.headline(
        assignment, WORTH, grade(PASSED, late_days=1, late_factor=0.9)
    )


def test_a_weak_wall_is_said(assignment):
    weak = dataclasses.replace(
        GRADES["all passed"], provenance={"wall": {"uid": True, "seccomp": False}}
    )
    assert "Marked without the full wall" in feedback.headline(assignment, WORTH, weak)


# -- the gradebook ---------------------------------------------------------------------------------


def gradebook(tmp_path, assignment, *grades: Grade) -> list[dict[str, str]]:
    result_files.write_gradebook(tmp_path / "out", assignment, WORTH, grades)
    with (tmp_path / "out" / result_files.GRADEBOOK).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_gradebook_has_a_row_for_each_student_by_name(tmp_path, assignment):
    zoe, ada = (
        grade(PASSED, FAILED, UNWRITTEN, student="zoe", late_days=1, late_factor=0.5),
        grade(PASSED),
    )
    first, second = gradebook(tmp_path, assignment, zoe, ada)
    assert (first["student"], first["points"], first["worth"], first["percent"]) == (
        "ada",
        "2",
        "7",
        "28.57",
    )
    assert (second["student"], second["points"], second["late_days"]) == ("zoe", "1", "1")
    assert (second["passed"], second["failed"], second["not_written"], second["ungraded"]) == (
        "1",
        "1",
        "1",
        "0",
    )


@pytest.mark.parametrize("name", ["all kinds", "cut off"])
def test_what_is_ungraded_has_an_empty_cell_and_not_a_zero(tmp_path, assignment, name):
    (row,) = gradebook(tmp_path, assignment, GRADES[name])
    assert (row["points"], row["percent"]) == ("", "")
    assert row["note"].startswith("ungraded: ")


def test_what_cannot_be_opened_has_a_zero_and_a_reason(tmp_path, assignment):
    (row,) = gradebook(tmp_path, assignment, GRADES["unopened"])
    assert (row["points"], row["note"]) == ("0", f"could not be opened: {PROBLEM}")
    assert row["state"] == "not_opened"


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(tmp_path, assignment, first):
    evil = f"{first}cmd|'/C calc'!A1"
    row = gradebook(
        tmp_path,
        assignment,
        grade(dataclasses.replace(FAILED, mistakes=(), error=evil), student=evil),
    )[0]
    assert row["student"] == f"'{evil}" and row["note"] == f"'{evil}"


@pytest.mark.parametrize("break_", ["\r", "\n", "\t", "\x1b[2J", "\u2028", '"', ","])
def test_no_text_of_a_student_s_adds_a_row_or_a_cell(tmp_path, assignment, break_):
    odd = dataclasses.replace(
        FAILED,
        mistakes=(),
        error="",
        finding=f"an object of class {break_}mallory; a float was expected.",
    )
    (row,) = gradebook(tmp_path, assignment, grade(odd))
    assert row["note"].endswith("mallory; a float was expected.") and row.keys() == set(
        result_files.COLUMNS
    )
    assert all(c.isprintable() for c in row["note"])


@pytest.mark.parametrize(
    ("outcomes", "note"),
    [
        ((PASSED,), "all passed"),
        ((PASSED, FAILED), "n is forgotten."),
        (
            (
                FAILED,
                dataclasses.replace(FAILED, mistakes=(Mistake("forgets-m", "m is."),)),
                FAILED,
            ),
            "n is forgotten. (+1 more)",
        ),
        ((UNWRITTEN,), "not written yet: means"),
        ((dataclasses.replace(FAILED, mistakes=()),), "ValueError: no"),
        (
            (dataclasses.replace(FAILED, mistakes=(), error=""),),
            "the result has shape (2,); (3,) was expected.",
        ),
        (
            (dataclasses.replace(FAILED, mistakes=(), error="", finding=""),),
            "fails: Means are means.",
        ),
        ((UNGRADED, FAILED), f"ungraded: the reference fails: {EXPECTED}"),
        ((dataclasses.replace(UNGRADED, detail=""),), "ungraded: unknown"),
    ],
)
def test_the_note_says_what_stands_out(outcomes, note):
    assert feedback.note(grade(*outcomes)) == note


# -- writing and reading back ----------------------------------------------------------------------


@pytest.mark.parametrize("name", GRADES)
def test_a_grade_is_read_back_as_it_was_written(tmp_path, assignment, name):
    written = json.loads(json.dumps(dataclasses.asdict(GRADES[name])))
    result_files.write_results(tmp_path, assignment, WORTH, GRADES[name])
    found = result_files.read_grade(tmp_path, "ada")
    assert found == GRADES[name] and json.loads(json.dumps(dataclasses.asdict(found))) == written


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"outcomes": []}', '{"student": "ada", "outcomes": [{"test": 1}]}', "\udcff"],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path, assignment, damage):
    result_files.write_results(tmp_path, assignment, WORTH, GRADES["failed"])
    (tmp_path / "ada" / result_files.STAFF).write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert result_files.read_grade(tmp_path, "ada") is None


def test_a_grade_without_results_is_as_good_as_none(tmp_path, assignment):
    assert result_files.read_grade(tmp_path, "ada") is None
    result_files.write_results(tmp_path, assignment, WORTH, GRADES["failed"])
    (tmp_path / "ada" / result_files.RESULTS).unlink()
    assert result_files.read_grade(tmp_path, "ada") is None


def test_the_details_are_for_staff(tmp_path, assignment):
    result_files.write_results(tmp_path, assignment, WORTH, GRADES["failed"])
    assert EXPECTED in (tmp_path / "ada" / result_files.STAFF).read_text()
    assert EXPECTED not in (tmp_path / "ada" / result_files.RESULTS).read_text()


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    result_files.write_atomically(path, "old\n")

    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        result_files.write_atomically(path, "new\n")
    assert path.read_text() == "old\n" and os.listdir(tmp_path) == ["results.json"]


def test_what_a_killed_command_left_half_written_is_swept(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    for pid in (done.pid, os.getpid()):
        for place in (tmp_path, tmp_path / "ada"):
            place.mkdir(exist_ok=True)
            (place / f".{result_files.RESULTS}.{pid}.abc_1").write_text("{")
            (place / f".{result_files.GRADEBOOK}.{pid}.abc_1").write_text("stud")
    (tmp_path / "ada" / result_files.RESULTS).write_text("{}")
    result_files.sweep(tmp_path)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted(
        2
        * [
            f".{name}.{os.getpid()}.abc_1"
            for name in (result_files.RESULTS, result_files.GRADEBOOK)
        ]
        + [result_files.RESULTS]
    )


def test_text_that_cannot_be_encoded_is_written_all_the_same(tmp_path):
    result_files.write_atomically(tmp_path / "x", "half \ud800")
    assert (tmp_path / "x").read_text() == "half \\ud800"


def test_a_model_crosses_the_pipe_as_plain_data():
    for outcome in (PASSED, FAILED, UNWRITTEN, UNGRADED):
        assert from_data(Outcome, json.loads(json.dumps(to_data(outcome)))) == outcome
