"""What an assignment builds on: it must exist, without a circle, and come earlier in the term."""

from __future__ import annotations

from autograder.authoring.course import Assignment, Course
from autograder.authoring.yaml_file import guess
from autograder.errors import CourseError


def check(course: Course) -> list[str]:
    """Warnings about the term's order.

    Raises CourseError where a prerequisite does not exist or leads back to its assignment.
    """
    known = {assignment.name: assignment for assignment in course.catalogue}
    for assignment in known.values():
        for name in assignment.prerequisites:
            if name not in known:
                raise CourseError(
                    f"{_place(assignment)}: prerequisites names '{name}', which is in no track and "
                    f"not in the term{guess(name, known)}"
                )
    for assignment in known.values():
        if circle := _circle(assignment.name, known):
            raise CourseError(
                f"{_place(assignment)}: prerequisites lead back to where they began: "
                f"{' needs '.join(circle)}"
            )
    return list(_out_of_order(course))


def _place(assignment: Assignment) -> str:
    return str(assignment.handout / "assignment.yml")


def _circle(start: str, known: dict[str, Assignment]) -> list[str]:
    """The way from an assignment over its prerequisites back to it; empty if there is none."""
    seen = {start}
    paths = [[start]]
    while paths:
        path = paths.pop()
        for name in known[path[-1]].prerequisites:
            if name == start:
                return [*path, start]
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return []


def _out_of_order(course: Course) -> list[str]:
    order = [assignment.name for assignment in course.assignments]
    warnings = []
    for at, assignment in enumerate(course.assignments):
        for name in assignment.prerequisites:
            if name not in order:
                warnings.append(f"{assignment.name} needs {name}, which this term does not teach")
            elif order.index(name) > at:
                warnings.append(f"{assignment.name} needs {name}, which comes later in the term")
    for before, after in zip(course.assignments, course.assignments[1:], strict=False):
        if before.due and after.due and after.due < before.due:
            warnings.append(f"{after.name} is due before {before.name}, which is taught before it")
    return warnings
