"""Right answers in other styles: grading/NAME/right/STYLE.py."""

from __future__ import annotations

from autograder.authoring.course import Assignment


def right_answers(assignment: Assignment) -> dict[str, str]:
    """The text of each right answer, by the name of its style."""
    files = sorted((assignment.hidden_tests.parent / "right").glob("*.py"))
    return {path.stem: path.read_text(encoding="utf-8") for path in files}
