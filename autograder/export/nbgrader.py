"""nbgrader: a course directory for generate_assignment, autograde and generate_feedback.

Each hidden test is a locked test cell. In nbgrader's own process model the student's code and the
tests share a kernel. nbgrader_config.py replaces the step that runs the kernel by
nbgrader_plugin.py. That marks the submission behind our wall and writes the verdicts as the test
cells' outputs. Without this configuration the test cells fail rather than pass.
"""

from __future__ import annotations

from typing import Any

from autograder.authoring import notebook, starter
from autograder.authoring.course import Assignment, Course
from autograder.export import master

# The key of a solution cell's metadata that holds what students get in its place.
STUB = "rl_course_stub"

CONFIG = '''"""nbgrader's settings for this course.

Run nbgrader where `autograder` is installed, as root: student code runs under other user ids.
"""

from autograder.export.nbgrader_plugin import configure

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = {course_id!r}
# Stubs are those of starter/, marking is behind the wall instead of in a kernel, and the late rule
# is that of course.yml.
configure(c, course={root!r})
'''


def files(course: Course, assignment: Assignment) -> dict[str, bytes]:
    """nbgrader_config.py and source/NAME/: the source notebook and the handout's files."""
    stem = assignment.main.removesuffix(".py")
    cells = [notebook.markdown(f"# {assignment.title}\n\n{master.INTRODUCTION}")]
    for number, cell in enumerate(master.cells(assignment)):
        cells.append(_cell(cell, f"cell_{number}"))
    cells += starter.last_cells(assignment)
    for name, test in master.hidden_tests(assignment):
        cells.append(_test(name, test.says, test.worth))
    config = CONFIG.format(course_id=course.term.replace(" ", "_"), root=str(course.root))
    source = {f"{stem}.ipynb": notebook.new(cells).encode()} | master.handout(assignment)
    return {"nbgrader_config.py": config.encode()} | {
        f"source/{assignment.name}/{name}": data for name, data in source.items()
    }


def _cell(cell: master.Cell, grade_id: str) -> Any:
    if cell.kind == "markdown":
        return notebook.markdown(cell.source)
    if cell.stub is None:
        return notebook.code(cell.source)
    marks = _marks(grade_id, solution=True)
    return notebook.code(cell.source, nbgrader=marks, **{STUB: cell.stub})


def _test(name: str, says: str, worth: float) -> Any:
    source = f"""# {says}
# {worth:g} points, marked by the course's grader.
### BEGIN HIDDEN TESTS
raise RuntimeError({master.NOT_HERE!r})
### END HIDDEN TESTS"""
    return notebook.code(source, nbgrader=_marks(name, points=worth))


def _marks(grade_id: str, solution: bool = False, points: float | None = None) -> dict[str, Any]:
    """A cell's metadata in nbgrader's schema, version 3."""
    marks = {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": points is not None,
        "solution": solution,
        "locked": points is not None,
        "task": False,
    }
    return marks if points is None else marks | {"points": points}
