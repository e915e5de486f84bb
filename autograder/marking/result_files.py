"""Grade -> what people read: results.json (Gradescope's schema), gradebook.csv, and lines for a terminal.

Each submission has a folder with results.json, which its student may see, and staff.json, which holds all that is known (details with
expected values among it) and from which an unchanged submission's grade is read back. Both are written by atomic rename.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autograder.authoring.course import Assignment
from autograder.marking.score import score
from autograder.model import Grade, Outcome, Verdict

RESULTS, STAFF, GRADEBOOK = "results.json", "staff.json", "gradebook.csv"
WORDS = {
    Verdict.PASSED: "passed",
    Verdict.FAILED: "failed",
    Verdict.NOT_WRITTEN: "not written yet",
    Verdict.UNGRADED: "could not be graded, which is not your fault: your instructor has been told",
}
_NOT_THERE = re.compile(r"AttributeError: module '\w+' has no attribute '(\w+)'")
_LEFT_OUT = re.compile(r"cell (\d+): `")
MAX_LEFT_OUT = 10  # statements of a notebook that are named
MAX_PRINTS = 2000  # characters of the student's prints shown with a test


# -- results.json -----------------------------------------------------------------------------------------------------


def write_results(folder: Path, assignment: Assignment, worth: float, grade: Grade) -> None:
    """Write results.json and staff.json for one submission."""
    place = folder / grade.student
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / STAFF, _json(dataclasses.asdict(grade), escape=True))
    write_atomically(place / RESULTS, _json(results(assignment, worth, grade)))


def read_grade(folder: Path, student: str) -> Grade | None:
    """The grade that an earlier run left, or None if there is none that can be read."""
    try:
        data = json.loads((folder / student / STAFF).read_text(encoding="utf-8"))
        outcomes = tuple(Outcome.from_dict(outcome) for outcome in data["outcomes"])
        return (
            Grade(**data | {"outcomes": outcomes, "notes": tuple(data.get("notes", ()))})
            if (folder / student / RESULTS).is_file()
            else None
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def results(assignment: Assignment, worth: float, grade: Grade) -> dict[str, Any]:
    """Gradescope's results.json: what the student sees, and the provenance."""
    total = score(grade, worth)
    data: dict[str, Any] = {
        "output": summary(assignment, worth, grade),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "execution_time": grade.seconds,
        "tests": [_test(number, outcome) for number, outcome in enumerate(grade.outcomes, 1)],
        "extra_data": {
            "complete": grade.complete,
            "late_days": grade.late_days,
            "max_score": worth,
            "problem": _one_line(grade.problem),
            "provenance": grade.provenance,
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


def student_text(outcome: Outcome) -> str:
    """What a student reads about one test: never expected values, hidden inputs or assertion text."""
    lines = [WORDS[outcome.verdict][0].upper() + WORDS[outcome.verdict][1:] + "."]
    if outcome.extra:
        lines.append("No points depend on this part, which needs a GPU.")
    lines += [f"{rate:,.6g} {name}." for name, rate in outcome.rates.items()]
    if outcome.verdict is Verdict.FAILED:
        lines += [
            text for text in (outcome.diagnosis, outcome.finding, f"Hint: {outcome.hint}") if text
        ]
    if outcome.verdict in (Verdict.FAILED, Verdict.NOT_WRITTEN) and outcome.error:
        lines += ["Your code:", _quoted(outcome.error)]
    if outcome.verdict is Verdict.FAILED and outcome.prints.strip():
        text = outcome.prints.strip()
        lines += [
            "Your code printed:",
            _quoted(text[:MAX_PRINTS] + (" ..." if len(text) > MAX_PRINTS else "")),
        ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """The student's own text, marked so that none of it can pose as ours; control characters dropped."""
    return "\n".join(
        "  | " + "".join(c for c in line if c.isprintable() or c == "\t")
        for line in text.splitlines()
    )


def summary(assignment: Assignment, worth: float, grade: Grade) -> str:
    """The paragraph above the tests."""
    total = score(grade, worth)
    if grade.problem:
        lines = [f"Your hand-in could not be opened: {_one_line(grade.problem)}."]
    elif total.points is None:
        lines = [
            "Not everything could be graded. That is not your fault, and nothing below counts as zero."
        ]
    else:
        lines = [f"{assignment.title}: {total.points:g} of {worth:g} points."]
    unwritten = [outcome for outcome in grade.outcomes if outcome.verdict is Verdict.NOT_WRITTEN]
    if unwritten:
        lines.append(
            f"Not written yet: {', '.join(sorted({outcome.part for outcome in unwritten}))}."
        )
    if missing := not_there(grade):
        lines.append(
            f"Not there: {', '.join(missing)}. Name each function as the starter does, in the file or notebook that you hand in."
        )
    if grade.late_days:
        days = "1 day" if grade.late_days == 1 else f"{grade.late_days} days"
        lines.append(
            f"Handed in {days} late: {100 * (1 - grade.late_factor):.0f} % of the points are lost."
        )
    lines += [f"{said}." for said in _remarks(grade)]
    wall = grade.provenance.get("wall", {})
    if not (wall.get("uid") and wall.get("seccomp")) or grade.provenance.get("leaks"):
        lines.append("Marked without the full wall between student code and grader (--allow-weak).")
    return "\n".join(lines)


def _remarks(grade: Grade) -> list[str]:
    """What was marked, and what of a notebook was left out."""
    notes = [_one_line(text) for text in grade.notes]
    by_cell = {text: int(found[1]) for text in notes if (found := _LEFT_OUT.match(text))}
    left_out = sorted(by_cell, key=by_cell.__getitem__)
    if left_out:
        more = f", and {len(left_out) - MAX_LEFT_OUT} more" if len(left_out) > MAX_LEFT_OUT else ""
        shown = "; ".join(left_out[:MAX_LEFT_OUT])
        left_out = [f"Left out of your notebook, and everything else counts: {shown}{more}"]
    return [text for text in notes if not _LEFT_OUT.match(text)] + left_out


def not_there(grade: Grade) -> list[str]:
    """Names that tests asked for and the hand-in does not have."""
    found = (_NOT_THERE.match(outcome.error) for outcome in grade.outcomes)
    return list(dict.fromkeys(match[1] for match in found if match))


# -- the class --------------------------------------------------------------------------------------------------------

COLUMNS = (
    "student",
    "points",
    "worth",
    "percent",
    "late_days",
    *(verdict.value for verdict in Verdict),
    "note",
)


def write_gradebook(
    folder: Path, assignment: Assignment, worth: float, grades: Sequence[Grade]
) -> None:
    """gradebook.csv, one row a student; an ungraded one has an empty cell, never 0."""
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
            *(counts[verdict] for verdict in Verdict),
            note(grade),
        ]
        writer.writerow([harmless(str(cell)) for cell in row])
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / GRADEBOOK, text.getvalue())


def note(grade: Grade) -> str:
    """Who got what and why, in one line for the instructor."""
    if grade.problem:
        return grade.problem
    failed = [one for one in grade.outcomes if one.verdict is not Verdict.PASSED and not one.extra]
    if ungraded := [outcome for outcome in failed if outcome.verdict is Verdict.UNGRADED]:
        return "ungraded: " + (ungraded[0].detail.split("\n")[0] or "unknown")
    if not grade.complete:
        return "ungraded: marking was cut off; run the same command again"
    if not failed:
        return "all passed"
    missing = not_there(grade)
    if missing and not any(outcome.verdict is Verdict.PASSED for outcome in grade.outcomes):
        return f"has none of the functions that are asked for ({', '.join(missing[:5])}{', ...' if missing[5:] else ''})"
    diagnoses = Counter(outcome.diagnosis for outcome in failed if outcome.diagnosis)
    wrong = [outcome for outcome in failed if outcome.verdict is Verdict.FAILED]
    reasons = Counter(
        reason for outcome in wrong if (reason := outcome.error.split("\n")[0] or outcome.finding)
    )
    if diagnoses:
        text = diagnoses.most_common(1)[0][0].removeprefix("These are the numbers one gets when ")
        return text + (f" (+{len(diagnoses) - 1} more)" if len(diagnoses) > 1 else "")
    if all(outcome.verdict is Verdict.NOT_WRITTEN for outcome in failed):
        return f"not written yet: {', '.join(dict.fromkeys(outcome.part for outcome in failed))}"
    reason, count = reasons.most_common(1)[0] if reasons else ("", 0)
    return reason if 4 * count >= len(wrong) else f"fails: {wrong[0].says}"


def _one_line(text: str) -> str:
    """Names of files are a student's too: nothing in them breaks a line or acts on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def harmless(cell: str) -> str:
    """No cell that a spreadsheet would take for a formula, or for two rows."""
    cell = _one_line(cell)
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell


# -- writing ----------------------------------------------------------------------------------------------------------


def _json(data: Any, escape: bool = False) -> str:
    """``escape``: everything but ASCII as escape sequences, so that students' raw text in it acts on no terminal."""
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
        with contextlib.suppress(FileNotFoundError):  # interrupted just after the last step
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
        pass  # somebody else's
    return True
