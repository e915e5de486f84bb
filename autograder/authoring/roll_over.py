"""The next term: new dates in course.yml, a new secret, and the old term in the archive."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from autograder.authoring.course import COURSE_FILE, SECRET_FILE, Course, load_course
from autograder.errors import CourseError

ARCHIVE = "archive"
# In course.yml, the day of `first_due: 2027-02-05 23:59 UTC` and of `due: 2027-02-05T23:59:00Z`.
DUE = re.compile(r"(?P<key>\b(?:first_due|due):\s*['\"]?)(?P<day>\d{4}-\d\d?-\d\d?)")
TERM = re.compile(r"^term:.*$", re.MULTILINE)


def first_day(course: Course) -> date:
    """The day on which the first work of the term is due. Raises CourseError without one."""
    days = [one.due.date() for one in course.assignments if one.due]
    if not days:
        raise CourseError(f"{COURSE_FILE}: no assignment has a due date, so none can be moved")
    return min(days)


def roll_over(course: Course, term: str, first: date, archived: Sequence[Path]) -> list[str]:
    """Make course.yml that of the next term; what was done, a sentence each.

    Every due date moves by the days between the first one and ``first``. The old course.yml, the
    old secret and what is ``archived`` (submissions, marks, the roster) go to archive/OLD TERM.
    Raises CourseError before anything is changed.
    """
    if term == course.term:
        raise CourseError(f"the term is '{term}' already: give the next one's name")
    place = course.root / ARCHIVE / re.sub(r"[^\w-]+", "-", course.term).strip("-")
    if place.exists():
        raise CourseError(f"{place} exists already: this term has been archived before")
    for one in archived:
        if not one.exists():
            raise CourseError(f"there is no {one}, so it cannot be archived")
    path = course.root / COURSE_FILE
    old = path.read_text(encoding="utf-8")
    new = _moved(old, term, first - first_day(course))
    place.mkdir(parents=True)
    shutil.copy(path, place)
    path.write_text(new, encoding="utf-8")
    try:
        load_course(course.root)
    except CourseError:
        path.write_text(old, encoding="utf-8")
        shutil.rmtree(place)
        raise
    said = [f"course.yml: {term}, the first work is due on {first:%A, %Y-%m-%d}"]
    secret = course.root / SECRET_FILE
    if secret.is_file():
        shutil.move(secret, place)
    secret.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
    secret.chmod(0o600)
    said.append(f"{SECRET_FILE}: a new one; keep a copy in a safe place")
    for one in archived:
        shutil.move(one, place / one.name)
    kept = ", ".join(sorted(one.name for one in place.iterdir()))
    return [*said, f"{place.relative_to(course.root)}: {kept}"]


def _moved(text: str, term: str, by: timedelta) -> str:
    """course.yml of the next term; its comments stay."""

    def shifted(found: re.Match[str]) -> str:
        year, month, day = map(int, found["day"].split("-"))
        return f"{found['key']}{date(year, month, day) + by:%Y-%m-%d}"

    if not TERM.search(text):
        raise CourseError(f"{COURSE_FILE}: there is no line 'term: ...' to change")
    named = TERM.sub(lambda _: f"term: {json.dumps(term, ensure_ascii=False)}", text, count=1)
    return DUE.sub(shifted, named)
