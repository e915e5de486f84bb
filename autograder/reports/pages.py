"""The report of a class and the page of each student: HTML files that load nothing.

A student's page is made from their results.json, their own submission and remark.txt alone, so it
cannot hold anything of staff.json. It has no script. The class report is for staff; its one script
sorts and filters, is named in the page's policy by its hash, and nothing depends on it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from autograder.authoring.course import Assignment, Course, load_assignment
from autograder.errors import CourseError
from autograder.marking.feedback import STATES, sentence
from autograder.marking.result_files import RESULTS, STAFF, gone, read_grade, write_atomically
from autograder.marking.roster import Roster
from autograder.model import Grade, Verdict
from autograder.reports import charts, museum, student_page
from autograder.reports.class_report import ClassReport
from autograder.reports.excerpt import Sources
from autograder.reports.handout import Handout
from autograder.reports.origin import origin, shown
from autograder.reports.people import called
from autograder.reports.similar import Pair

CLASS_PAGE, STUDENT_PAGE = "report.html", "feedback.html"


@dataclass(frozen=True)
class Given:
    """What the pages can show in addition to the marks.

    similar   pairs to list; None where nobody has looked
    roster    names, sections and who submitted nothing
    sources   the submissions, for the student's own lines
    handouts  where students read the handouts, with {name} for the assignment's
    site      where the course's site is: its boards then show recognised mistakes
    """

    similar: Sequence[Pair] | None = None
    roster: Roster | None = None
    sources: Sources = field(default_factory=Sources)
    handouts: str = ""
    site: str = ""


def folders(path: Path) -> list[Path]:
    """The folders of marked assignments under ``path``: itself, or its subfolders.

    Raises CourseError if there are none.
    """
    candidates = [path] if _is_marked(path) else sorted(path.iterdir()) if path.is_dir() else []
    found = [folder for folder in candidates if _is_marked(folder)]
    if not found:
        raise CourseError(
            f"{path}: no results here: give the folder of 'grade --out', or one assignment's folder"
            " in it"
        )
    return found


def write(course: Course, folder: Path, given: Given | None = None) -> ClassReport:
    """Write the class report and a page for each student under ``folder``.

    Returns what the report says; students whose submission is gone are named, and not in its
    figures.
    """
    given = given or Given()
    students = sorted(path.parent.name for path in folder.glob(f"*/{STAFF}"))
    grades = [grade for student in students if (grade := read_grade(folder, student))]
    unreadable = sorted(set(students) - {grade.student for grade in grades})
    if not grades:
        raise CourseError(f"{folder}: none of the results here can be read: run 'grade' again")
    results = {grade.student: _results(folder, grade.student) for grade in grades}
    assignment = load_assignment(course.root, _name(grades, folder))
    worth = max(found["extra_data"]["max_score"] for found in results.values())
    old = gone(folder)
    current = [grade for grade in grades if grade.student not in old]
    found = ClassReport(current, worth, given.roster)
    environment = _environment()
    environment.globals |= {"course": course, "assignment": assignment}
    _write_students(environment, assignment, folder, results, given)
    source = environment.get_template("class.js.j2").render()
    text = environment.get_template("class.html.j2").render(
        report=found,
        similar=given.similar,
        unreadable=unreadable,
        old=old,
        origin=origin(assignment, folder, current),
        script=Markup(source),
        script_hash=base64.b64encode(hashlib.sha256(source.encode()).digest()).decode(),
    )
    write_atomically(folder / CLASS_PAGE, text)
    return found


def _write_students(
    environment: Environment,
    assignment: Assignment,
    folder: Path,
    results: dict[str, Any],
    given: Given,
) -> None:
    handout = Handout(assignment)
    address = given.handouts.replace("{name}", assignment.name)
    boards = _boards(assignment, given.site)
    template = environment.get_template("student.html.j2")
    for student, data in results.items():
        remark = student_page.remark(folder / student)
        page = student_page.StudentPage(assignment, handout, student, data, given.sources, remark)
        text = template.render(page=page, handouts=address, boards=boards)
        write_atomically(folder / student / STUDENT_PAGE, text)


def _boards(assignment: Assignment, site: str) -> dict[str, str]:
    """A mistake, as a student reads it -> the address of its board."""
    found = museum.boards(assignment) if site else {}
    return {sentence(when): f"{site.rstrip('/')}/{path}" for when, path in found.items()}


def _is_marked(folder: Path) -> bool:
    return any(folder.glob(f"*/{STAFF}"))


def _name(grades: Sequence[Grade], folder: Path) -> str:
    return next(
        (str(g.provenance["assignment"]) for g in grades if "assignment" in g.provenance),
        folder.name,
    )


def _results(folder: Path, student: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / student / RESULTS).read_text(encoding="utf-8"))
        found["extra_data"]["max_score"]
    except (ValueError, KeyError, TypeError):
        raise CourseError(
            f"{folder / student / RESULTS}: this file is damaged: run 'grade' again"
        ) from None
    return found


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("autograder.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": _points,
        "percent": _percent,
        "whole": _whole,
        "path": quote,
        "paragraphs": student_page.paragraphs,
        "time": shown,
        "called": called,
    }
    environment.globals |= {
        "states": {state.value: words for state, words in STATES.items()},
        "charts": charts,
        "student_page": STUDENT_PAGE,
        "signs": student_page.SIGNS,
        "words": student_page.WORDS,
        "verdicts": [verdict.value for verdict in Verdict],
    }
    return environment


def _points(value: float | None) -> str:
    """Without the digits that arithmetic leaves behind."""
    return "–" if value is None else f"{round(value, 4):g}"  # noqa: RUF001


def _percent(value: float | None) -> str:
    """Of a share between 0 and 1."""
    return "–" if value is None else f"{100 * value:.0f} %"  # noqa: RUF001


def _whole(value: float | None) -> str:
    """A number of per cent, without decimals."""
    return "–" if value is None else f"{value:.0f}"  # noqa: RUF001
