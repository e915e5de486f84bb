"""Given modules (assignments/given/*.py): code that students import and never write.

assignment.yml names them (``given: [policies, plots]``). In the starter they are beside the stub.
Whatever runs a candidate takes them from here: a file of that name in a submission is never used. A
submission can change them in its own process, as it can change NumPy. That changes only its own
answers, because the tests and the reference run elsewhere with the course's copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from autograder.authoring.course import Assignment
from autograder.errors import CourseError

# The folder in assignments/.
FOLDER = "given"


def given_files(assignment: Assignment) -> dict[str, bytes]:
    """The given modules of an assignment: file name -> content.

    Raises CourseError for one that does not exist.
    """
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
    """A candidate's files together with the given modules.

    Its own files of the same names are left out. A package of such a name is left out with all that
    is in it, because imports would prefer it.
    """
    own = {
        name: data
        for name, data in files.items()
        if PurePosixPath(name).parts[0].removesuffix(".py") not in assignment.given
    }
    return own | given_files(assignment)
