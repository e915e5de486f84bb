"""Outcomes and lateness -> numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from autograder.authoring.course import LateRule
from autograder.marking.score import earned, lateness, score
from autograder.model import Grade, Outcome, Verdict

DUE = datetime(2027, 2, 5, 23, 59, tzinfo=UTC)
RULE = LateRule(grace_minutes=15, per_day=0.1, max_days=3)


def outcome(verdict: Verdict, worth: float = 2.0) -> Outcome:
    return Outcome("test_x", "says", "part", verdict, worth)


def grade(*verdicts: Verdict, **more) -> Grade:
    return Grade("ada", tuple(outcome(verdict) for verdict in verdicts), **more)


@pytest.mark.parametrize(
    ("verdict", "points"),
    [
        (Verdict.PASSED, 2.0),
        (Verdict.FAILED, 0.0),
        (Verdict.NOT_WRITTEN, 0.0),
        (Verdict.UNGRADED, 0.0),
    ],
)
def test_a_passed_test_earns_its_worth_and_no_other_does(verdict, points):
    assert outcome(verdict).points == points


def test_points_are_summed_without_rounding_errors():
    assert earned([outcome(Verdict.PASSED, 0.1)] * 10) == 1.0


def test_a_score_is_points_out_of_what_all_tests_are_worth():
    found = score(grade(Verdict.PASSED, Verdict.FAILED), 8.0)
    assert (found.points, found.worth, found.percent) == (2.0, 8.0, 25.0)


@pytest.mark.parametrize(
    "open_",
    [
        grade(Verdict.PASSED, Verdict.UNGRADED),
        grade(Verdict.PASSED, complete=False),
        grade(complete=False),
    ],
)
def test_what_could_not_be_graded_has_no_score_rather_than_zero(open_):
    found = score(open_, 8.0)
    assert found.points is None and found.percent is None and found.worth == 8.0


def test_a_hand_in_that_cannot_be_opened_has_zero_points():
    assert score(grade(problem="it is encrypted"), 8.0).points == 0.0


def test_an_assignment_without_points_has_no_percentage_to_divide_by():
    assert score(grade(), 0.0).percent == 0.0


def test_lateness_scales_the_points():
    assert score(grade(Verdict.PASSED, Verdict.PASSED, late_factor=0.7), 4.0).points == 2.8


@pytest.mark.parametrize(
    ("after", "days", "factor"),
    [
        (timedelta(days=-3), 0, 1.0),
        (timedelta(0), 0, 1.0),
        (timedelta(minutes=15), 0, 1.0),  # the last moment of grace
        (timedelta(minutes=15, microseconds=1), 1, 0.9),
        (timedelta(days=1, minutes=15), 1, 0.9),
        (timedelta(days=1, minutes=16), 2, 0.8),
        (timedelta(days=3, minutes=15), 3, 0.7),
        (timedelta(days=3, minutes=16), 4, 0.0),
        (timedelta(days=300), 300, 0.0),
    ],
)
def test_each_started_day_after_the_grace_period_costs_the_same(after, days, factor):
    found = lateness(DUE + after, DUE, RULE)
    assert found == (days, pytest.approx(factor))


def test_points_are_never_negative():
    assert lateness(DUE + timedelta(days=4), DUE, LateRule(per_day=0.5, max_days=10)) == (4, 0.0)


def test_time_zones_are_respected():
    east = timezone(timedelta(hours=9))
    # This is the same moment.
    assert lateness(datetime(2027, 2, 6, 8, 59, tzinfo=east), DUE, RULE) == (0, 1.0)
    assert lateness(datetime(2027, 2, 6, 9, 30, tzinfo=east), DUE, RULE)[0] == 1


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("due", "received", "days"),
    [
        # Clocks are put forward on 28 March: a day of 23 hours.
        ("2027-03-27 23:59", "2027-03-28 23:59", 1),
        ("2027-03-27 23:59", "2027-03-29 00:14", 1),
        ("2027-03-27 23:59", "2027-03-29 00:15", 2),
        # Clocks are put back on 31 October: a day of 25 hours.
        ("2027-10-30 23:59", "2027-10-31 23:59", 1),
        ("2027-10-30 23:59", "2027-11-01 00:14", 1),
        ("2027-10-30 23:59", "2027-11-01 00:15", 2),
        # The hour that comes twice.
        ("2027-10-31 02:30", "2027-10-31 02:44", 0),
        ("2027-10-31 02:30", "2027-10-31 02:50", 1),
    ],
)
def test_a_day_is_a_calendar_day_where_the_due_date_is(due, received, days):
    rule = LateRule(grace_minutes=15, per_day=0.1, max_days=9)
    due, received = (
        datetime.fromisoformat(f"{time}:00").replace(tzinfo=BERLIN, fold=1)
        for time in (due, received)
    )
    for zone in (BERLIN, UTC, timezone(timedelta(hours=9))):
        assert lateness(received.astimezone(zone), due, rule)[0] == days


def test_an_extension_is_of_calendar_days():
    due = datetime(2027, 3, 27, 23, 59, tzinfo=BERLIN)
    received = datetime(2027, 3, 28, 23, 59, tzinfo=BERLIN)
    assert lateness(received, due, RULE, extension=1) == (0, 1.0)
    assert lateness(received + timedelta(minutes=16), due, RULE, extension=1)[0] == 1


@pytest.mark.parametrize(("received", "due"), [(None, DUE), (DUE, None), (None, None)])
def test_an_unknown_time_is_not_late(received, due):
    assert lateness(received, due, RULE) == (0, 1.0)
