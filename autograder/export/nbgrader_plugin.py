"""Inside nbgrader: starter/'s stubs, submissions marked behind our wall, the course's late rule."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
from nbgrader import utils
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import ClearSolutions, Execute, NbGraderPreprocessor
from traitlets import Unicode

from autograder.authoring.course import find_root, load_course
from autograder.errors import IsolationError
from autograder.export import master, single
from autograder.export.nbgrader import STUB
from autograder.marking.feedback import STATES, note, problem_line, student_text
from autograder.marking.score import lateness, score
from autograder.model import Grade, Outcome, Verdict


def configure(config: Any, course: str) -> None:
    """Replace nbgrader's steps.

    Stubs replaces ClearSolutions, Walled replaces Execute, and LateRule sets late penalties.
    """
    replaced = {ClearSolutions: Stubs, Execute: Walled}
    steps = GenerateAssignment.preprocessors.default_args[0]
    config.GenerateAssignment.preprocessors = [replaced.get(step, step) for step in steps]
    steps = Autograde.autograde_preprocessors.default_args[0]
    config.Autograde.autograde_preprocessors = [replaced.get(step, step) for step in steps]
    config.AssignLatePenalties.plugin_class = LateRule
    config.Walled.course = config.LateRule.course = course


class Stubs(ClearSolutions):
    """The stub that starter/ has, in the place of each solution cell."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> Any:
        if STUB not in cell.metadata:
            return super().preprocess_cell(cell, resources, cell_index)
        cell.source = cell.metadata.pop(STUB) or "# Your own functions, if you like."
        return cell, resources


class Walled(NbGraderPreprocessor):
    """Marks the submission behind our wall and writes each verdict as its test cell's output.

    No kernel is started.
    """

    course = Unicode("", help="The course's folder.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> Any:
        desk = single.desk(resources["nbgrader"]["assignment"], self.course or None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, desk.assignment.main).with_suffix(".ipynb")
            nbformat.write(nb, path)  # type: ignore[no-untyped-call]
            grade = desk.mark(path)
        if score(grade, desk.worth).points is None:
            student = resources["nbgrader"]["student"]
            raise IsolationError(
                f"{student} could not be graded ({note(grade)}): there is no score, not a zero"
            )
        tests = dict(zip(master.ids(test.name for test in desk.tests), desk.tests, strict=True))
        outcomes = {outcome.test: outcome for outcome in grade.outcomes}
        for cell in filter(utils.is_grade, nb.cells):
            name = cell.metadata.nbgrader.grade_id
            if name not in tests:
                raise IsolationError(
                    f"the notebook has a test '{name}' that the course does not have: "
                    "export the assignment again"
                )
            cell.outputs = _outputs(outcomes.get(tests[name].name), grade)
        return nb, resources


def _outputs(outcome: Outcome | None, grade: Grade) -> list[Any]:
    """Text for a passed test; an error, which nbgrader counts as no points, for any other."""
    text = (
        student_text(outcome)
        if outcome
        else f"Your submission {STATES[grade.state]}: {problem_line(grade)}."
    )
    output: Any = nbformat.v4.new_output
    if outcome and outcome.verdict is Verdict.PASSED:
        return [output("stream", name="stdout", text=text)]
    kind = "NotWritten" if outcome and outcome.verdict is Verdict.NOT_WRITTEN else "Failed"
    return [output("error", ename=kind, evalue=text, traceback=text.split("\n"))]


class LateRule(LateSubmissionPlugin):
    """course.yml's late rule.

    nbgrader must know the due date: nbgrader db assignment add NAME --duedate ...
    """

    course = Unicode("", help="The course's folder.").tag(config=True)

    def late_submission_penalty(
        self, student_id: str, score: float, total_seconds_late: float
    ) -> float:
        """Points lost."""
        rule = load_course(find_root(Path(self.course) if self.course else None)).late
        due = datetime(2000, 1, 1, tzinfo=UTC)
        _, factor = lateness(due + timedelta(seconds=total_seconds_late), due, rule)
        return score * (1 - factor)
