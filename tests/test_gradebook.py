"""Canvas and Gradescope CSV, and the course total; an ungraded student has an empty cell."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from toy import ASSIGNMENT, NAME
from typer.testing import CliRunner

from autograder.cli import main, platforms
from autograder.errors import CourseError
from autograder.export import gradebook as books
from autograder.marking import result_files
from autograder.marking.roster import Roster, read_roster
from autograder.marking.submission import Submission
from autograder.model import Grade, Outcome, Verdict

PASSED = Outcome("test_a", "Sums are sums.", "sums", Verdict.PASSED, 7.0)
UNGRADED = replace(PASSED, verdict=Verdict.UNGRADED)
GRADES = {
    "ada": Grade(
        "ada",
        (PASSED,),
        late_days=2,
        late_factor=0.8,
        provenance={
            "received": "2027-02-07T00:00:00+00:00",
            "late": {"due": "2027-02-05T23:59:00+00:00"},
        },
    ),
    "bob": Grade("bob", (UNGRADED,), complete=False),
    "mallory": Grade("mallory", (PASSED,)),
}
OURS = """\
student,name,sid,email,section,late_days
ada,Ada King Lovelace,1,ada@x.org,A,
bob,"Byron, Bob",2,bob@x.org,B,3
cy,Cy,3,cy@x.org,A,0
"""
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section
    Points Possible,,,,
"Lovelace, Ada",77,s1,ada,A
"Byron, Bob",78,s2,bob,A
"""


@pytest.fixture
def roster(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "roster.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def book(write, assignment, roster: Roster, grades=GRADES) -> list[list[str]]:
    return rows(write(roster, [books.column(assignment, roster, grades)]))


def test_canvas_gets_its_columns_and_empty_cells(toy, roster):
    assert book(books.canvas, toy.assignment, read_roster(roster(OURS))) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Sequences"],
        ["    Points Possible", "", "", "", "", "7"],
        ["Ada King Lovelace", "", "1", "ada", "A", "5.6"],
        ["Byron, Bob", "", "2", "bob", "B", ""],
        ["Cy", "", "3", "cy", "A", ""],
    ]


def test_moodle_gets_points_and_the_summary_beside_them(toy, roster):
    head, ada, bob, cy = book(books.moodle, toy.assignment, read_roster(roster(OURS)))
    assert head == [
        *("First name", "Last name", "Username", "ID number", "Email address"),
        *("Sequences", "Sequences (feedback)"),
    ]
    assert ada[:6] == ["Ada King", "Lovelace", "ada", "1", "ada@x.org", "5.6"]
    assert ada[6].startswith("Sequences: 5.6 of 7 points. Submitted 2 days late: 20 % of")
    assert bob[5] == "" and bob[6].startswith("Not everything could be graded.")
    assert cy[5:] == ["", ""]


def test_what_canvas_wrote_comes_back_as_it_was(toy, roster):
    found = book(books.canvas, toy.assignment, read_roster(roster(CANVAS)))
    assert found[2] == ["Lovelace, Ada", "77", "s1", "ada", "A", "5.6"]
    assert found[3] == ["Byron, Bob", "78", "s2", "bob", "A", ""]


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        ("Sequences (48213)", "Sequences (48213)"),
        ("Other (1),sequences (48213) ,Sequences", "sequences (48213)"),
        ("Sequences (a draft),More Sequences (3)", "Sequences"),
    ],
)
def test_canvas_s_number_of_the_assignment_comes_back(toy, roster, columns, head):
    lines = CANVAS.split("\n")
    count = columns.count(",") + 1
    text = "\n".join([f"{lines[0]},{columns}", *(f"{line}{',' * count}" for line in lines[1:3])])
    assert book(books.canvas, toy.assignment, read_roster(roster(text)))[0][5] == head


def test_two_assignments_of_one_name_on_canvas_are_not_guessed(toy, roster):
    text = CANVAS.replace("Section\n", "Section,Sequences (1),Sequences (2)\n")
    with pytest.raises(CourseError, match="several assignments called 'Sequences'"):
        book(books.canvas, toy.assignment, read_roster(roster(text)))


def test_gradescope_gets_the_columns_of_its_own_export(toy, roster):
    head, ada, bob, cy = book(books.gradescope, toy.assignment, read_roster(roster(OURS)))
    first = ["First Name", "Last Name", "SID", "Email", "Sections", "Sequences"]
    assert head[:7] == [*first, "Sequences - Max Points"]
    assert ada[:6] == ["Ada King", "Lovelace", "1", "ada@x.org", "A", "5.6"]
    assert ada[6:] == ["7", "2027-02-07T00:00:00+00:00", "24:01:00", "24:01:00"]
    assert bob[:6] == ["Bob", "Byron", "2", "bob@x.org", "B", ""]
    assert cy[:6] == ["Cy", "", "3", "cy@x.org", "A", ""] and cy[7:9] == ["", ""]


def test_our_own_columns_are_per_cent(toy, roster):
    assert book(books.plain, toy.assignment, read_roster(roster(OURS)))[:3] == [
        ["student", "name", "section", "Sequences (%)"],
        ["ada", "Ada King Lovelace", "A", "80.00"],
        ["bob", "Byron, Bob", "B", ""],
    ]


def test_what_cannot_be_opened_has_no_points_out_of_what_others_can_have(toy, roster):
    grades = {"ada": GRADES["ada"], "cy": Grade("cy", (), problem="it is encrypted")}
    people = read_roster(roster(OURS))
    found = books.column(toy.assignment, people, grades)
    assert (found.cell("cy"), found.percent("cy"), found.worth) == ("0", 0.0, 7.0)


def test_a_group_has_one_grade(toy, roster):
    known = {"known_as": ["bob@x.org", "cy@x.org"]}
    grades = {"bob": replace(GRADES["ada"], student="bob", provenance=known)}
    found = books.column(toy.assignment, read_roster(roster(OURS)), grades)
    assert found.points == {"bob": 5.6, "cy": 5.6}


def test_marks_under_two_names_of_one_person_are_refused(toy, roster):
    people = read_roster(roster(OURS))
    grades = {"ada": GRADES["ada"], "1": replace(GRADES["ada"], student="1")}
    with pytest.raises(CourseError, match="ada has marks under two names, ada and 1: delete"):
        books.column(toy.assignment, people, grades)


def test_no_cell_of_a_roster_is_a_formula(toy, roster):
    people = read_roster(roster("student,name\nada,=HYPERLINK()\n"))
    assert book(books.canvas, toy.assignment, people, {})[2][0] == "'=HYPERLINK()"


# -- the course total ------------------------------------------------------------------------------


def column(title: str, weight: float, worth: float, **points: float | None) -> books.Column:
    return books.Column(title, worth, points, weight)


def test_the_total_is_the_weighted_mean_of_what_is_marked(roster):
    people = read_roster(roster("student\nada\nbob\ncy\ndi\n"))
    columns = [
        column("One", 1, 10, ada=10, bob=5, cy=5),
        column("Two", 3, 4, ada=1, cy=None),
        column("Not counted", 0, 4, di=4),
    ]
    found = books.total(people, columns)
    # ada: (100 + 3 * 25) / 4; bob did not submit Two; cy is ungraded; di submitted nothing counted.
    assert found.column.points == {"ada": 43.75, "bob": 12.5, "cy": None}
    open_, missing = found.remarks
    assert open_ == "no total, because something is ungraded: cy (Two)"
    assert missing.endswith(": bob (Two); di (One, Two)") and "counts as 0" in missing
    assert rows(books.plain(people, [*columns, found.column])) == [
        ["student", "name", "section", "One (%)", "Two (%)", "Not counted (%)", "Course total (%)"],
        ["ada", "ada", "", "100.00", "25.00", "", "43.75"],
        ["bob", "bob", "", "50.00", "", "", "12.50"],
        ["cy", "cy", "", "50.00", "", "", ""],
        ["di", "di", "", "", "", "100.00", ""],
    ]
    assert rows(books.canvas(people, [found.column]))[1][5] == "100"


def test_a_total_without_weights_is_not_made(roster):
    people = read_roster(roster("student\nada\n"))
    with pytest.raises(CourseError, match="no assignment that is marked has a weight"):
        books.total(people, [column("One", 0, 10, ada=10)])


# -- the commands ----------------------------------------------------------------------------------


def invoke(*arguments: object):
    return CliRunner().invoke(main.app, [str(argument) for argument in arguments])


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_command_writes_canvas_s_file_and_says_who_is_a_stranger(toy, roster, tmp_path):
    for grade in GRADES.values():
        result_files.write_results(tmp_path / "marks" / NAME, toy.assignment, 7.0, grade)
    said = invoke(
        "gradebook", NAME, tmp_path / "marks", "--roster", roster(OURS), "--course", toy.root
    )
    assert said.exit_code == 0 and "3 rows, 1 with points" in said.stdout
    assert "mallory submitted and is not in" in said.stderr
    assert "no submission from Cy (cy)" in said.stderr
    text = (tmp_path / "marks" / NAME / "canvas.csv").read_text()
    assert "mallory" not in text and "Ada King Lovelace,,1,ada,A,5.6" in text


def test_grade_matches_times_and_late_days_with_the_roster(roster, tmp_path, capsys):
    (tmp_path / "received.csv").write_text(
        "ADA@x.org;2027-02-05 23:59 Europe/Berlin\nnobody;2027-02-05 23:59 UTC\n"
    )
    read = [Submission("1"), Submission("bob")]
    read, days = platforms.look_up(read, tmp_path, None, roster(OURS))
    assert [one.received and one.received.hour for one in read] == [23, None]
    assert days == {"1": 0, "bob": 3}
    said = flat(capsys.readouterr().err)
    assert "'nobody' matches no submission" in said and "no time for bob" in said
    assert "no submission from Cy (cy)" in said


def test_without_a_roster_names_alone_are_matched(tmp_path, capsys):
    (tmp_path / "received.csv").write_text("ADA,2027-02-05 23:59 UTC\n")
    read, days = platforms.look_up([Submission("ada")], tmp_path, "ada", None)
    assert read[0].received is not None and days == {} and capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["canvas", "gradescope", "moodle", "plain"])
def test_the_total_is_written_over_all_that_is_marked(toy, roster, tmp_path, form):
    toy.write(
        "assignments/series/assignment.yml", ASSIGNMENT.replace("title: Sequences", "title: Series")
    )
    toy.write("assignments/later/assignment.yml", ASSIGNMENT)
    toy.edit("course.yml", "assignments:", "assignments:\n  series: {weight: 6}\n  later: {}")
    for name, grade in (("ada", GRADES["ada"]), ("ada", replace(GRADES["ada"], late_factor=0.4))):
        place = NAME if grade is GRADES["ada"] else "series"
        assignment = toy.course.assignment(place)
        result_files.write_results(tmp_path / "marks" / place, assignment, 7.0, grade)
        assert name == grade.student
    said = invoke(
        "gradebook", "--total", tmp_path / "marks", "--roster", roster(OURS),
        "--format", form, "--course", toy.root,
    )  # fmt: skip
    assert said.exit_code == 0, said.stderr
    assert "not marked yet and not in the total: later" in flat(said.stderr)
    text = (tmp_path / "marks" / f"total-{form}.csv").read_text()
    # (2 * 80 + 6 * 40) / 8
    assert ("50.00" if form == "plain" else ",50") in text
    assert ("Series" in text) == (form != "canvas")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gradebook", NAME, "nowhere", "--roster", "{roster}"), "there are no marks here"),
        (("gradebook", NAME, "nowhere", "--roster", "none.csv"), "none.csv: there is no such file"),
        (("gradebook", NAME, "nowhere"), "who takes the course? Say so with --roster FILE.csv"),
        (("gradebook", NAME, "--roster", "{roster}"), "or gradebook --total MARKS"),
        (
            ("gradebook", "--total", "nowhere", "--roster", "{roster}"),
            "nowhere: there are no marks of this term's assignments here",
        ),
        (
            ("gradebook", NAME, "--total", "nowhere", "--roster", "{roster}"),
            "--total MARKS adds up all assignments: leave their names out",
        ),
        (
            ("grade", NAME, "{folder}", "--out", "{folder}", "--only", "adda"),
            "--only adda: nobody of this name submitted; did you mean 'ada'?",
        ),
        (("autograde", "", "{folder}"), "which assignment? Say so with -e ASSIGNMENT=gae"),
        (
            ("autograde", "sequence", "{folder}"),
            "no assignment is called 'sequence'; did you mean 'sequences'?",
        ),
        (
            ("export", "otter", "sequence"),
            "no assignment is called 'sequence'; did you mean 'sequences'?",
        ),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(toy, roster, tmp_path, arguments, said):
    (tmp_path / "submission").mkdir()
    toy.write("hand_ins/ada.py", "x = 1\n")
    places = {
        "roster": roster(OURS),
        "folder": toy.root / "hand_ins" if arguments[0] == "grade" else tmp_path,
    }
    done = invoke(*(str(word).format(**places) for word in arguments), "--course", toy.root)
    assert done.exit_code == 2 and said in " ".join(done.stderr.split())
