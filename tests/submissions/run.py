"""Mark the corpus of real-world submissions with one engine.

    python -m tests.submissions.run [--markdown] [--kind notebook] [--no-marking]

It prints what each case came to beside what it deserves. Equal contents are marked once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from autograder.authoring.course import load_course
from autograder.marking.engines import LocalEngine
from autograder.marking.grade import Grading
from autograder.marking.submission import Submission, read_class
from autograder.model import Grade

from . import classes, files, notebooks, packed
from .common import FULL, MAIN, NAME, ROOT, ZERO, Case, assignment


def cases() -> list[Case]:
    """The corpus."""
    return [one for part in (files, notebooks, packed, classes) for one in part.cases()]


@dataclass
class Result:
    """What one case came to. ``points``: of whom marking has been asked for."""

    case: Case
    submissions: list[Submission]
    passed_over: list[str]
    points: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def came_to(self, worth: float) -> dict[str, str]:
        """Student -> words, as in the case."""
        words = {}
        for one in self.submissions:
            points = self.points.get(one.student)
            marked = FULL if points == worth else ZERO if points == 0 else f"{points} points"
            words[one.student] = one.problem or (marked if self.points else "can be opened")
        return words

    def wrong(self, worth: float) -> list[str]:
        """Where it differs from what is deserved."""
        came, case = self.came_to(worth), self.case
        found = []
        if set(came) != set(case.deserves):
            found.append(f"students {sorted(came)} in place of {sorted(case.deserves)}")
        for student, words in came.items():
            deserved = case.deserves.get(student, "")
            opened = words == "can be opened" and deserved in (FULL, ZERO)
            if not opened and deserved not in words:
                found.append(f"{student}: {words!r} in place of {deserved!r}")
        said, over = "\n".join(self.notes), "\n".join(self.passed_over)
        found += [f"no remark has {words!r}" for words in case.notes if words not in said]
        found += [f"{words!r} is not passed over" for words in case.over if words not in over]
        timed = {one.student for one in self.submissions if one.received}
        if timed != set(case.received):
            found.append(f"times of {sorted(timed)} in place of {sorted(case.received)}")
        return found


def read(chosen: list[Case], folder: Path) -> list[Result]:
    """Intake alone: nothing is run."""
    results = []
    for number, case in enumerate(chosen):
        place = case.build(folder / f"{number:03}")
        found, over = read_class(place, MAIN, assignment().starter, case.layout)
        results.append(Result(case, found, over, notes=[n for one in found for n in one.notes]))
    return results


def mark(results: list[Result], folder: Path, jobs: int = 2) -> float:
    """Mark what could be opened, with one engine; returns what full marks come to."""
    engine = LocalEngine(assignment(), jobs)
    try:
        grading = Grading(load_course(ROOT), assignment(), engine, folder)
        todo = {
            f"{number:03}-{one.student}": replace(
                one, student=f"{number:03}-{one.student}", received=None
            )
            for number, result in enumerate(results)
            for one in result.submissions
            if not one.problem
        }
        grades: dict[str, Grade] = {
            grade.student: grade
            for grade in grading.run(list(todo.values()), True, lambda *_: None)
        }
    finally:
        engine.close()
    for number, result in enumerate(results):
        for one in result.submissions:
            grade = grades.get(f"{number:03}-{one.student}")
            if grade is not None:
                total = sum(outcome.points for outcome in grade.outcomes)
                result.points[one.student] = total if grade.complete else None
                result.notes += grade.notes
    return grading.worth


def main() -> int:
    """The command. Exit code 1: some case did not come to what it deserves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="print a table in Markdown")
    parser.add_argument("--kind", help="only cases of this kind")
    parser.add_argument("--no-marking", action="store_true", help="open them, and no more")
    options = parser.parse_args()
    chosen = [case for case in cases() if options.kind in (None, case.kind)]
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        results = read(chosen, Path(folder, "in"))
        worth = 0.0 if options.no_marking else mark(results, Path(folder, "out"))
    if options.markdown:
        print(f"| kind | submission ({NAME}) | came to | as deserved |\n|---|---|---|---|")
    failed = 0
    for result in results:
        wrong, case = result.wrong(worth), result.case
        failed += bool(wrong)
        came = "; ".join(dict.fromkeys(result.came_to(worth).values())).replace("|", "\\|")
        verdict = "NO" if wrong else "yes"
        if options.markdown:
            print(f"| {case.kind} | {case.name} | {came} | {verdict} |")
        elif wrong:
            print(f"{case.kind}: {case.name}: {'; '.join(wrong)}")
    print(f"\n{len(results)} cases, {failed} not as deserved.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
