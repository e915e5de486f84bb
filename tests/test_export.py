"""Gradescope's zip and results.json, one submission at a time; otter's and nbgrader's source
notebooks. The tools themselves: tests/ecosystem."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import nbformat
import pytest
from toy import MAIN, NAME

from autograder.authoring.course import load_course
from autograder.errors import CourseError, SourceError
from autograder.export import gradescope, nbgrader, otter
from autograder.export.gradescope import autograde
from autograder.marking.score import lateness
from autograder.model import Verdict

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "gradescope_results.json").read_text())


@pytest.fixture
def locked(toy):
    """A toy course with the requirements that an image needs."""
    shutil.copytree(ROOT / "requirements", toy.root / "requirements")
    return toy


@pytest.fixture
def box(tmp_path, server):
    """A folder laid out as Gradescope's /autograder; `server` skips where there is no wall."""
    root = tmp_path / "autograder"
    (root / "submission").mkdir(parents=True)
    return root


def mark(toy, root: Path, text: str, name: str = MAIN) -> dict:
    (root / "submission" / name).write_text(text)
    autograde(load_course(toy.root), NAME, root)
    found = json.loads((root / "results" / "results.json").read_text())
    jsonschema.validate(found, SCHEMA)
    return found


# -- the zip ---------------------------------------------------------------------------------------


def test_the_zip_holds_what_marks_this_assignment_and_the_secret(locked):
    locked.write("course.secret", "shh")
    locked.edit("course.yml", "assignments:\n", "assignments:\n  other: {}\n")
    locked.write(
        "assignments/other/assignment.yml", "title: Other\nsubmit: [other.py]\nparts: {a: A}\n"
    )
    locked.write("solutions/other/other.py", "x = 1\n")
    course = locked.course
    archive = zipfile.ZipFile(io.BytesIO(gradescope.package(course, course.assignment(NAME))))
    names = set(archive.namelist())
    assert {
        "setup.sh",
        "run_autograder",
        "course.yml",
        "course.secret",
        f"grading/{NAME}/test_hidden.py",
    } <= names
    assert {
        "autograder/marking/start_up.py",
        "autograder/export/install.sh",
        "requirements/lock.txt",
        "requirements/image.sh",
    } <= names
    assert not [
        name
        for name in names
        if "other" in name or "__pycache__" in name or name.startswith("tests")
    ]
    assert "other" not in archive.read("course.yml").decode()
    assert all(
        archive.getinfo(name).external_attr >> 16 & 0o111 for name in ("setup.sh", "run_autograder")
    )
    assert gradescope.package(course, course.assignment(NAME)) == gradescope.package(
        course, course.assignment(NAME)
    )


def test_a_course_without_locked_requirements_is_told_so(toy):
    with pytest.raises(CourseError, match=r"lock\.txt: this file is missing"):
        gradescope.package(toy.course, toy.assignment)


def test_run_autograder_marks_in_a_folder_laid_out_as_gradescope_does(locked, box):
    with zipfile.ZipFile(
        io.BytesIO(gradescope.package(locked.course, locked.assignment))
    ) as archive:
        archive.extractall(box / "source")
    shutil.copy(box / "source" / "run_autograder", box / "run_autograder")
    (box / "run_autograder").chmod(0o755)
    (box / "submission_metadata.json").write_text("{}")
    (box / "submission" / MAIN).write_text(locked.submission())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "GRADER_PYTHON": sys.executable
    }
    done = subprocess.run(
        [box / "run_autograder"],
        cwd=box,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{NAME}: 10 of 10 points"
    found = json.loads((box / "results" / "results.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert found["score"] == 10


@pytest.mark.parametrize(
    "script",
    ["requirements/image.sh", "autograder/export/install.sh", "autograder/export/run_autograder"],
)
def test_the_scripts_are_sh(script):
    subprocess.run(["sh", "-n", ROOT / script], check=True)
    subprocess.run(["sh", "-n", "/dev/stdin"], input=gradescope.SETUP, text=True, check=True)


# -- one submission --------------------------------------------------------------------------------


def test_what_students_see_when_is_course_yml_s_affair(toy, box):
    text = toy.submission("gamma ** np.arange(float(len(rewards)))", "np.ones(len(rewards))")
    found = mark(toy, box, text)
    assert found["score"] == 5 and {test["visibility"] for test in found["tests"]} == {
        "visible"
    } == {found["visibility"]}
    toy.edit(
        "course.yml", "assignments:", "gradescope: {visibility: after_published}\nassignments:"
    )
    assert mark(toy, box, text)["visibility"] == "after_published"
    toy.edit("course.yml", "{weight: 2,", "{weight: 2, visibility: after_due_date,")
    found = mark(toy, box, text)
    assert (
        {test["visibility"] for test in found["tests"]}
        == {"after_due_date"}
        == {found["visibility"]}
    )


def test_lateness_is_left_to_gradescope_unless_the_course_says_otherwise(toy, box):
    (box / "submission_metadata.json").write_text(
        json.dumps({"created_at": "2027-02-06T12:00:00.000000+00:00"})
    )
    assert mark(toy, box, toy.submission())["score"] == 10
    toy.edit("course.yml", "assignments:", "gradescope: {late: course}\nassignments:")
    found = mark(toy, box, toy.submission())
    assert found["score"] == 9 and "Submitted 1 day late" in found["output"]


@pytest.mark.parametrize(
    ("users", "score"),
    [
        ([{"assignment": {"due_date": "2027-02-06T23:59:00.000000+00:00"}}], 10),
        ([{"assignment": {"due_date": "2027-02-06T00:00:00.000000-08:00"}}], 9),
        ([{"assignment": {"due_date": "2027-02-04T23:59:00.000000+00:00"}}], 9),
        ([{}, {"assignment": {"due_date": "2027-02-09T23:59:00.000000+00:00"}}], 10),
        ([{"assignment": {"due_date": None}}], 9),
        ([{"assignment": {"due_date": "soon"}}, "nobody", None], 9),
        ({"a": 1}, 9),
        ([], 9),
    ],
)
def test_an_extension_given_in_gradescope_counts_under_the_course_s_late_rule(
    users, score, tmp_path, toy
):
    metadata = {"created_at": "2027-02-06T12:00:00.000000+00:00", "users": users}
    (tmp_path / "submission_metadata.json").write_text(json.dumps(metadata))
    received, due = gradescope._times(tmp_path)
    latest = max(time for time in (toy.assignment.due, due) if time)
    assert 10 * lateness(received, latest, toy.assignment.late)[1] == score


def test_gradescope_s_later_date_is_the_one_that_marking_uses(toy, box):
    toy.edit("course.yml", "assignments:", "gradescope: {late: course}\nassignments:")
    users = [{"assignment": {"due_date": "2027-02-07T23:59:00.000000+00:00"}}]
    metadata = {"created_at": "2027-02-06T12:00:00.000000+00:00", "users": users}
    (box / "submission_metadata.json").write_text(json.dumps(metadata))
    found = mark(toy, box, toy.submission())
    assert found["score"] == 10
    assert found["extra_data"]["provenance"]["late"]["due"].startswith("2027-02-07")


def test_learning_checks_have_a_leaderboard(toy, box):
    toy.edit_hidden('catches="sums-to-n", ', "learning=True, ")
    board = mark(toy, box, toy.submission())["leaderboard"]
    assert board == [
        {"name": "Learning checks passed", "value": 1, "order": "desc"},
        {"name": "Softmax gives probabilities with the right odds.", "value": 3.0, "order": "desc"},
    ]


def test_results_are_written_as_tests_end(toy, box, monkeypatch):
    seen: list[int] = []
    write = gradescope._write
    monkeypatch.setattr(
        gradescope,
        "_write",
        lambda path, data: (
            seen.append(len(data["tests"])),
            jsonschema.validate(data, SCHEMA),
            write(path, data),
        ),
    )
    mark(toy, box, toy.submission())
    assert len(seen) > 2 and seen[-1] == 4 and sorted(seen) == seen


def test_what_is_ungraded_leaves_no_score(toy, box):
    # The solution fails this hidden test.
    toy.edit_hidden("numbers.sum() / 7", "numbers.sum() / 8")
    (box / "results").mkdir()
    (box / "results" / "results.json").write_text("an old one")
    (box / "submission" / MAIN).write_text(toy.submission())
    grade = autograde(load_course(toy.root), NAME, box)
    assert any(outcome.verdict is Verdict.UNGRADED for outcome in grade.outcomes)
    assert sorted(path.name for path in (box / "results").iterdir()) == ["ungraded.json"]
    assert "score" not in json.loads((box / "results" / "ungraded.json").read_text())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sequences.zip", "no zip", "sequences.zip is not a zip file that can be opened"),
        ("sequences.ipynb", "no notebook", "sequences.ipynb cannot be read as a notebook"),
        ("notes.txt", "hello", "sequences.py is missing"),
    ],
)
def test_what_cannot_be_opened_is_a_zero_with_a_reason(toy, box, name, content, said):
    found = mark(toy, box, content, name)
    assert found["score"] == 0 and said in found["output"]


def test_a_near_name_is_said(toy, box):
    (box / "submission" / "helper.py").write_text("")
    found = mark(toy, box, toy.submission(), "sequence.py")
    assert found["score"] == 0 and "the nearest name is sequence.py" in found["output"]


def test_without_a_submission_folder_the_remedy_is_said(toy, tmp_path):
    with pytest.raises(CourseError, match="there is no such folder: mount the submission there"):
        autograde(toy.course, NAME, tmp_path)


# -- otter and nbgrader ----------------------------------------------------------------------------


def test_otter_s_master_notebook_marks_every_block_and_every_test(toy):
    cells = nbformat.reads(otter.files(toy.assignment)["sequences.ipynb"].decode(), 4).cells
    text = "\n".join(cell.source for cell in cells)
    assert (
        text.count("# BEGIN SOLUTION NO PROMPT")
        == text.count("# END SOLUTION")
        == text.count("# BEGIN PROMPT")
        == 3
    )
    assert (
        text.count("# BEGIN QUESTION") == len(toy.tests)
        and "### " not in text
        and "BUG" not in text
    )
    assert 'raise NotImplementedError("TODO(means): subtract the mean.")' in text


def test_nbgrader_s_source_has_the_points_of_every_test(toy):
    files = nbgrader.files(toy.course, toy.assignment)
    cells = nbformat.reads(files[f"source/{NAME}/sequences.ipynb"].decode(), 4).cells
    marks = [cell.metadata["nbgrader"] for cell in cells if "nbgrader" in cell.metadata]
    assert {m["grade_id"]: m["points"] for m in marks if m["grade"]} == {
        name: test.worth for name, test in toy.tests.items()
    }
    assert sum(m["solution"] for m in marks) == 3 and all(m["schema_version"] == 3 for m in marks)
    assert "configure(c" in files["nbgrader_config.py"].decode()


@pytest.mark.parametrize(
    "files",
    [
        lambda toy: otter.files(toy.assignment),
        lambda toy: nbgrader.files(toy.course, toy.assignment),
    ],
)
def test_a_wrong_marker_is_found_before_anything_is_written(toy, files):
    toy.edit_solution("# TODO(means): subtract the mean.", "# TODO: subtract the mean.")
    with pytest.raises(SourceError):
        files(toy)


@pytest.mark.parametrize(
    "files",
    [
        lambda toy: otter.files(toy.assignment),
        lambda toy: nbgrader.files(toy.course, toy.assignment),
    ],
)
def test_no_hidden_test_is_in_what_these_tools_get(toy, files):
    everything = b"".join(files(toy).values()).decode()
    assert "weights.mean()" not in everything and "numbers.sum() / 7" not in everything
