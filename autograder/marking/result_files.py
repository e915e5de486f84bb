"""Grade -> files: results.json (Gradescope's schema), staff.json and gradebook.csv.

Each submission has a folder with results.json, which its student may see, and staff.json, which
holds all that is known (details with expected values among it) and from which an unchanged
submission's grade is read back. Both are written by atomic rename.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autograder.authoring.course import Assignment
from autograder.marking.feedback import headline, note, one_line, student_text
from autograder.marking.score import earned, score
from autograder.model import Grade, Outcome, Verdict, from_data, to_data

RESULTS, STAFF, GRADEBOOK = "results.json", "staff.json", "gradebook.csv"


# -- results.json ----------------------------------------------------------------------------------


def write_results(folder: Path, assignment: Assignment, worth: float, grade: Grade) -> None:
    """Write results.json and staff.json for one submission."""
    place = folder / grade.student
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / STAFF, _json(to_data(grade), escape=True))
    write_atomically(place / RESULTS, _json(results(assignment, worth, grade)))


def read_grade(folder: Path, student: str) -> Grade | None:
    """The grade that an earlier run left, or None if it cannot be read."""
    try:
        data = json.loads((folder / student / STAFF).read_text(encoding="utf-8"))
        grade = from_data(Grade, data)
    except (OSError, ValueError):
        return None
    return grade if (folder / student / RESULTS).is_file() else None


def results(assignment: Assignment, worth: float, grade: Grade) -> dict[str, Any]:
    """Gradescope's results.json: what the student sees, and the provenance."""
    total = score(grade, worth)
    data: dict[str, Any] = {
        "output": headline(assignment, worth, grade),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "execution_time": grade.seconds,
        "tests": [_test(number, outcome) for number, outcome in enumerate(grade.outcomes, 1)],
        "extra_data": {
            "complete": grade.complete,
            "late_days": grade.late_days,
            "max_score": worth,
            "points_before_lateness": earned(grade.outcomes),
            "problem": one_line(grade.problem),
            "provenance": grade.provenance,
            "state": grade.state.value,
            "verdicts": dict(
                sorted(Counter(outcome.verdict.value for outcome in grade.outcomes).items())
            ),
        },
    }
    if total.points is not None:
        data["score"] = total.points
    return data


def _test(number: int, outcome: Outcome) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": outcome.says,
        "number": str(number),
        "output": student_text(outcome),
        "output_format": "text",
        "tags": [outcome.part],
        "extra_data": {"test": outcome.test, "verdict": outcome.verdict.value},
    }
    if outcome.curve:
        data["extra_data"]["curve"] = list(outcome.curve)
    if outcome.rates:
        data["extra_data"]["rates"] = outcome.rates
    if outcome.verdict is not Verdict.UNGRADED:
        data |= {"score": outcome.points, "max_score": outcome.worth}
        data["status"] = "passed" if outcome.verdict is Verdict.PASSED else "failed"
    return data


# -- the class -------------------------------------------------------------------------------------

COLUMNS = (
    "student",
    "points",
    "worth",
    "percent",
    "late_days",
    "state",
    *(verdict.value for verdict in Verdict),
    "note",
)


def write_gradebook(
    folder: Path, assignment: Assignment, worth: float, grades: Sequence[Grade]
) -> None:
    """gradebook.csv, one row a student; one without a score has an empty cell, never 0."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for grade in sorted(grades, key=lambda grade: grade.student):
        total = score(grade, worth)
        counts = Counter(outcome.verdict for outcome in grade.outcomes)
        cells = ("", "") if total.points is None else (f"{total.points:g}", f"{total.percent:.2f}")
        row = [
            grade.student,
            cells[0],
            f"{worth:g}",
            cells[1],
            grade.late_days,
            grade.state.value,
            *(counts[verdict] for verdict in Verdict),
            note(grade),
        ]
        writer.writerow([harmless(str(cell)) for cell in row])
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / GRADEBOOK, text.getvalue())


def gone(folder: Path) -> list[str]:
    """Students who have marks here but were not among the submissions of the last run.

    The gradebook names all that were.
    """
    marked = sorted(path.parent.name for path in folder.glob(f"*/{STAFF}"))
    try:
        with open(folder / GRADEBOOK, encoding="utf-8", newline="") as file:
            there = {row["student"].removeprefix("'") for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        return []
    return [student for student in marked if student not in there]


def harmless(cell: str) -> str:
    """The cell in a form that a spreadsheet takes neither for a formula nor for two rows."""
    cell = one_line(cell)
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell


# -- writing ---------------------------------------------------------------------------------------


def _json(data: Any, escape: bool = False) -> str:
    """``escape``: only ASCII, so that students' text in it cannot act on a terminal."""
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=escape, allow_nan=False) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all, whatever happens meanwhile."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{os.getpid()}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        # It may have been interrupted just after the last step.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def sweep(folder: Path) -> None:
    """Remove what commands that were killed left half written in a folder of results."""
    for name in (RESULTS, STAFF, GRADEBOOK):
        for path in (*folder.glob(f".{name}.*"), *folder.glob(f"*/.{name}.*")):
            writer = path.name.split(".")[-2]
            if writer.isdigit() and not _is_running(int(writer)):
                path.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # The file belongs to another user.
        pass
    return True
