"""Given modules: code that several assignments share (assignments/given/*.py), which students
import and never write.

assignment.yml names them (``given: [policies, plots]``). They lie beside the stub in the starter,
and whatever runs a candidate takes them from here: a file that a submission brings under such a
name is never used. A submission may of course change them in its own process, as it may change
NumPy: that changes only its own answers, because the tests and the reference run elsewhere with the
course's copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from autograder.authoring.course import Assignment
from autograder.errors import CourseError

FOLDER = "given"  # under assignments/


def given_files(assignment: Assignment) -> dict[str, bytes]:
    """The given modules of an assignment: file name -> content. Raises CourseError for one that
    does not exist."""
    files = {}
    for name in assignment.given:
        path = assignment.root / "assignments" / FOLDER / f"{name}.py"
        try:
            files[path.name] = path.read_bytes()
        except OSError as error:
            raise CourseError(
                f"{assignment.handout / 'assignment.yml'}: 'given' names {name}, but {path} cannot "
                f"be read ({error.strerror}): write the module, or correct the name"
            ) from None
    return files


def with_given(assignment: Assignment, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A candidate's files with the given modules among them; its own files of their names are left
    out.

    A package of the same name is left out with all that is in it: imports would prefer it.
    """
    own = {
        name: data
        for name, data in files.items()
        if PurePosixPath(name).parts[0].removesuffix(".py") not in assignment.given
    }
    return own | given_files(assignment)
