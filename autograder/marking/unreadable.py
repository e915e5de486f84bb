"""Why a submission cannot be imported, in a sentence with a remedy, written for its student."""

from __future__ import annotations

import re

from autograder.authoring.course import Assignment
from autograder.errors import Frame, Limit, StudentDied, StudentError, StudentTimeout
from autograder.isolation.workers.importing import OUT_OF_TIME

_MISSING = re.compile(r"No module named '([\w.]+)'")
_NOTEBOOK_NAMES = ("get_ipython", "display")


def import_problem(error: StudentError, assignment: Assignment) -> str:
    """One line: what went wrong in the import, where, and what to do about it."""
    frame = error.frames[-1] if error.frames else None
    if isinstance(error, StudentTimeout) or error.kind == OUT_OF_TIME:
        return _out_of_time(error, frame)
    if isinstance(error, StudentDied):
        return (
            f"importing it ended the process ({error.message}): take out what ends it, such as"
            " exit() or a computation that needs too much memory"
        )
    if isinstance(error, SyntaxError):
        return _not_python(error, frame)
    if found := _MISSING.search(error.message):
        return _missing_module(found[1], frame, assignment)
    if error.kind == "NameError" and any(name in error.message for name in _NOTEBOOK_NAMES):
        return f"{_place(frame)} uses what only a notebook has ({error.message}): delete that line"
    return (
        f"{_place(frame)} raises {error}: fix that line, or put it under"
        " 'if __name__ == \"__main__\":' if nothing that is tested needs it"
    )


def importable(assignment: Assignment) -> list[str]:
    """What a submission may import in addition to the standard library."""
    names = {name.partition(".")[0] for name in assignment.libraries}
    names |= {re.split(r"[^\w-]", name, maxsplit=1)[0] for name in assignment.requirements}
    return sorted(names - {"pytest"})


def _out_of_time(error: StudentError, frame: Frame | None) -> str:
    running = f"; {_place(frame)} was running when time was up" if frame else ""
    waited = isinstance(error, StudentTimeout) and error.limit is Limit.WAITING
    how = "waited" if waited else "computed"
    return (
        f"importing it {how} for too long ({error.message}){running}: put training and experiments"
        " under 'if __name__ == \"__main__\":'"
    )


def _not_python(error: StudentError, frame: Frame | None) -> str:
    if frame and frame.text.lstrip().startswith(("!", "%")):
        return f"{_place(frame)} is a line for notebooks, not Python: delete it"
    return (
        f"{_place(frame)} is not Python ({error.kind}: {error.message}): correct it, and run the"
        " file once before you submit it"
    )


def _missing_module(name: str, frame: Frame | None, assignment: Assignment) -> str:
    there = ", ".join(importable(assignment))
    return (
        f"{_place(frame)} needs the module {name}, which is not there when work is graded: do"
        f" without it, or submit {name}.py too if it is your own. There are {there}, and what comes"
        " with Python"
    )


def _place(frame: Frame | None) -> str:
    if frame is None:
        return "a line"
    code = f" ({frame.text.strip()})" if frame.text.strip() else ""
    return f"{frame.file}, line {frame.line}{code},"
