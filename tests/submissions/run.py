"""Mark the corpus of real-world submissions with one engine.

    python -m tests.submissions.run [--kind notebook] [--no-marking]    says what is not as deserved
    python -m tests.submissions.run --markdown    writes the table into docs/SUBMISSIONS.md

Equal contents are marked once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from autograder.authoring.course import load_course
from autograder.marking.engines import LocalEngine
from autograder.marking.grade import Grading
from autograder.marking.submission import Submission, read_class
from autograder.model import Grade

from . import classes, files, notebooks, packed
from .common import FULL, MAIN, ROOT, ZERO, Case, assignment

DOCUMENT = ROOT / "docs" / "SUBMISSIONS.md"
BEGIN, END = "<!-- submissions:begin -->", "<!-- submissions:end -->"
HEAD = ("kind", "submission", "what comes of it", "as deserved")


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


# -- the table ------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """Text as the formatter of Markdown leaves it in a table."""
    kept = "".join(c if c.isprintable() and c not in "|<>`[]*\\" else " " for c in text)
    return " ".join(kept.split()).replace("__", r"\_\_")


def rows(results: Iterable[Result], worth: float) -> list[tuple[str, ...]]:
    """What the table says of each case."""
    found = []
    for result in results:
        came = "; ".join(dict.fromkeys(result.came_to(worth).values()))
        verdict = "no" if result.wrong(worth) else "yes"
        found.append((result.case.kind, cell(result.case.name), cell(came), verdict))
    return found


def write(found: list[tuple[str, ...]], path: Path) -> None:
    """Put the rows between the marks of a document."""
    head, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path}: {BEGIN} and {END} are expected, each on its own line")
    lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ("--",) * len(HEAD), *found)]
    deserved = sum(cells[-1] == "yes" for cells in found)
    lines += ["", f"{deserved} of {len(found)} cases came to what they deserve."]
    text = "\n".join([begin, "", *lines, "", end])
    path.write_text(f"{head}{text}{tail}", encoding="utf-8")


def stale(path: Path) -> list[str]:
    """What is missing in a document's table, does not belong there, or is not as deserved."""
    _, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("| ")][2:]
    told = [tuple(line.strip("| ").split(" | ")) for line in lines]
    written = {cells[:2]: cells[-1] for cells in told}
    wanted = {(case.kind, cell(case.name)) for case in cases()}
    found = [f"{': '.join(name)} is missing" for name in sorted(wanted - written.keys())]
    found += [f"{': '.join(name)} is gone" for name in sorted(written.keys() - wanted)]
    return found + [f"{': '.join(name)}: {said}" for name, said in written.items() if said != "yes"]


# -- the command ----------------------------------------------------------------------------------


def main() -> int:
    """The command. Exit code 1: some case did not come to what it deserves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--markdown", action="store_true", help=f"write the table into {DOCUMENT.name}"
    )
    parser.add_argument("--kind", help="only cases of this kind")
    parser.add_argument("--no-marking", action="store_true", help="open them, and no more")
    options = parser.parse_args()
    if options.markdown and (options.kind or options.no_marking):
        parser.error("--markdown is about all cases, marked")
    chosen = [case for case in cases() if options.kind in (None, case.kind)]
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        results = read(chosen, Path(folder, "in"))
        worth = 0.0 if options.no_marking else mark(results, Path(folder, "out"))
    if options.markdown:
        write(rows(results, worth), DOCUMENT)
    failed = 0
    for result in results:
        if wrong := result.wrong(worth):
            failed += 1
            print(f"{result.case.kind}: {result.case.name}: {'; '.join(wrong)}")
    print(f"\n{len(results)} cases, {failed} not as deserved.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
