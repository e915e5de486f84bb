"""Rosters in, Canvas and Gradescope CSV out; who is ungraded or absent has an empty cell."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from toy import NAME
from typer.testing import CliRunner

from autograder.cli import main
from autograder.errors import CourseError
from autograder.export import gradebook as books
from autograder.marking import result_files
from autograder.model import Grade, Outcome, Verdict

PASSED = Outcome("test_a", "Sums are sums.", "sums", Verdict.PASSED, 7.0)
UNGRADED = replace(PASSED, verdict=Verdict.UNGRADED)
GRADES = {
    "ada": Grade(
        "ada",
        (PASSED,),
        late_days=2,
        late_factor=0.8,
        provenance={"received": "2027-02-07T00:00:00+00:00"},
    ),
    "bob": Grade("bob", (UNGRADED,), complete=False),
    "mallory": Grade("mallory", (PASSED,)),
}
OURS = 'student,name,sid,email,section,late_days\nada,Ada King Lovelace,1,ada@x.org,A,\nbob,"Byron, Bob",2,bob@x.org,B,3\ncy,Cy,3,cy@x.org,A,0\n'
CANVAS = 'Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n"Lovelace, Ada",77,s1,ada,A\n"Byron, Bob",78,s2,bob,A\n'
GRADESCOPE = (
    "First Name,Last Name,SID,Email,Sections\nAda,Lovelace,1,ada@x.org,A\nBob,Byron,2,bob@x.org,A\n"
)


@pytest.fixture
def roster(tmp_path):
    def write(text: str):
        path = tmp_path / "roster.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("text", [OURS, "\ufeff" + OURS, CANVAS, GRADESCOPE])
def test_three_kinds_of_roster_name_the_same_people(roster, text):
    people = books.read_roster(roster(text))
    for name in ("ada", "bob", "Ada"):
        assert books.owner(people, name).keys >= {name.casefold()}
    assert books.owner(people, "mallory") is None


def test_canvas_gets_its_columns_and_empty_cells(toy, roster):
    people = books.read_roster(roster(OURS))
    assert rows(books.canvas(toy.assignment, books.match(people, GRADES))) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Sequences"],
        ["    Points Possible", "", "", "", "", "7"],
        ["Ada King Lovelace", "", "1", "ada", "A", "5.6"],
        ["Byron, Bob", "", "2", "bob", "B", ""],
        ["Cy", "", "3", "cy", "A", ""],
    ]


def test_what_canvas_wrote_comes_back_as_it_was(toy, roster):
    people = books.read_roster(roster(CANVAS))
    found = rows(books.canvas(toy.assignment, books.match(people, GRADES)))
    assert found[2] == ["Lovelace, Ada", "77", "s1", "ada", "A", "5.6"]
    assert found[3] == ["Byron, Bob", "78", "s2", "bob", "A", ""]


def test_gradescope_gets_the_columns_of_its_own_export(toy, roster):
    people = books.read_roster(roster(OURS))
    head, ada, bob, cy = rows(books.gradescope(toy.assignment, books.match(people, GRADES)))
    assert head[:7] == [
        "First Name",
        "Last Name",
        "SID",
        "Email",
        "Sections",
        "Sequences",
        "Sequences - Max Points",
    ]
    assert ada == [
        "Ada King",
        "Lovelace",
        "1",
        "ada@x.org",
        "A",
        "5.6",
        "7",
        "2027-02-07T00:00:00+00:00",
        "48:00:00",
        "48:00:00",
    ]
    assert bob[:6] == ["Bob", "Byron", "2", "bob@x.org", "B", ""]
    assert cy[:6] == ["Cy", "", "3", "cy@x.org", "A", ""]


def test_a_stranger_and_who_is_absent_are_said(roster):
    path = roster(OURS)
    said = list(books.remarks(books.read_roster(path), ["ada", "bobb", "zed"], path))
    assert said == [
        f"bobb handed in and is not in {path}; is it bob?",
        f"zed handed in and is not in {path}",
        "no hand-in from bob, cy: their cells stay empty",
    ]


def test_marks_under_two_names_of_one_person_are_refused(roster):
    people = books.read_roster(roster(OURS))
    with pytest.raises(CourseError, match="ada has marks under two names, ada and 1: delete one"):
        books.match(people, {"ada": GRADES["ada"], "1": replace(GRADES["ada"], student="1")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "studnt,name\nada,Ada\n",
            ":1: a roster needs a column 'student' (or email, sid, SIS Login ID); is 'studnt' it?",
        ),
        (
            "foo,bar\nada,Ada\n",
            ":1: a roster needs a column 'student' (or email, sid, SIS Login ID); it has foo, bar",
        ),
        (
            "",
            ":1: a roster needs a column 'student' (or email, sid, SIS Login ID); it has no columns",
        ),
        ("student\nada\nADA\n", ":3: 'ada' stands in line 2 already"),
        ("student,name\n,Ada\n", ":2: this row names no student"),
        (
            "student,late_days\nada,two\n",
            ":2: late_days is 'two': a whole number of days is expected",
        ),
        ("student\n", ": there is nobody in this roster"),
        (b"student\n\xff\xfe\n", ": this is no CSV in UTF-8"),
    ],
)
def test_a_roster_that_cannot_be_read_is_explained(roster, text, said):
    path = roster(text)
    with pytest.raises(CourseError) as caught:
        books.read_roster(path)
    assert str(caught.value).startswith(f"{path}{said}")


def test_no_cell_of_a_roster_is_a_formula(toy, roster):
    people = books.read_roster(roster("student,name\nada,=HYPERLINK()\n"))
    assert rows(books.canvas(toy.assignment, books.match(people, {})))[2][0] == "'=HYPERLINK()"


# -- the commands ----------------------------------------------------------------------------------------------------


def invoke(*arguments: object):
    return CliRunner().invoke(main.app, [str(argument) for argument in arguments])


def test_the_command_writes_canvas_s_file_and_says_who_is_a_stranger(toy, roster, tmp_path):
    for grade in GRADES.values():
        result_files.write_results(tmp_path / "marks" / NAME, toy.assignment, 7.0, grade)
    said = invoke(
        "gradebook", NAME, tmp_path / "marks", "--roster", roster(OURS), "--course", toy.root
    )
    assert said.exit_code == 0 and "3 rows, 1 with points" in said.stdout
    assert "mallory handed in and is not in" in said.stderr and "no hand-in from cy" in said.stderr
    text = (tmp_path / "marks" / NAME / "canvas.csv").read_text()
    assert "mallory" not in text and "Ada King Lovelace,,1,ada,A,5.6" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gradebook", NAME, "nowhere", "--roster", "{roster}"), "there are no marks here"),
        (("gradebook", NAME, "nowhere", "--roster", "none.csv"), "none.csv: there is no such file"),
        (
            ("grade", NAME, "{folder}", "--out", "{folder}", "--only", "adda"),
            "--only adda: nobody of this name handed in; did you mean 'ada'?",
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
