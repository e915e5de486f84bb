"""The students' pages as one zip that Canvas or Moodle hands out: a file for each submission.

Both find the student in a file's name, which must be as in their own bulk download:

canvas  ``lastfirst_12345_67890_feedback.html``: the user's and the attachment's number. Each page
        becomes a comment with a file. (github.com/instructure/canvas-lms, app/models,
        generate_comments_from_files.)
moodle  ``First Last_12345_assignsubmission_file_/feedback.html``. Each page becomes a feedback
        file. (github.com/moodle/moodle, mod/assign/feedback/file/importziplib.php.)

From a plain folder it is ``STUDENT.html``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.marking.intake import layouts
from autograder.marking.result_files import RESULTS
from autograder.marking.submission import read_class
from autograder.reports.pages import STUDENT_PAGE
from autograder.reports.student_page import REMARK


def pages(
    assignment: Assignment, folder: Path, submissions: Path, layout: str = "auto"
) -> tuple[dict[str, Path], list[str]]:
    """Name in the zip -> the student's page under ``folder``; and who cannot get one.

    The platforms take a file back only for a file. Raises CourseError where a page is missing or
    older than its marks, and for Gradescope's export.
    """
    if not submissions.is_dir() or (submissions / assignment.main).is_file():
        raise CourseError(f"{submissions}: the folder with everybody's submissions is expected")
    if (submissions / layouts.METADATA).is_file():
        raise CourseError("Gradescope shows results by itself and takes no pages")
    read, _ = read_class(submissions, assignment.main, assignment.starter, layout)
    students = {one.known_as[0]: one.student for one in read}
    found, left = {}, []
    for entry in layouts.read(submissions, layout).entries:
        student = students[entry.stem]
        path = next(iter(entry.paths.values()), None)
        if path is None:
            left.append(student)
        else:
            name = f"{student}.html" if layout == "plain" else _name(path, student)
            found[name] = folder / student / STUDENT_PAGE
    _must_be_fresh(found.values())
    return found, left


def package(named: Mapping[str, Path]) -> bytes:
    """The zip."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, path in sorted(named.items()):
            file.write(path, name)
    return data.getvalue()


def _name(path: Path, student: str) -> str:
    for pattern in (layouts.MOODLE, layouts.CANVAS):
        if found := pattern.fullmatch(path.name):
            if path.is_dir():
                return f"{path.name}/{STUDENT_PAGE}"
            return f"{path.name[: found.start('file')]}{STUDENT_PAGE}"
    return f"{student}.html"


def _must_be_fresh(found: Iterable[Path]) -> None:
    stale = [page.parent.name for page in found if not page.is_file() or _is_old(page)]
    if stale:
        shown = ", ".join(stale[:5]) + (", ..." if stale[5:] else "")
        raise CourseError(f"no page, or one older than the marks, for {shown}: run 'report' first")


def _is_old(page: Path) -> bool:
    sources = [page.with_name(RESULTS), page.with_name(REMARK)]
    return any(one.is_file() and one.stat().st_mtime > page.stat().st_mtime for one in sources)
