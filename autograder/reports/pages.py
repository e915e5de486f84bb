"""The report of a class and the page of each student: self-contained HTML files without scripts.

A student's page is made from their results.json alone, so it cannot hold anything of staff.json.
The class report is for staff.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from autograder.authoring.course import Course, load_assignment
from autograder.errors import CourseError
from autograder.marking.feedback import STATES
from autograder.marking.result_files import RESULTS, STAFF, gone, read_grade, write_atomically
from autograder.model import Grade
from autograder.reports import charts
from autograder.reports.class_report import ClassReport
from autograder.reports.similar import Pair

CLASS_PAGE, STUDENT_PAGE = "report.html", "feedback.html"


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


def write(course: Course, folder: Path, similar: Sequence[Pair] | None = None) -> ClassReport:
    """Write the class report and a page for each student under ``folder``.

    Returns what the report says; students whose submission is gone are named, and not in its
    figures. ``similar``: pairs to list; None where nobody has looked.
    """
    students = sorted(path.parent.name for path in folder.glob(f"*/{STAFF}"))
    grades = [grade for student in students if (grade := read_grade(folder, student))]
    unreadable = sorted(set(students) - {grade.student for grade in grades})
    if not grades:
        raise CourseError(f"{folder}: none of the results here can be read: run 'grade' again")
    results = {grade.student: _results(folder, grade.student) for grade in grades}
    assignment = load_assignment(course.root, _name(grades, folder))
    worth = max(found["extra_data"]["max_score"] for found in results.values())
    old = gone(folder)
    found = ClassReport([grade for grade in grades if grade.student not in old], worth)
    shared = {"course": course, "assignment": assignment}
    environment = _environment()
    page = environment.get_template("student.html.j2")
    for student, data in results.items():
        text = page.render(student=student, results=data, parts=_by_part(data), **shared)
        write_atomically(folder / student / STUDENT_PAGE, text)
    page = environment.get_template("class.html.j2")
    text = page.render(report=found, similar=similar, unreadable=unreadable, old=old, **shared)
    write_atomically(folder / CLASS_PAGE, text)
    return found


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


def _by_part(results: dict[str, Any]) -> dict[str, list[Any]]:
    """The tests of each part, parts in the order of the tests."""
    parts: dict[str, list[Any]] = {}
    for test in results["tests"]:
        parts.setdefault(test["tags"][0], []).append(test)
    return parts


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("autograder.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"points": _points, "percent": _percent, "path": quote}
    environment.filters["paragraphs"] = _paragraphs
    environment.globals["states"] = {state.value: words for state, words in STATES.items()}
    environment.globals["charts"] = charts
    environment.globals["student_page"] = STUDENT_PAGE
    return environment


def _paragraphs(text: str) -> list[tuple[bool, str]]:
    """Lines of ours one by one, lines of the student's together: (theirs, text)."""
    groups = itertools.groupby(text.split("\n"), lambda line: line.startswith("  | "))
    return [
        (theirs, text)
        for theirs, lines in groups
        for text in (["\n".join(lines)] if theirs else lines)
    ]


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"  # noqa: RUF001


def _percent(value: float | None) -> str:
    """Of a share between 0 and 1."""
    return "–" if value is None else f"{100 * value:.0f} %"  # noqa: RUF001
