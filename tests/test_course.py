"""course.yml and assignment.yml: every mistake is a CourseError that names file and key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pydantic
import pytest
import yaml
from toy import ASSIGNMENT, COURSE, NAME, Toy

from autograder.authoring import course
from autograder.authoring.course import find_root, load_assignment, load_course
from autograder.errors import CourseError

ASSIGNMENT_FILE = f"assignments/{NAME}/assignment.yml"


# -- what is read ----------------------------------------------------------------------------------


def test_a_course_holds_its_assignments_in_teaching_order(toy):
    toy.write(
        "assignments/afterwards/assignment.yml",
        ASSIGNMENT.replace("title: Sequences", "title: Afterwards"),
    )
    toy.write("course.yml", COURSE + "  afterwards: {}\n")
    found = toy.course
    assert (found.title, found.term, found.late.max_days) == ("A toy course", "Spring 2027", 3)
    assert [(a.name, a.title, a.weight) for a in found.assignments] == [
        ("sequences", "Sequences", 2),
        ("afterwards", "Afterwards", 1),
    ]
    assert found.assignments[0].due == datetime(2027, 2, 5, 23, 59, tzinfo=UTC)
    assert found.assignments[1].due is None


def test_an_assignment_knows_where_its_files_are(toy):
    found = toy.course.assignment(NAME)
    for path in (found.solution, found.hidden_tests, found.handout, found.starter):
        assert path.exists() and NAME in path.parts
    assert found.main == "sequences.py"
    assert (found.limits.call_seconds, found.limits.memory_mib, found.late.per_day) == (
        2,
        1024,
        0.1,
    )


def test_an_assignment_can_be_read_before_course_yml_names_it(toy):
    toy.write("assignments/draft/assignment.yml", ASSIGNMENT)
    assert load_assignment(toy.root, "draft").weight == 1
    (toy.root / "course.yml").unlink()
    assert load_assignment(toy.root, "draft").due is None


def test_a_term_may_give_weeks_instead_of_dates(toy):
    toy.edit("course.yml", "due: 2027-02-05T23:59:00+00:00", "week: 9")
    toy.edit("course.yml", "term:", "first_due: 2027-02-05 23:59 Europe/Berlin\nterm:")
    due = toy.assignment.due
    # Nine weeks later clocks have changed: the local hour stays.
    assert due == datetime(2027, 4, 2, 21, 59, tzinfo=UTC)
    assert (due.hour, toy.course.assignments[0].due) == (23, due)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2027-02-05 23:59 Europe/Berlin", 22),
        ("2027-02-05T23:59:00+01:00", 22),
        ("'2027-02-05 23:59 -0500'", 4),
        ("2027-02-05T23:59Z", 23),
        ("2027-10-31 02:30 Europe/Berlin", 1),  # comes twice: the later one
    ],
)
def test_a_due_date_may_name_a_zone(toy, text, hour):
    toy.edit("course.yml", "2027-02-05T23:59:00+00:00", text)
    assert toy.assignment.due.astimezone(UTC).hour == hour


def test_a_course_of_one_assignment_is_dated_as_before(toy):
    toy.edit("course.yml", "due: 2027-02-05T23:59:00+00:00", "week: 2")
    toy.edit("course.yml", "term:", "first_due: 2027-02-05 23:59 Europe/Berlin\nterm:")
    toy.edit("course.yml", "assignments:", f"tracks: {{all: [{NAME}]}}\nassignments:")
    due = toy.assignment.due
    toy.write("course.yml", yaml.safe_dump(course.course_of_one(toy.root, NAME)))
    assert toy.assignment.due == due and toy.course.tracks == {}


def test_a_track_holds_what_the_term_does_not_teach(toy):
    toy.write("assignments/other/assignment.yml", ASSIGNMENT)
    toy.edit("course.yml", "assignments:", f"tracks: {{all: [other, {NAME}]}}\nassignments:")
    found = toy.course
    assert [one.name for one in found.assignments] == [NAME]
    assert [one.name for one in found.catalogue] == ["other", NAME]
    assert found.assignment("other").due is None
    with pytest.raises(CourseError, match=r"called 'othr'; did you mean 'other'\?"):
        found.assignment("othr")


def test_course_and_assignment_are_frozen(toy):
    found = toy.course
    for thing, key in ((found, "title"), (found.assignments[0], "weight"), (found.late, "per_day")):
        with pytest.raises(pydantic.ValidationError):
            setattr(thing, key, 0)


def test_the_root_is_found_from_any_folder_inside(toy, monkeypatch):
    for folder in (toy.root, toy.root / "solutions" / NAME):
        monkeypatch.chdir(folder)
        assert find_root() == toy.root
    assert find_root(toy.root) == toy.root


def test_a_folder_that_is_given_must_be_the_course_s_own(toy, tmp_path):
    for folder in (tmp_path, toy.root / "solutions", tmp_path / "nowhere"):
        with pytest.raises(
            CourseError, match="call from inside the course's folder, or give it with --course DIR"
        ) as raised:
            find_root(folder)
        assert str(raised.value).startswith(f"{folder}: there is no course.yml")


def test_outside_of_any_course_it_is_the_one_that_the_engine_lies_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_root() == Path(course.__file__).parents[2]


def test_the_secret_comes_from_the_environment_or_else_the_file_or_is_empty(toy, monkeypatch):
    monkeypatch.delenv("AUTOGRADER_SECRET", raising=False)
    assert toy.course.secret == b""
    toy.write("course.secret", " from the file\n")
    assert toy.course.secret == b"from the file"
    monkeypatch.setenv("AUTOGRADER_SECRET", "from the environment")
    assert toy.course.secret == b"from the environment"


# -- mistakes --------------------------------------------------------------------------------------


def mistakes_of(toy: Toy) -> list[str]:
    with pytest.raises(CourseError) as raised:
        load_course(toy.root)
    return str(raised.value).splitlines()


COURSE_MISTAKES = {
    "a missing key": ("term: Spring 2027\n", "", "'term' is missing"),
    "an unknown key": ("term: Spring 2027", "term: x\ncolour: blue", "'colour' is not a known key"),
    "a misspelt key": (
        "term: Spring 2027",
        "term: x\ntitel: y",
        "'titel' is not a known key; did you mean 'title'?",
    ),
    "a misspelt key of an assignment": (
        "{weight: 2,",
        "{weigth: 2,",
        "'assignments.sequences.weigth' is not a known key",
    ),
    "a word for a number": (
        "{weight: 2,",
        "{weight: ten,",
        "assignments.sequences.weight is 'ten': input should be a valid number",
    ),
    "a negative weight": (
        "{weight: 2,",
        "{weight: -1,",
        "assignments.sequences.weight is -1: input should be greater than or equal to 0",
    ),
    "a due date without a zone": (
        "23:59:00+00:00",
        "23:59:00",
        "a time zone is expected, as in 2027-02-05 23:59 Europe/Berlin",
    ),
    "a due date that is none": (
        "2027-02-05T23:59:00+00:00",
        "soon",
        "assignments.sequences.due is 'soon': ",
    ),
    "more than everything for a day": ("per_day: 0.1", "per_day: 10", "late.per_day is 10: "),
    "a negative grace": ("grace_minutes: 15", "grace_minutes: -1", "late.grace_minutes is -1: "),
    "half a day": ("max_days: 3", "max_days: 2.5", "late.max_days is 2.5: "),
    "a day that does not exist": (
        "2027-02-05T23:59",
        "2027-02-30T23:59",
        "there is no such date: that month has 28 days",
    ),
    "a month that does not exist": ("2027-02-05T", "2027-13-05T", "months are 01 to 12"),
    "midnight as 24:00": (
        "05T23:59:00",
        "05T24:00:00",
        "a day ends at 23:59: write that, or 00:00 of the next day",
    ),
    "a minute that does not exist": ("23:59:00", "23:60:00", "there is no such time of day"),
    "an address that is none": (
        "term: Spring 2027",
        "term: Spring 2027\nregrade: ask me",
        "regrade is 'ask me': ",
    ),
    "a number for a date": (
        "2027-02-05T23:59:00+00:00",
        "20270205",
        "assignments.sequences.due is 20270205: a date with a time",
    ),
    "a date alone": ("T23:59:00+00:00", "", "a time of day is expected after the date"),
    "a date long ago": ("2027-02-05T", "0027-02-05T", "a year from 1970 to 2200 is expected"),
    "a misspelt zone": (
        "T23:59:00+00:00",
        " 23:59 Europe/Berln",
        "'Europe/Berln' is not a time zone; did you mean Europe/Berlin?",
    ),
    "an hour that clocks skip": (
        "2027-02-05T23:59:00+00:00",
        "2027-03-28 02:30 Europe/Berlin",
        "clocks skip this time that night",
    ),
    "a week without a first due date": (
        "due: 2027-02-05T23:59:00+00:00",
        "week: 2",
        "assignments.sequences has a 'week', so 'first_due' is needed",
    ),
    "a week and a date": (
        "{weight: 2,",
        "{week: 2,",
        "assignments.sequences has both 'due' and 'week': keep one",
    ),
    "a weight without an end": (
        "{weight: 2,",
        "{weight: .inf,",
        "assignments.sequences.weight is inf",
    ),
    "week nought": (
        "due: 2027-02-05T23:59:00+00:00",
        "week: 0",
        "assignments.sequences.week is 0: ",
    ),
    "an assignment of a track that is not there": (
        "assignments:",
        "tracks: {all: [sequence]}\nassignments:",
        "tracks.all names 'sequence', and there is no assignments/sequence/assignment.yml; "
        "did you mean 'sequences'?",
    ),
    "an assignment in two tracks": (
        "assignments:",
        "tracks: {one: [sequences], two: [sequences]}\nassignments:",
        "tracks: 'sequences' is there more than once (one and two): keep one",
    ),
    "a track that is not a list": (
        "assignments:",
        "tracks: {all: sequences}\nassignments:",
        "a list is expected, as in [a, b]",
    ),
    "a late rule left empty": (
        "late: {grace_minutes: 15, per_day: 0.1, max_days: 3}",
        "late:",
        "late is None: keys and values are expected",
    ),
    "no assignments": (
        "  sequences: {weight: 2, due: 2027-02-05T23:59:00+00:00}\n",
        "",
        "assignments is None: ",
    ),
}

ASSIGNMENT_MISTAKES = {
    "a misspelt file": (
        "submit: [sequences.py]",
        "submit: [sequence.py]",
        "submit is sequence.py, and solutions/sequences has no such file; did you mean",
    ),
    "a missing key": ("title: Sequences\n", "", "'title' is missing"),
    "a misspelt key": (
        "libraries:",
        "librarys:",
        "'librarys' is not a known key; did you mean 'libraries'?",
    ),
    "a misspelt limit": (
        "call_seconds: 2",
        "cal_seconds: 2",
        "'limits.cal_seconds' is not a known key",
    ),
    "a key of course.yml": (
        "title: Sequences",
        "title: Sequences\nweight: 3",
        "'weight' is not a known key",
    ),
    "nothing to submit": ("[sequences.py]", "[]", "submit is []: "),
    "a folder to submit": (
        "[sequences.py]",
        "[src/sequences.py]",
        "submit is ['src/sequences.py']: names of .py files without a folder",
    ),
    "a notebook to submit": (
        "[sequences.py]",
        "[sequences.ipynb]",
        "names of .py files without a folder are expected",
    ),
    "one name for a list": ("[sequences.py]", "sequences.py", "submit is 'sequences.py': "),
    "no time": (
        "call_seconds: 2",
        "call_seconds: 0",
        "limits.call_seconds is 0: input should be greater than 0",
    ),
    "half a mebibyte": ("call_seconds: 2", "memory_mib: 0.5", "limits.memory_mib is 0.5: "),
    "a list of parts": (
        "  sums: Discounted sums\n  means: Means and probabilities",
        "  - sums",
        "parts is ['sums']: ",
    ),
}


@pytest.mark.parametrize("name", COURSE_MISTAKES)
def test_a_mistake_in_course_yml_names_file_and_key(toy, name):
    old, new, words = COURSE_MISTAKES[name]
    toy.edit("course.yml", old, new)
    (line,) = mistakes_of(toy)
    assert line.startswith(f"{toy.root / 'course.yml'}: ")
    assert words in line


@pytest.mark.parametrize("name", ASSIGNMENT_MISTAKES)
def test_a_mistake_in_assignment_yml_names_file_and_key(toy, name):
    old, new, words = ASSIGNMENT_MISTAKES[name]
    toy.edit(ASSIGNMENT_FILE, old, new)
    (line,) = mistakes_of(toy)
    assert line.startswith(f"{toy.root / ASSIGNMENT_FILE}: ")
    assert words in line


TWICE = {
    "an assignment": ("course.yml", COURSE + "  sequences: {}\n", 6, "sequences"),
    "a key": ("course.yml", COURSE + "term: again\n", 6, "term"),
    "a key of the late rule": (
        "course.yml",
        COURSE.replace("max_days: 3", "max_days: 3, per_day: 0"),
        3,
        "per_day",
    ),
    "a key of an assignment": (ASSIGNMENT_FILE, ASSIGNMENT + "title: again\n", 9, "title"),
}


@pytest.mark.parametrize("name", TWICE)
def test_what_is_there_twice_is_refused(toy, name):
    file, text, line, key = TWICE[name]
    toy.write(file, text)
    (said,) = mistakes_of(toy)
    assert said.startswith(f"{toy.root / file}:{line}: '{key}' is in line ")
    assert said.endswith(" already: keep one of them")


def test_every_mistake_of_a_file_is_named_at_once(toy):
    toy.write("course.yml", "titel: x\nassignments: {}\n")
    lines = mistakes_of(toy)
    assert len(lines) == 3
    assert all(line.startswith(f"{toy.root / 'course.yml'}: ") for line in lines)


@pytest.mark.parametrize(
    ("file", "old", "new", "guess"),
    [
        ("course.yml", "{weight: 2,", "{weigth: 2,", "weight"),
        ("course.yml", "per_day: 0.1", "per_days: 0.1", "per_day"),
        (ASSIGNMENT_FILE, "call_seconds: 2", "cal_seconds: 2", "call_seconds"),
    ],
)
def test_near_names_are_offered_for_inner_keys_too(toy, file, old, new, guess):
    toy.edit(file, old, new)
    (line,) = mistakes_of(toy)
    assert f"did you mean '{guess}'?" in line


def test_a_file_that_is_missing_says_where_its_form_is_described(toy):
    toy.write("course.yml", COURSE + "  later: {}\n")
    (line,) = mistakes_of(toy)
    path = f"{toy.root}/assignments/later/assignment.yml"
    assert line == f"{path}: this file is missing: docs/AUTHORING.md says what is in it"


def test_what_is_no_yaml_is_named_with_its_line(toy):
    toy.write("course.yml", "title: x\nterm: [1, 2\nlate: {}\n")
    (line,) = mistakes_of(toy)
    assert line.startswith(f"{toy.root / 'course.yml'}:3: this is not YAML: ")


def test_bytes_that_are_no_text_are_no_yaml(toy):
    (toy.root / "course.yml").write_bytes(b"title: caf\xe9\n")
    assert mistakes_of(toy)[0].startswith(f"{toy.root / 'course.yml'}: this is not YAML: ")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_a_file_without_keys_says_what_is_expected(toy, text):
    toy.write("course.yml", text)
    (line,) = mistakes_of(toy)
    assert line == f"{toy.root / 'course.yml'}: keys and values are expected, as in 'title: ...'"


def test_an_unknown_assignment_is_answered_with_the_nearest_name(toy):
    with pytest.raises(
        CourseError, match=r"no assignment is called 'sequence'; did you mean 'sequences'\?"
    ):
        toy.course.assignment("sequence")


def test_an_assignment_unlike_any_is_answered_with_all_names(toy):
    with pytest.raises(
        CourseError, match="no assignment is called 'xyz'; there are sequences"
    ) as raised:
        toy.course.assignment("xyz")
    assert str(raised.value).startswith(f"{toy.root / 'course.yml'}: ")
