"""Inside `otter run`: the submission is marked behind our wall; otter's kernel never sees it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
from otter.plugins import AbstractOtterPlugin
from otter.test_files import GradingResults
from otter.test_files.abstract_test import TestCaseResult

from autograder.errors import IsolationError
from autograder.export import master, single
from autograder.marking.feedback import STATES, note, problem_line, student_text
from autograder.marking.score import score
from autograder.model import Grade, Verdict


class Walled(AbstractOtterPlugin):
    """Configured in the master notebook with the assignment's name and the course's folder."""

    def before_execution(self, submission: Any) -> Any:
        """Mark the submission and give otter an empty notebook instead.

        Nothing of the student's is left in the folder that otter works in.
        """
        path = Path(self.submission_path)
        desk = single.desk(self.plugin_config["assignment"], self.plugin_config.get("course"))
        self._grade = desk.mark(path)
        if score(self._grade, desk.worth).points is None:
            raise IsolationError(
                f"{path.name} could not be graded ({note(self._grade)}): "
                "there is no score, not a zero"
            )
        self._ids = dict(zip(master.ids(test.name for test in desk.tests), desk.tests, strict=True))
        _clear(path.parent, keep="tests")
        return nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]

    def after_grading(self, results: GradingResults) -> None:
        """Replace what the placeholders said by the verdicts."""
        if self._ids.keys() - results.results.keys():
            raise IsolationError(
                "otter ran other tests than the course has: export the assignment again"
            )
        for name, test in self._ids.items():
            file = results.results[name]
            passed, message = _verdict(self._grade, test.name)
            file.test_case_results = [TestCaseResult(file.test_cases[0], message, passed)]
        results.output = self._grade.problem or None


def _verdict(grade: Grade, test: str) -> tuple[bool, str]:
    outcome = next((outcome for outcome in grade.outcomes if outcome.test == test), None)
    if outcome is None:
        return False, f"Your submission {STATES[grade.state]}: {problem_line(grade)}."
    return outcome.verdict is Verdict.PASSED, student_text(outcome)


def _clear(folder: Path, keep: str) -> None:
    for entry in folder.iterdir():
        if entry.name == keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
