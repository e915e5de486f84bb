"""The class report's figures: spread, discrimination, people and dates."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import statistics
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from toy import NAME

from autograder.errors import CourseError
from autograder.marking import result_files
from autograder.marking.roster import Roster, read_roster
from autograder.model import Grade, Outcome, Verdict
from autograder.reports import charts, origin, pages, spread
from autograder.reports.class_report import ClassReport

STRONG = {"assignment": NAME, "wall": {"uid": True, "seccomp": True}}
TESTS = 6


def grade(student: str, *passed: bool, **provenance: object) -> Grade:
    """One point for each test."""
    outcomes = tuple(
        Outcome(
            f"test_{n}",
            f"Claim {n}.",
            "sums" if n % 2 else "means",
            Verdict.PASSED if one else Verdict.FAILED,
            1.0,
        )
        for n, one in enumerate(passed)
    )
    return Grade(student, outcomes, provenance=STRONG | provenance)


def a_class(size: int = 30) -> list[Grade]:
    """Skill decides four tests; chance decides test_4; test_5 is passed by the weak alone."""
    rng = random.Random(0)
    grades = []
    for number in range(size):
        skill = number / size
        passed = [rng.random() < skill for _ in range(TESTS - 2)]
        grades.append(grade(f"s{number:02}", *passed, rng.random() < 0.5, skill < 0.5))
    return grades


@pytest.fixture
def roster(tmp_path) -> Roster:
    rows = [f"s{n:02},Student {n},{'Mon' if n < 12 else 'Tue'}" for n in range(1, 33)]
    path = tmp_path / "roster.csv"
    path.write_text("\n".join(["student,name,section", *rows]))
    return read_roster(path)


# -- spread ----------------------------------------------------------------------------------------


def test_five_numbers_mean_and_deviation():
    found = spread.spread([0.0, 50.0, 100.0, 60.0, 40.0])
    assert found is not None
    assert (found.lowest, found.lower, found.median, found.upper, found.highest) == (
        0.0,
        40.0,
        50.0,
        60.0,
        100.0,
    )
    assert found.mean == 50.0 and found.deviation == pytest.approx(36.0555, abs=1e-4)


def test_one_score_has_no_deviation_and_none_have_nothing():
    one = spread.spread([70.0])
    assert one and (one.lower, one.median, one.upper, one.deviation) == (70.0, 70.0, 70.0, None)
    assert spread.spread([]) is None


@pytest.mark.parametrize(
    ("percent", "label"),
    [(0, "0 to 9"), (9.99, "0 to 9"), (90, "90 to 99"), (99.99, "90 to 99"), (100, "100")],
)
def test_full_marks_are_in_a_bin_of_their_own(percent, label):
    assert spread.bin_labels()[spread.bin_of(percent)] == label


def test_the_median_is_marked_where_its_bar_is():
    bars = charts.histogram([(label, 1) for label in spread.bin_labels()])
    for percent in (0, 5, 55, 99, 100):
        bar = bars[spread.bin_of(percent)]
        assert bar.x - 2 <= charts.place(bars, percent) <= bar.x + bar.width + 2
    gaps = [b.x - a.x - a.width for a, b in itertools.pairwise(bars)]
    assert gaps[-1] > 2 * max(gaps[:-1])  # full marks are apart


def test_discrimination_is_the_point_biserial_correlation():
    passed = [True] * 5 + [False] * 5
    rest = [9.0, 8.0, 7.0, 9.0, 6.0, 2.0, 3.0, 5.0, 1.0, 4.0]
    # By its definition: (M1 - M0) / s * sqrt(p q), with the deviation of a population.
    expected = (7.8 - 3.0) / statistics.pstdev(rest) * 0.5
    assert spread.discrimination(passed, rest) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("passed", "rest"),
    [([True] * 10, list(range(10))), ([True, False] * 5, [3.0] * 10), ([True, False], [1.0, 2.0])],
)
def test_there_is_no_discrimination_where_nothing_differs_or_few_are_there(passed, rest):
    assert spread.discrimination(passed, rest) is None


def test_a_bad_test_shows():
    found = ClassReport(a_class(), float(TESTS))
    by_name = {test.name: test.discriminates for test in found.tests}
    assert all(by_name[f"test_{n}"] > 0.2 for n in range(4))
    assert by_name["test_5"] < -0.3
    assert [test.name for test in found.doubtful] == ["test_5"]
    rates = [test.rate for test in found.hardest]
    assert rates == sorted(rates) and rates[0] < rates[-1]


# -- people ----------------------------------------------------------------------------------------


def test_the_roster_gives_names_sections_and_who_is_missing(roster):
    found = ClassReport(a_class(), float(TESTS), roster)
    assert found.people.name("s01") == "Student 1" and found.people.section("s29") == "Tue"
    assert [person.student for person in found.people.missing] == ["s30", "s31", "s32"]
    assert found.people.strangers == ["s00"] and found.people.name("s00") == "s00"
    monday, tuesday = found.sections
    assert (monday.name, monday.submitted, monday.missing) == ("Mon", 11, 0)
    assert (tuesday.submitted, tuesday.missing) == (18, 3)
    assert monday.spread.mean != tuesday.spread.mean


def test_a_group_is_not_missing_and_platform_names_are_known(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("student,name,email\nada,Ada L,ada@x.org\nben,Ben M,ben@x.org\n")
    one = grade("301", True, known_as=["ada@x.org", "ben@x.org"])
    people = ClassReport([one], 1.0, read_roster(path)).people
    assert people.name("301") == "Ada L" and people.missing == [] and people.strangers == []


def test_without_a_roster_nobody_is_missing():
    people = ClassReport(a_class(), float(TESTS)).people
    assert not people.known and (people.missing, people.strangers, people.sections) == ([], [], [])


def test_people_are_in_the_order_of_their_names_whatever_the_accents(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("student,name\ns1,Fay\ns2,Évariste\ns3,eve\ns4,Ångström\n", encoding="utf-8")
    grades = [grade(f"s{n}", True, True) for n in (1, 2, 3)]
    found = ClassReport(grades, 2.0, read_roster(path))
    assert [row.student for row in found.rows] == ["s2", "s3", "s1"]
    assert [person.name for person in found.people.missing] == ["Ångström"]


def test_every_bar_test_and_part_leads_to_its_people():
    grades = a_class()
    found = ClassReport(grades, float(TESTS))
    in_bars = [student for bin in found.histogram for student in bin.students]
    assert sorted(in_bars) == [one.student for one in grades]
    for test in found.tests:
        failed = [
            one.student
            for one in grades
            if any(o.test == test.name and o.verdict is Verdict.FAILED for o in one.outcomes)
        ]
        assert sorted(test.who("failed")) == failed and test.count("failed") == len(failed)
    for part in found.parts:
        assert len(part.who("failed")) == len(set(part.who("failed")))


@pytest.fixture
def page(toy, tmp_path, roster) -> str:
    folder = tmp_path / "out" / NAME
    for one in a_class():
        result_files.write_results(folder, toy.assignment, float(TESTS), one)
    pages.write(toy.course, folder, pages.Given(roster=roster))
    return (folder / "report.html").read_text()


def test_the_page_names_people_without_a_script(page):
    body = page.partition("<script>")[0]
    assert body.count(">Student 1</a>") > 3  # under a bar, under tests, in the list
    assert "Nothing submitted: 3" in body and "Student 32" in body
    assert "30 of 33" in body and "Not on the roster: 1" in body
    assert body.index("Who needs you</h2>") < body.index("What to teach again</h2>")
    assert body.index("Students</h2>") < body.index("Slowest submissions</h2>")
    assert '<form class="tools" id="tools" hidden>' in body  # a script alone makes it useful


def test_numbers_stand_before_prose_where_a_phone_cuts_off(page):
    table = page[page.index('aria-label="Tests"') :]
    heads = table[table.index("<thead>") : table.index("</thead>")]
    assert heads.index("passed") < heads.index("tells apart") < heads.index("test, hardest first")


# -- dates and versions ----------------------------------------------------------------------------


def facts(toy, folder: Path, *grades: Grade) -> dict[str, str]:
    for one in grades:
        result_files.write_results(folder, toy.assignment, 1.0, one)
        stamp = datetime(2027, 2, 8, 10, tzinfo=UTC).timestamp()
        os.utime(folder / one.student / result_files.STAFF, (stamp, stamp))
    return dict(origin.origin(toy.assignment, folder, grades))


def test_dates_and_versions_tell_two_reports_apart(toy, tmp_path):
    one = grade("ada", True, received="2027-02-05T21:00:00+01:00", python="3.11.7")
    two = grade("ben", True, received="2027-02-06T21:00:00+00:00", python="3.12.1")
    found = facts(toy, tmp_path, one, two, grade("cleo", True, versions={"numpy": "2.1.0"}))
    assert found["due"] == "5 February 2027, 23:59 (UTC)"
    assert found["received"] == (
        "5 February 2027, 20:00 (UTC) to 6 February 2027, 21:00 (UTC) (a time is known of 2 of 3)"
    )
    assert found["marked"] == "8 February 2027, 10:00 (UTC)"
    assert "Python 3.11.7 and 3.12.1" in found["versions"] and "numpy 2.1.0" in found["versions"]


def test_a_course_in_git_names_its_commit(toy, tmp_path):
    assert "course" not in facts(toy, tmp_path / "out", grade("ada", True))
    git = ["git", "-C", str(toy.root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "course.yml"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    said = facts(toy, tmp_path / "out", grade("ada", True))["course"]
    assert said.startswith("commit ") and not said.endswith("not committed")
    (toy.root / "course.yml").write_text((toy.root / "course.yml").read_text() + "\n")
    assert facts(toy, tmp_path / "out", grade("ada", True))["course"].endswith("not committed")


def test_a_remark_that_is_not_utf_8_is_a_sentence(toy, tmp_path):
    folder = tmp_path / NAME
    result_files.write_results(folder, toy.assignment, 1.0, grade("ada", True))
    (folder / "ada" / "remark.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(CourseError, match=r"remark\.txt: this is not UTF-8: save it as UTF-8"):
        pages.write(toy.course, folder)


def test_no_name_of_a_roster_becomes_markup(toy, tmp_path):
    evil = '"""><script>alert(1)</script>\'"'
    path = tmp_path / "roster.csv"
    path.write_text(f"student,name,section\ns00,{evil},{evil}\nzoe,{evil},B\n")
    folder = tmp_path / NAME
    result_files.write_results(folder, toy.assignment, 1.0, grade("s00", True))
    pages.write(toy.course, folder, pages.Given(roster=read_roster(path)))
    page = (folder / "report.html").read_text()
    assert page.count("<script>") == 1 and "&gt;&lt;script&gt;alert(1)" in page


def test_minutes_that_students_tell_stand_beside_their_part(toy, tmp_path):
    told = [{"sums": 30.0}, {"sums": 40.0, "means": 90.0}, {"sums": 80.0}, {}]
    grades = [
        dataclasses.replace(grade(f"s{number}", True, False), minutes=minutes)
        for number, minutes in enumerate(told)
    ]
    found = ClassReport(grades, 2.0).minutes
    assert (found["sums"].lower, found["sums"].median, found["sums"].upper) == (35.0, 40.0, 60.0)
    assert found["means"].median == 90.0
    for one in grades:
        result_files.write_results(tmp_path, toy.assignment, 2.0, one)
    pages.write(toy.course, tmp_path, pages.Given())
    page = (tmp_path / "report.html").read_text()
    assert "40 <span" in page and "(35 to\n 60)" in page


def test_without_minutes_there_is_no_column_for_them(toy, tmp_path):
    result_files.write_results(tmp_path, toy.assignment, 2.0, grade("ada", True, False))
    pages.write(toy.course, tmp_path, pages.Given())
    assert ">minutes<" not in (tmp_path / "report.html").read_text()
