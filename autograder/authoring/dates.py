"""Moments as people write them, with a time zone: 2027-03-28 23:59 Europe/Berlin."""

from __future__ import annotations

import calendar
import difflib
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

EXAMPLE = "2027-02-05 23:59 Europe/Berlin"
_FORM = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)"
    r"(?:[Tt ]\s*(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?)?"
    r"\s*(?P<zone>[A-Za-z][\w/+-]*|[+-]\d\d(?::?\d\d)?)?"
)


def moment(value: object) -> datetime:
    """The moment that a text names.

    Its ``tzinfo`` is the zone, so that days added are calendar days.

    Raises ValueError: one sentence that says what is expected instead.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"a time zone is expected, as in {EXAMPLE}")
        return value
    if not isinstance(value, str):
        raise ValueError(f"a date with a time and a time zone is expected, as in {EXAMPLE}")
    found = _FORM.fullmatch(value.strip())
    if not found:
        raise ValueError(f"a date with a time and a time zone is expected, as in {EXAMPLE}")
    year, month, day = (int(found[part]) for part in ("year", "month", "day"))
    if not 1970 <= year <= 2200:
        raise ValueError(f"a year from 1970 to 2200 is expected, as in {EXAMPLE}")
    if not 1 <= month <= 12:
        raise ValueError(f"there is no such date: months are 01 to 12, as in {EXAMPLE}")
    if not 1 <= day <= (days := calendar.monthrange(year, month)[1]):
        raise ValueError(f"there is no such date: that month has {days} days")
    if found["hour"] is None:
        raise ValueError(f"a time of day is expected after the date, as in {EXAMPLE}")
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    if hour == 24:
        raise ValueError("a day ends at 23:59: write that, or 00:00 of the next day")
    if hour > 24 or minute > 59 or second > 59:
        raise ValueError(f"there is no such time of day: 00:00 to 23:59, as in {EXAMPLE}")
    if found["zone"] is None:
        raise ValueError(f"a time zone is expected, as in {EXAMPLE}")
    # When clocks are set back, an hour comes twice. The later one is meant: nobody loses time.
    time = datetime(year, month, day, hour, minute, second, tzinfo=_zone(found["zone"]), fold=1)
    if time.astimezone(UTC).astimezone(time.tzinfo).replace(tzinfo=None) != time.replace(
        tzinfo=None
    ):
        raise ValueError("clocks skip this time that night: choose an hour that exists")
    return time


def _zone(name: str) -> tzinfo:
    if name.upper() in ("Z", "UTC"):
        return UTC
    if name[0] in "+-":
        digits = name[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        if offset >= timedelta(hours=24):
            raise ValueError(f"a time zone is less than a day from UTC, as in {EXAMPLE}")
        return timezone(-offset if name[0] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(_unknown(name)) from None


def _unknown(name: str) -> str:
    known = available_timezones()
    if not known:
        return "this machine knows no time zones by name: install the package tzdata"
    near = difflib.get_close_matches(name, known, n=1)
    return f"'{name}' is not a time zone; " + (
        f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin or +01:00"
    )
