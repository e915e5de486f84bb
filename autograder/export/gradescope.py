"""Gradescope: a zip to upload, or our image.

A submission is where Gradescope puts it, and results.json is as Gradescope documents it.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from autograder.authoring.course import COURSE_FILE, SECRET_FILE, Assignment, Course, course_of_one
from autograder.authoring.given import FOLDER as FOLDER_OF_GIVEN
from autograder.authoring.given import given_files
from autograder.errors import CourseError
from autograder.export.single import Desk
from autograder.marking import result_files
from autograder.marking.score import score
from autograder.model import Grade, Verdict

FOLDER = Path(__file__).parent
PACKAGE = FOLDER.parent
SETUP = """#!/bin/sh
# Gradescope runs this once, as root, when it builds the image. It takes about five minutes, most of
# them for torch.
set -e
here=$(cd "$(dirname "$0")" && pwd)
sh "$here/requirements/image.sh" system
sh "$here/requirements/image.sh" packages cpu
sh "$here/autograder/export/install.sh"
"""
# Right answers in other styles prove an assignment; marking does not need them.
LEFT_OUT = {"__pycache__", "right"}
# Files in requirements/.
LOCKED = ("lock.txt", "image.txt", "image.sh")


# -- the zip ---------------------------------------------------------------------------------------


def bundle(course: Course, assignment: Assignment) -> dict[str, bytes]:
    """All that marks one assignment, by path.

    That is the engine, handout, solution, hidden tests, given modules, locked requirements,
    course.yml and the course's secret.
    """
    folders = [
        PACKAGE,
        assignment.handout,
        assignment.solution.parent,
        assignment.hidden_tests.parent,
    ]
    files = {}
    for folder in folders:
        base = PACKAGE.parent if folder == PACKAGE else assignment.root
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not LEFT_OUT & set(path.parts):
                files[path.relative_to(base).as_posix()] = path.read_bytes()
    for name, data in given_files(assignment).items():
        files[f"assignments/{FOLDER_OF_GIVEN}/{name}"] = data
    for name in LOCKED:
        files[f"requirements/{name}"] = _read(course.root / "requirements" / name)
    said = course_of_one(course.root, assignment.name)
    files[COURSE_FILE] = yaml.safe_dump(said, sort_keys=False).encode()
    if course.secret:
        files[SECRET_FILE] = course.secret
    return files


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise CourseError(
            f"{path}: this file is missing, and the image needs it: "
            "take it from the course's repository"
        )
    return path.read_bytes()


def package(course: Course, assignment: Assignment) -> bytes:
    """The zip to upload: setup.sh and run_autograder at its top, and the bundle."""
    run = (
        (FOLDER / "run_autograder")
        .read_text(encoding="utf-8")
        .replace("default=\n", f"default={assignment.name}\n")
    )
    files = {"setup.sh": SETUP.encode(), "run_autograder": run.encode()} | bundle(
        course, assignment
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            # A fixed date: the same course gives the same bytes.
            entry = zipfile.ZipInfo(name, (2027, 1, 1, 0, 0, 0))
            mode = (
                0o755 if name in ("setup.sh", "run_autograder") or name.endswith(".sh") else 0o644
            )
            entry.external_attr = (stat.S_IFREG | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return out.getvalue()


# -- one submission --------------------------------------------------------------------------------


def autograde(
    course: Course, name: str, root: Path, say: Callable[[str], None] = lambda line: None
) -> Grade:
    """Mark root/submission and write root/results/results.json, also now and then before the end.

    ``say`` gets lines about what is going on.
    If a test cannot be graded for a reason that is not the student's, results.json is moved to
    ungraded.json. Gradescope then says that the autograder failed and records nothing. A file with
    a missing score would count as what was reached so far.
    """
    submission, results = root / "submission", root / "results"
    if not submission.is_dir():
        raise CourseError(
            f"{submission}: there is no such folder: "
            f"mount the submission there (-v ada.py:{submission}/gae.py:ro)"
        )
    results.mkdir(exist_ok=True)
    written = results / result_files.RESULTS
    written.unlink(missing_ok=True)
    say(f"{name}: importing the libraries and reading the hidden tests")
    desk = Desk(course, name)
    try:
        say(f"{name}: marking with {len(desk.tests)} hidden tests")
        rules, assignment = course.gradescope, desk.assignment
        received, due = _times(root) if rules.late == "course" else (None, None)
        dress = _dresser(
            desk, rules.visibility if assignment.visibility is None else assignment.visibility
        )
        grade = desk.mark(
            submission, received, lambda data: _write(written, dress(data, None)), due
        )
    finally:
        desk.close()
    data = dress(result_files.results(assignment, desk.worth, grade), grade)
    ungraded = score(grade, desk.worth).points is None
    _write(results / "ungraded.json" if ungraded else written, data)
    if ungraded:
        written.unlink(missing_ok=True)
    return grade


def _write(path: Path, data: dict[str, Any]) -> None:
    result_files.write_atomically(
        path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


def _times(root: Path) -> tuple[datetime | None, datetime | None]:
    """When the work was submitted, and when it was due for these students, extensions included.

    Both come from submission_metadata.json; None where that does not say. If the members of a group
    have different dates, the latest counts.
    """
    try:
        metadata = json.loads((root / "submission_metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, None
    users = metadata.get("users") if isinstance(metadata, dict) else None
    due = [
        time
        for user in (users if isinstance(users, list) else ())
        if (time := _time(user, "assignment", "due_date"))
    ]
    return _time(metadata, "created_at"), max(due, default=None)


def _time(data: Any, *keys: str) -> datetime | None:
    try:
        for key in keys:
            data = data[key]
        time = datetime.fromisoformat(data)
    except (ValueError, KeyError, TypeError):
        return None
    return time if time.tzinfo else None


def _dresser(
    desk: Desk, visibility: str
) -> Callable[[dict[str, Any], Grade | None], dict[str, Any]]:
    """Adds to results.json what only Gradescope has: visibility and the leaderboard.

    The leaderboard shows learning checks and rates on a GPU.
    """
    learning = {test.name: test for test in desk.tests if test.learning}

    def dress(data: dict[str, Any], grade: Grade | None) -> dict[str, Any]:
        data = data | {
            "visibility": visibility,
            "tests": [test | {"visibility": visibility} for test in data["tests"]],
        }
        known = () if grade is None else grade.outcomes
        outcomes = [one for one in known if one.test in learning]
        board = []
        if outcomes:
            passed = sum(one.verdict is Verdict.PASSED for one in outcomes)
            board += [
                {"name": "Learning checks passed", "value": passed, "order": "desc"},
                *({"name": one.says, "value": one.points, "order": "desc"} for one in outcomes),
            ]
        for one in known:
            if one.verdict is Verdict.PASSED:
                board += [
                    {"name": name.capitalize(), "value": rate, "order": "desc"}
                    for name, rate in one.rates.items()
                ]
        return data | ({"leaderboard": board} if board else {})

    return dress
