"""What students get, and how a term becomes the next one."""

from __future__ import annotations

import zipfile
from datetime import date

import pytest
from toy import MAIN, NAME
from typer.testing import CliRunner

from autograder.authoring import release
from autograder.authoring.course import load_course
from autograder.authoring.roll_over import roll_over
from autograder.cli import main
from autograder.errors import CourseError


def call(toy, *arguments):
    return CliRunner().invoke(main.app, [*map(str, arguments), "--course", str(toy.root)])


def test_a_release_has_starters_syllabus_and_requirements(toy, tmp_path):
    done = call(toy, "release", tmp_path / "students")
    assert done.exit_code == 0, done.output
    there = {
        path.relative_to(tmp_path / "students").as_posix()
        for path in there_in(tmp_path / "students")
    }
    assert {"README.md", "SYLLABUS.md", "requirements.txt", f"{NAME}/{MAIN}"} <= there
    assert not any("solution" in name or "hidden" in name for name in there)
    text = (tmp_path / "students" / NAME / MAIN).read_text()
    assert "NotImplementedError" in text and "weights.sum()" not in text
    said = (tmp_path / "students" / "README.md").read_text()
    assert "A toy course" in said and "torch" not in said
    assert f"]({NAME}/README.md)" in (tmp_path / "students" / "SYLLABUS.md").read_text()


def there_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_same_release_has_the_same_bytes(toy, tmp_path):
    course = load_course(toy.root)
    release.write(course, tmp_path / "one.zip")
    release.write(course, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert set(archive.namelist()) == set(release.files(course))


def test_a_release_is_written_over_an_earlier_one_and_over_nothing_else(toy, tmp_path):
    course = load_course(toy.root)
    students = tmp_path / "students"
    (students / ".git").mkdir(parents=True)
    assert release.write(course, students) == release.write(course, students)
    (students / "thesis.tex").write_text("my own")
    with pytest.raises(CourseError, match="holds files that are not of a release"):
        release.write(course, students)


LEAKS = {
    "a solution in a plot": (
        "report.py",
        "weights = gamma ** np.arange(float(len(rewards)))\nreturn float(rewards @ weights)\n"
        "return numbers - numbers.mean()",
        f"solutions/{NAME}/{MAIN}",
    ),
    "a hidden assertion in the handout": (
        "README.md",
        'assert_close(student.discounted(rewards, 0.5), total, what="the sum")',
        f"grading/{NAME}/test_hidden.py",
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_release_that_shows_a_solution_is_refused(toy, name):
    file, text, place = LEAKS[name]
    path = toy.root / "assignments" / NAME / file
    before = path.read_text()
    path.write_text(f"{before}\n{text}\n")
    with pytest.raises(CourseError, match="take them out before you release it") as raised:
        release.files(load_course(toy.root))
    assert str(raised.value).startswith(f"{NAME}/{file} shows lines of {place}")


def test_requirements_of_all_starters_are_one_line_for_each_library(toy):
    toy.edit(f"assignments/{NAME}/assignment.yml", "numpy>=1.26", "numpy>=1.26, numpy<3")
    found = release.files(load_course(toy.root))["requirements.txt"]
    assert found == b"numpy<3,>=1.26\npytest-timeout>=2.3\npytest>=8\n"


def test_a_requirement_that_is_none_is_named(toy):
    toy.edit(f"assignments/{NAME}/assignment.yml", "numpy>=1.26", "'>=1.26'")
    with pytest.raises(CourseError, match=r"sequences: '>=1.26' is not a requirement"):
        release.files(load_course(toy.root))


# -- the next term ---------------------------------------------------------------------------------


def test_a_term_becomes_the_next_one(toy, tmp_path):
    (toy.root / "course.secret").write_text("old")
    (toy.root / "marks").mkdir()
    (toy.root / "marks" / "one.json").write_text("{}")
    roster = toy.write("roster.csv", "student\nada\n")
    kept = ("--archive", toy.root / "marks", "--archive", roster)
    done = call(toy, "roll-over", "Spring 2028: B", "2028-02-04", *kept)
    assert done.exit_code == 0, done.output
    course = load_course(toy.root)
    assert course.term == "Spring 2028: B"
    assert course.assignments[0].due.isoformat() == "2028-02-04T23:59:00+00:00"
    old = toy.root / "archive" / "Spring-2027"
    assert "Spring 2027" in (old / "course.yml").read_text()
    assert (old / "course.secret").read_text() == "old"
    assert (old / "marks" / "one.json").is_file() and not (toy.root / "marks").exists()
    assert (old / "roster.csv").is_file() and not roster.exists()
    assert course.secret not in (b"", b"old") and len(course.secret) >= 24


def test_every_date_moves_by_the_same_days_and_comments_stay(toy):
    text = (toy.root / "course.yml").read_text()
    toy.write("course.yml", f"# Ours.\n{text}")
    roll_over(load_course(toy.root), "Fall 2027", date(2027, 9, 3), [])
    text = (toy.root / "course.yml").read_text()
    assert text.startswith("# Ours.\n") and 'term: "Fall 2027"' in text
    assert "due: 2027-09-03T23:59:00+00:00" in text


REFUSED = {
    "the same term": ("Spring 2027", [], "the term is 'Spring 2027' already"),
    "a folder that is not there": ("Fall 2027", ["nowhere"], "there is no .*nowhere, so it cannot"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_term_that_cannot_roll_over_stays_as_it_is(toy, name):
    term, folders, reason = REFUSED[name]
    before = (toy.root / "course.yml").read_bytes()
    with pytest.raises(CourseError, match=reason):
        roll_over(
            load_course(toy.root), term, date(2027, 9, 3), [toy.root / one for one in folders]
        )
    assert (toy.root / "course.yml").read_bytes() == before
    assert not (toy.root / "archive").exists()


def test_a_term_is_archived_once(toy):
    roll_over(load_course(toy.root), "Fall 2027", date(2027, 9, 3), [])
    toy.edit("course.yml", '"Fall 2027"', "Spring 2027")
    with pytest.raises(CourseError, match="this term has been archived before"):
        roll_over(load_course(toy.root), "Fall 2028", date(2028, 9, 3), [])


def test_a_course_without_dates_has_nothing_to_move(toy):
    toy.edit("course.yml", ", due: 2027-02-05T23:59:00+00:00", "")
    with pytest.raises(CourseError, match="no assignment has a due date"):
        roll_over(load_course(toy.root), "Fall 2027", date(2027, 9, 3), [])
