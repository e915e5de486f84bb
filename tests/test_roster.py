"""Rosters as people and platforms write them, and whose submission is whose."""

from __future__ import annotations

import unicodedata

import pytest
from test_gradebook import CANVAS, OURS

from autograder.errors import CourseError
from autograder.marking.roster import read_roster

GRADESCOPE = (
    "First Name,Last Name,SID,Email,Sections\nAda,Lovelace,1,ada@x.org,A\nBob,Byron,2,bob@x.org,A\n"
)


@pytest.fixture
def roster(tmp_path):
    def read(text: str | bytes, encoding: str = "utf-8"):
        path = tmp_path / "roster.csv"
        path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
        return read_roster(path)

    return read


def students(roster) -> list[str]:
    return [person.student for person in roster.people]


@pytest.mark.parametrize(
    "text",
    [
        OURS,
        "\ufeff" + OURS,
        CANVAS,
        GRADESCOPE,
        OURS.replace(",", ";").replace('"Byron; Bob"', "Bob Byron"),
        GRADESCOPE.replace(",", ";"),
        GRADESCOPE.replace(",", "\t"),
        "\ufeffsep=;\r\n" + GRADESCOPE.replace(",", ";"),
        CANVAS.replace("\n", "\r\n"),
        "First name,Surname,Username,ID number,Email address\nAda,L,ada,1,a@x\nBob,B,bob,2,b@x\n",
    ],
)
def test_every_kind_of_roster_names_the_same_people(roster, text):
    people = roster(text)
    ada, bob = people.owner("ada"), people.owner("Bob")
    assert ada is not None and bob is not None and ada is not bob
    assert people.owner("mallory") is None and not people.remarks


@pytest.mark.parametrize(
    ("written", "submitted"),
    [
        ("Eve Stone", "Eve_Stone"),
        ("Eve Stone", "eve stone"),
        ('"Stone, Eve"', "Stone__Eve"),
        ("Siobhán O'Neil", "SIOBHÁN_O_NEIL"),
        (unicodedata.normalize("NFD", "Renée"), unicodedata.normalize("NFC", "Renée")),
        (unicodedata.normalize("NFC", "Renée"), unicodedata.normalize("NFD", "Renée")),
        ("estone@uni.example", "estone"),
        ("STRASSE", "straße"),
    ],
)
def test_a_name_is_recognised_however_it_is_written(roster, written, submitted):
    people = roster(f"student,email,late_days\n{written},{written},3\n")
    assert people.owner(submitted).late_days == 3


def test_every_unique_name_of_a_person_will_do(roster):
    people = roster(
        "student,name,login,sid,email\n"
        "ada1,Ada King,aking,77,Ada.King@x.org\n"
        "bob,Bob,b,78,b2@x.org\n"
    )
    for name in ("ada1", "AKING", "77", "ada.king@X.org", "ada.king", "Ada_King", "King, Ada"):
        assert people.owner(name) is people.people[0], name


def test_canvas_s_names_of_files_are_recognised(roster):
    people = roster(CANVAS + '"O\'Neil, Zoë",80,s3,zo,A\n' + '"Byron, Bob",81,s4,bb,A\n')
    assert people.owner("lovelaceada").student == "ada"
    assert people.owner("oneilzoë").student == "zo"
    assert people.owner("byronbob") is None
    assert people.owner("byronbob_81").student == "bb"
    assert people.owner("somebody", "78").student == "bob"


def test_a_group_is_all_whose_addresses_are_known(roster):
    people = roster(OURS)
    assert [one.student for one in people.owners("bob", "bob@x.org", "ada@x.org", "3")] == [
        "bob",
        "ada",
    ]
    assert people.owners("nobody", "no@x.org") == []


def test_two_people_with_one_part_before_the_at_are_two_people(roster):
    people = roster("student,email\nada1,jsmith@u.edu\nbob1,jsmith@alumni.u.edu\n")
    assert students(people) == ["ada1", "bob1"] and people.owner("jsmith") is None
    assert people.owner("jsmith@u.edu").student == "ada1"
    (remark,) = people.remarks
    assert "lines 2 and 3 share the part before the @ 'jsmith': it names none of them" in remark


def test_a_weaker_name_never_takes_another_s_stronger_one(roster):
    people = roster("student,sid,email\nada,bob,x@u.edu\nbob,1,ada@v.edu\n")
    assert (people.owner("ada").sid, people.owner("bob").sid) == ("bob", "1")


def test_a_placeholder_for_a_number_names_nobody_and_stops_nobody(roster):
    people = roster("student,sid\nada,0\nbob,0\n")
    assert students(people) == ["ada", "bob"] and people.owner("0") is None
    assert len(people.remarks) == 1


def test_one_incomplete_row_is_one_warning(roster, tmp_path):
    people = roster("student,name\nada,Ada\n,Nobody\nbob,Bob\n,\n\n")
    assert students(people) == ["ada", "bob"]
    (remark,) = people.remarks
    assert remark.startswith(f"{tmp_path / 'roster.csv'}:3: this row names no student")


def test_staff_and_test_students_are_not_students(roster):
    people = roster(
        "Name,Email,Role\nAda,ada@x,Student\nTom,tom@x,TA\nIna,ina@x,Instructor\nBob,bob@x,\n"
    )
    assert students(people) == ["ada@x", "bob@x"]
    (remark,) = people.remarks
    assert "not students and passed over: line 3 (TA), line 4 (Instructor)" in remark
    people = roster(CANVAS + '"Student, Test",79,,3f1c9a7be0d24b6a,A\n')
    assert students(people) == ["ada", "bob"] and "line 5 (Test Student)" in people.remarks[0]


def test_a_stranger_and_who_is_absent_are_said(roster):
    people = roster(OURS)
    assert list(people.remarks_on({"ada": (), "bobb": (), "zed": ()})) == [
        f"bobb submitted and is not in {people.path}; is it bob?",
        f"zed submitted and is not in {people.path}",
        "no submission from Byron, Bob (bob), Cy (cy): their cells stay empty",
    ]


@pytest.mark.parametrize("days", ["3", "03", "3.0", ""])
def test_late_days_are_whole_days(roster, days):
    assert roster(f"student,late_days\nada,{days}\n").people[0].late_days == (3 if days else 0)


NEEDS = ":1: a roster needs a column 'student' (or email, sid, SIS Login ID)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("studnt,name\nada,Ada\n", f"{NEEDS}; is 'studnt' it?"),
        ("foo,bar\nada,Ada\n", f"{NEEDS}; it has foo, bar"),
        ("", f"{NEEDS}; it has no columns"),
        ("student\nada\nADA\n", ":3: 'ada' is in line 2 already"),
        ("email\na@x\nb@x\nA@x\n", ":4: 'a@x' is in line 2 already"),
        ("student,student\nada,bob\n", ":1: the column 'student' is there twice: keep one"),
        ("student,late_days\nada,two\n", ":2: late_days is 'two': a whole number of days"),
        ("student,late_days\nada,-1\n", ":2: late_days is '-1': a whole number of days"),
        ("student,late_days\nada,2.5\n", ":2: late_days is '2.5': a whole number of days"),
        ("student,late_days\nada,20270320\n", ":2: late_days is '20270320': at most 366 days"),
        ("student,late_days\nada," + "9" * 5000, ":2: late_days is '999"),
        ("student,latedays\nada,3\n", ":1: the column 'latedays' is not read: call it late_days"),
        ("student,Late Days Used\nada,3\n", ":1: the column 'late days used' is not read"),
        ("student,Extension\nada,3\n", ":1: the column 'extension' is not read"),
        ("student\n", ": there is nobody in this roster"),
        (b"student\n\xff\xfe\n", ": this is not CSV in UTF-8"),
        ("student\nada\n".encode("utf-16"), ": this is not CSV in UTF-8"),
    ],
)
def test_a_roster_that_cannot_be_read_is_explained(roster, tmp_path, text, said):
    with pytest.raises(CourseError) as caught:
        roster(text)
    assert str(caught.value).startswith(f"{tmp_path / 'roster.csv'}{said}")


def test_gradescope_s_columns_about_lateness_are_no_late_days(roster):
    head = "Name,Email,Translate - Lateness (H:M:S),Total Lateness (H:M:S)"
    assert students(roster(f"{head}\nAda,ada@x,0:00:00,0:00:00\n")) == ["ada@x"]
