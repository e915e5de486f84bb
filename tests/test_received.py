"""received.csv: who submitted when, whatever their names look like."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from pathlib import Path

import pytest

from autograder.errors import CourseError
from autograder.marking.received import Times, times
from autograder.marking.roster import read_roster
from autograder.marking.submission import read_all

WHEN = "2027-02-01T23:59:00+01:00"


@pytest.fixture
def read(tmp_path):
    def read(text: str | bytes, *students: str, roster: str = "") -> Times:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "received.csv").write_bytes(data)
        people = None
        if roster:
            (tmp_path / "roster.csv").write_text(roster, encoding="utf-8")
            people = read_roster(tmp_path / "roster.csv")
        return times(tmp_path, {student: (student,) for student in students or ("ada",)}, people)

    return read


def submissions(folder: Path, *stems: str) -> dict[str, datetime | None]:
    for stem in stems:
        (folder / f"{stem}.py").write_text("x = 1\n")
    return {one.student: one.received for one in read_all(folder, "work.py")}


def test_times_of_receipt_are_read(read):
    text = f"student,received\n\nada, {WHEN}\nben,2027-02-02T08:00:00Z\n"
    found = read(text, "ada", "ben", "cleo")
    assert found.by_student == {
        "ada": datetime.fromisoformat(WHEN),
        "ben": datetime.fromisoformat("2027-02-02T08:00:00+00:00"),
    }
    (remark,) = found.remarks
    assert "no time for cleo" in remark


def test_no_file_says_nothing(tmp_path):
    assert times(tmp_path, {"ada": ()}) == Times({})


@pytest.mark.parametrize(
    "row", ["ada,yesterday", "ada,2027-02-01T23:59:00", "ada,01.02.2027 10:00", f"{WHEN},ada"]
)
def test_a_wrong_time_is_named_with_its_line(read, tmp_path, row):
    with pytest.raises(CourseError) as raised:
        read(f"student,received\n{row}\n")
    assert str(raised.value).startswith(
        f"{tmp_path / 'received.csv'}:2: 'student,2027-02-01T23:59:00+01:00' is expected ("
    )


@pytest.mark.parametrize("row", ["ada", "ada,"])
def test_a_row_without_a_time_is_said_and_stops_nobody(read, row):
    found = read(f"student,received\n{row}\nben,{WHEN}\n", "ada", "ben")
    assert set(found.by_student) == {"ben"}
    (remark,) = found.remarks
    assert "no time for ada" in remark


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("Ada Lovelace", "Ada_Lovelace"),
        ("Ada Lovelace", "ada lovelace"),
        ("Lovelace, Ada", '"Lovelace, Ada"'),
        ("Siobhán O'Neil", "SIOBHÁN O'NEIL"),
        (unicodedata.normalize("NFD", "Renée"), unicodedata.normalize("NFC", "Renée")),
        (unicodedata.normalize("NFC", "Renée"), unicodedata.normalize("NFD", "renée")),
        ("kgodel", "KGodel@uni.example"),
    ],
)
def test_a_name_is_recognised_however_it_is_written(tmp_path, stem, name):
    (tmp_path / "received.csv").write_text(f"student,received\n{name},{WHEN}\n", encoding="utf-8")
    (time,) = submissions(tmp_path, stem).values()
    assert time == datetime.fromisoformat(WHEN)


def test_files_that_differ_in_case_alone_have_times_of_their_own(tmp_path):
    (tmp_path / "received.csv").write_text(f"ada,{WHEN}\nADA,2027-02-02T08:00:00Z\n")
    found = submissions(tmp_path, "ada", "ADA")
    assert sorted(time.day for time in found.values()) == [1, 2]
    if len(found) > 1:  # a file system that knows them apart
        assert found["ADA"].day == 2


def test_a_row_that_matches_nobody_is_said_with_the_nearest_name(read):
    found = read(f"sgermian,{WHEN}\nxyz,{WHEN}\nsgermain,{WHEN}\n", "sgermain")
    first, second = found.remarks
    assert ":1: 'sgermian' matches no submission" in first and "is it sgermain?" in first
    assert ":2: 'xyz' matches no submission" in second and "is it" not in second


def test_a_student_who_is_there_twice_is_said_and_the_latest_time_counts(read):
    found = read(f"ADA,2027-02-03T08:00:00Z\nada,{WHEN}\n")
    assert found.by_student["ada"].day == 3
    (remark,) = found.remarks
    assert "ada is in lines 1 and 2: the latest time counts, 2027-02-03" in remark


def test_the_roster_knows_people_by_other_names(read):
    roster = "student,name,sid,email\nada,Ada King,77,a.king@uni.example\n"
    for name in ("77", "a.king@uni.example", "A.King", "Ada King", '"King, Ada"', "ADA"):
        assert read(f"{name},{WHEN}\n", "ada", roster=roster).by_student, name
    assert not read(f"78,{WHEN}\n", "ada", roster=roster).by_student


def test_a_platform_s_further_names_will_do(tmp_path):
    (tmp_path / "received.csv").write_text(f"50000,{WHEN}\ngroup@x.org,{WHEN}\n")
    submitted = {"lovelaceada": ("lovelaceada", "50000"), "bob": ("bob", "b@x", "group@x.org")}
    assert set(times(tmp_path, submitted).by_student) == {"lovelaceada", "bob"}


def test_two_people_with_one_part_before_the_at_are_two_people(read):
    found = read(f"js@a.edu,{WHEN}\njs@b.edu,{WHEN}\n", "js")
    assert not found.by_student and len(found.remarks) == 3


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeffstudent,received\nada,{WHEN}\n",
        f"student;received\nada;{WHEN}\n",
        f"student\treceived\r\nada\t{WHEN}\r\n",
        "Vollständiger Name;Abgegeben\nada;2027-02-01 23:59 Europe/Berlin\n",
        "ada,2027-02-01 16:59:00 -0600\n",
    ],
)
def test_it_may_come_from_a_spreadsheet(read, text):
    assert read(text).by_student["ada"] == datetime.fromisoformat(WHEN)


def test_what_is_not_utf_8_is_explained(read, tmp_path):
    with pytest.raises(CourseError, match="this is not CSV in UTF-8: save it as CSV"):
        read(b"caf\xe9,2027-02-01T23:59:00+01:00\n")
