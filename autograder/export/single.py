"""The command line's grader for platforms that bring one submission at a time."""

from __future__ import annotations

import atexit
import functools
import json
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from autograder.authoring.course import Course, find_root, load_course
from autograder.marking import result_files
from autograder.marking.engines import Listed, LocalEngine
from autograder.marking.grade import Grading
from autograder.marking.submission import read_one
from autograder.model import Grade

STUDENT = "student"


class Desk:
    """One assignment's grader, kept warm. The wall must hold, as everywhere."""

    def __init__(self, course: Course, name: str) -> None:
        self.course, self.assignment = course, course.assignment(name)
        self._engine = LocalEngine(self.assignment, 1)

    @property
    def tests(self) -> list[Listed]:
        """The hidden tests that count, in order."""
        return [test for test in self._engine.tests if not test.extra]

    @property
    def worth(self) -> float:
        """What full marks come to."""
        return sum(test.worth for test in self.tests)

    def mark(
        self,
        path: Path,
        received: datetime | None = None,
        tell: Callable[[dict[str, Any]], None] = lambda results: None,
        due: datetime | None = None,
    ) -> Grade:
        """Mark the submission at ``path``.

        ``tell`` gets results.json's content now and then, and at the end. ``due`` counts where it
        is later than course.yml's due date. Raises IsolationError where the wall is weak.
        """
        assignment = self.assignment
        if due is not None and assignment.due is not None and due > assignment.due:
            assignment = assignment.model_copy(update={"due": due})
        submission = read_one(STUDENT, path, self.assignment.main, received, assignment.starter)
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder, assignment.name, STUDENT, result_files.RESULTS)

            def so_far(*_: object) -> None:
                tell(json.loads(written.read_text(encoding="utf-8")))

            grading = Grading(
                self.course, assignment, self._engine, Path(folder), partial=so_far, write_every=0.5
            )
            (grade,) = grading.run([submission], fresh=True, tell=so_far)
        return grade

    def close(self) -> None:
        """End the grader process."""
        self._engine.close()


@functools.cache
def desk(name: str, root: str | None = None) -> Desk:
    """This process's desk for an assignment: started once, closed at exit."""
    opened = Desk(load_course(find_root(Path(root) if root else None)), name)
    atexit.register(opened.close)
    return opened
